/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <string.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "restore/export.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static char *opt_name;
static char **opt_disk;

static const GOptionEntry options[] = {
  { "name", 0, 0, G_OPTION_ARG_STRING, &opt_name, "What to call the snapshot (needed)", "DOMAIN[@NAME]" },
  { "disk", 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &opt_disk,
    "A disk image of the same instant, into the same snapshot; may be repeated", "TARGET=FILE" },
  G_OPTION_ENTRY_NULL
};

static void
print_json (PvSnapshot *snapshot, const PvTxnStats *stats, double ms)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  const char *full = pv_snapshot_full_name (snapshot);

  json_builder_begin_object (builder);
  pv_json_string (builder, "snapshot", full);
  pv_json_number (builder, "total_ms", ms);
  pv_json_size (builder, "ram_bytes", pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM));
  pv_json_size (builder, "disk_bytes", pv_snapshot_volumes_size (snapshot, PV_VOLUME_DISK));
  pv_json_size (builder, "zero_bytes", stats->zero_bytes);
  pv_json_size (builder, "known_bytes", stats->known_bytes);
  pv_json_size (builder, "new_bytes", stats->new_bytes);
  pv_json_size (builder, "stored_bytes", stats->stored_bytes);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_text (PvSnapshot *snapshot, const PvTxnStats *stats, double ms)
{
  g_autoptr(PvTable) table = pv_table_new_pairs ();
  const char *full = pv_snapshot_full_name (snapshot);
  g_autofree char *took = pv_output_duration (ms);
  g_autofree char *ram = pv_bytesize_format (pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM));
  g_autofree char *disks = pv_bytesize_format (pv_snapshot_volumes_size (snapshot, PV_VOLUME_DISK));

  pv_table_row (table, "snapshot", full, NULL);
  pv_table_row (table, "took", took, NULL);
  pv_table_row (table, "memory", ram, NULL);
  pv_table_row (table, "disks", disks, NULL);
  pv_cli_add_stats (table, stats);
  pv_table_print (table);
}

static gboolean
read_name (char **domain, char **name, GError **error)
{
  if (opt_name == NULL)
    return pv_throw (error, PV_ERROR_INVALID, "--name DOMAIN@NAME is needed: what is the snapshot to be called?");
  if (strchr (opt_name, '@') != NULL)
    return pv_snapshot_name_parse (opt_name, domain, name, error);
  if (!pv_domain_name_check (opt_name, error))
    return FALSE;
  *domain = g_strdup (opt_name);
  *name = pv_snapshot_name_now ();
  return TRUE;
}

static gboolean
read_disks (GPtrArray *disks, GError **error)
{
  for (char **at = opt_disk; at != NULL && *at != NULL; at++)
    {
      PvImportDisk *disk = pv_import_disk_parse (*at, error);

      if (disk == NULL)
        {
          g_prefix_error (error, "--disk: ");
          return FALSE;
        }
      g_ptr_array_add (disks, disk);
    }
  return TRUE;
}

static PvExit
run_import (PvCli *cli, char **args, GError **error)
{
  g_autofree char *domain = NULL;
  g_autofree char *name = NULL;
  g_autofree char *full = NULL;
  g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_import_disk_free);
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvProgress) progress = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;
  PvTxnStats stats = { 0 };
  gint64 start = g_get_monotonic_time ();
  double ms;

  if (!read_name (&domain, &name, error) || !read_disks (disks, error))
    return PV_EXIT_USAGE;
  full = g_strconcat (domain, "@", name, NULL);
  pv_cli_set_subject (cli, full);
  store = pv_cli_open_store (cli, PV_STORE_OPEN_CREATE, error);
  if (store == NULL)
    return PV_EXIT_FAILED;
  progress = pv_progress_new ();
  snapshot = pv_import_file (store, args[0], disks, domain, name, &stats, pv_progress_update, progress,
                             cli->cancellable, error);
  g_clear_pointer (&progress, pv_progress_free);
  if (snapshot == NULL)
    return PV_EXIT_FAILED;
  ms = (double) (g_get_monotonic_time () - start) / 1000;
  if (cli->json)
    print_json (snapshot, &stats, ms);
  else
    print_text (snapshot, &stats, ms);
  return PV_EXIT_OK;
}

const PvCommand pv_command_import = {
  .name = "import",
  .arguments = "FILE",
  .summary = "Take a memory image or a disk image into the store",
  .details = "FILE is told by its content: a libvirt save image (virsh save, managed save, memory of an\n"
             "external snapshot; raw, compressed or sparse), a QEMU migration stream, a qcow2 image;\n"
             "anything else is a raw disk. 'pagevault export' gives the same bytes back. Memory pages and\n"
             "disk blocks are stored once, whatever file they came in.\n"
             "\n"
             "A compressed image is kept as it is, beside its pages: its own size is added to the store. A\n"
             "qcow2 image must have no backing file. The disk of a disk image is called vda.\n"
             "\n"
             "Examples:\n"
             "  pagevault import /var/lib/libvirt/qemu/save/web1.save --name web1@saved\n"
             "  pagevault import saved --name web1@saved --disk vda=web1.qcow2 --disk vdb=data.raw\n"
             "  pagevault import debian-12.qcow2 --name base@debian-12\n"
             "\n"
             "Keys of --json: snapshot, total_ms, ram_bytes, disk_bytes, zero_bytes, known_bytes,\n"
             "new_bytes, stored_bytes.",
  .min_args = 1,
  .max_args = 1,
  .options = options,
  .run = run_import,
};
