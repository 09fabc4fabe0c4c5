/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "restore/export.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"
#include "virt/attachments.h"

static gboolean opt_memory;
static char *opt_disk, *opt_format;

static const GOptionEntry options[] = {
  { "memory", 0, 0, G_OPTION_ARG_NONE, &opt_memory, "Memory, as an image that 'virsh restore' takes", NULL },
  { "disk", 0, 0, G_OPTION_ARG_STRING, &opt_disk, "The disk of that name, like vda", "TARGET" },
  { "format", 0, 0, G_OPTION_ARG_STRING, &opt_format, "Of a disk: raw or qcow2 (as it was imported, else raw)",
    "FORMAT" },
  G_OPTION_ENTRY_NULL
};

/* The one disk of the snapshot, by --disk or because there is no other. */
static const char *
find_disk (PvSnapshot *snapshot, GError **error)
{
  const char *only = NULL;

  if (opt_disk != NULL)
    return opt_disk;
  for (guint i = 0; i < pv_snapshot_n_volumes (snapshot); i++)
    {
      const PvVolume *volume = pv_snapshot_volume (snapshot, i);

      if (volume->kind != PV_VOLUME_DISK)
        continue;
      if (only != NULL)
        {
          pv_throw (error, PV_ERROR_INVALID, "there are several disks: say which with --disk (%s, %s, ...)", only,
                    volume->name);
          return NULL;
        }
      only = volume->name;
    }
  if (only == NULL)
    pv_throw (error, PV_ERROR_NOT_FOUND, "the snapshot has neither memory nor disks");
  return only;
}

/* Standard output, or a new file that is removed again when writing it fails. */
static gboolean
export_memory (PvCli *cli, PvStore *store, PvSnapshot *snapshot, const char *path, PvProgress *progress,
               GError **error)
{
  g_auto(PvFd) fd = PV_FD_NONE;

  if (g_str_equal (path, "-"))
    return pv_export_memory (store, snapshot, NULL, STDOUT_FILENO, "standard output", pv_progress_update, progress,
                             cli->cancellable, error);
  fd = pv_openat (AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600, error);
  if (fd < 0)
    return FALSE;
  if (pv_export_memory (store, snapshot, NULL, fd, path, pv_progress_update, progress, cli->cancellable, error)
      && pv_fsync (fd, path, error))
    return TRUE;
  unlink (path);
  return FALSE;
}

static void
print_result (PvCli *cli, const char *full, const char *what, const char *path, double ms)
{
  struct stat status;
  guint64 size = stat (path, &status) == 0 ? (guint64) status.st_size : 0;

  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "snapshot", full);
      pv_json_string (builder, "what", what);
      pv_json_string (builder, "file", path);
      pv_json_size (builder, "bytes", size);
      pv_json_number (builder, "total_ms", ms);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else
    {
      g_autofree char *size_text = pv_bytesize_format (size);
      g_autofree char *time_text = pv_output_duration (ms);

      printf ("%s: %s of %s, %s in %s\n", path, what, full, size_text, time_text);
    }
}

static gboolean
check_options (const char *path, GError **error)
{
  if (opt_memory && (opt_disk != NULL || opt_format != NULL))
    return pv_throw (error, PV_ERROR_INVALID, "--memory goes with neither --disk nor --format");
  if (opt_format != NULL && !g_str_equal (opt_format, "raw") && !g_str_equal (opt_format, "qcow2"))
    {
      g_autofree char *shown = pv_escape_for_message (opt_format);

      return pv_throw (error, PV_ERROR_INVALID, "--format is raw or qcow2, not '%s'", shown);
    }
  if (g_str_equal (path, "-") && (opt_disk != NULL || opt_format != NULL))
    return pv_throw (error, PV_ERROR_INVALID, "a disk cannot go to standard output: name a file");
  return TRUE;
}

static PvExit
run_export (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvProgress) progress = NULL;
  gint64 start = g_get_monotonic_time ();
  const char *disk = NULL;
  const char *path = args[1];
  gboolean done;

  if (!pv_cli_check_snapshot (cli, args[0], error) || !check_options (path, error))
    return PV_EXIT_USAGE;
  store = pv_cli_open_store (cli, 0, error);
  snapshot = store != NULL ? pv_cli_lookup (cli, store, args[0], error) : NULL;
  if (snapshot == NULL)
    return PV_EXIT_FAILED;
  if (opt_disk != NULL || opt_format != NULL
      || (!opt_memory && pv_snapshot_find_volume (snapshot, PV_VOLUME_BLOB, PV_BLOB_DEVICES) == NULL))
    {
      disk = find_disk (snapshot, error);
      if (disk == NULL)
        return PV_EXIT_FAILED;
      if (g_str_equal (path, "-"))
        {
          pv_throw (error, PV_ERROR_INVALID, "a disk cannot go to standard output: name a file");
          return PV_EXIT_USAGE;
        }
    }
  progress = pv_progress_new ();
  if (disk != NULL)
    done = pv_export_disk (store, snapshot, disk, opt_format, path, pv_progress_update, progress, cli->cancellable,
                           error);
  else
    done = export_memory (cli, store, snapshot, path, progress, error);
  g_clear_pointer (&progress, pv_progress_free);
  if (!done)
    return PV_EXIT_FAILED;
  if (!g_str_equal (path, "-"))
    print_result (cli, args[0], disk != NULL ? disk : "memory", path,
                  (double) (g_get_monotonic_time () - start) / 1000);
  return PV_EXIT_OK;
}

const PvCommand pv_command_export = {
  .name = "export",
  .arguments = "DOMAIN@NAME FILE",
  .summary = "Write memory or a disk to a file for stock tools",
  .details = "Memory becomes a libvirt save image that 'virsh restore' takes; a disk becomes a raw\n"
             "(sparse) or qcow2 image. Without options it is the memory if there is any, else the only\n"
             "disk. What was imported comes out with the same bytes. FILE must not exist; '-' is standard\n"
             "output, for memory only.\n"
             "\n"
             "Memory must meet the disks of its own instant: export them too and put their paths into the\n"
             "image's XML (virsh save-image-edit) before you restore it, or use 'pagevault restore', which\n"
             "does all of that.\n"
             "\n"
             "Examples:\n"
             "  pagevault export web1@before-upgrade web1.save\n"
             "  pagevault export web1@before-upgrade web1.qcow2 --disk vda --format qcow2\n"
             "\n"
             "Keys of --json: snapshot, what (memory, or the disk), file, bytes, total_ms.",
  .min_args = 2,
  .max_args = 2,
  .options = options,
  .run = run_export,
};
