/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/lazy.h"
#include "cli/output.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static gboolean opt_name;

static const GOptionEntry options[] = {
  { "name", 0, 0, G_OPTION_ARG_NONE, &opt_name, "Print names only, one a line", NULL },
  G_OPTION_ENTRY_NULL
};

static void
print_json (PvStore *store, GPtrArray *snapshots)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "snapshots");
  json_builder_begin_array (builder);
  for (guint i = 0; i < snapshots->len; i++)
    {
      PvSnapshot *snapshot = g_ptr_array_index (snapshots, i);
      const char *full = pv_snapshot_full_name (snapshot);

      json_builder_begin_object (builder);
      pv_json_string (builder, "snapshot", full);
      pv_json_string (builder, "domain", pv_snapshot_domain (snapshot));
      pv_json_string (builder, "name", pv_snapshot_name (snapshot));
      pv_json_time (builder, "time", pv_snapshot_time (snapshot));
      pv_json_string (builder, "state", pv_guest_state_to_string (pv_snapshot_state (snapshot)));
      pv_json_size (builder, "ram_bytes", pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM));
      pv_json_size (builder, "disk_bytes", pv_snapshot_volumes_size (snapshot, PV_VOLUME_DISK));
      pv_json_size (builder, "stored_bytes", pv_snapshot_stored_size (snapshot));
      pv_json_string (builder, "parent", pv_snapshot_parent (snapshot));
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
  pv_lazy_add_json (builder, store, NULL);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_table (GPtrArray *snapshots)
{
  static const PvColumn columns[] = {
    { "SNAPSHOT", PV_COLUMN_LEFT }, { "TIME", PV_COLUMN_LEFT },   { "STATE", PV_COLUMN_LEFT },
    { "MEMORY", PV_COLUMN_RIGHT },  { "DISKS", PV_COLUMN_RIGHT }, { "NEW", PV_COLUMN_RIGHT },
  };
  g_autoptr(PvTable) table = pv_table_new (columns, G_N_ELEMENTS (columns));

  for (guint i = 0; i < snapshots->len; i++)
    {
      PvSnapshot *snapshot = g_ptr_array_index (snapshots, i);
      const char *full = pv_snapshot_full_name (snapshot);
      g_autofree char *time = pv_output_time (pv_snapshot_time (snapshot));
      g_autofree char *ram = pv_bytesize_format (pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM));
      g_autofree char *disks = pv_bytesize_format (pv_snapshot_volumes_size (snapshot, PV_VOLUME_DISK));
      g_autofree char *stored = pv_bytesize_format (pv_snapshot_stored_size (snapshot));

      pv_table_row (table, full, time, pv_guest_state_to_string (pv_snapshot_state (snapshot)), ram, disks, stored,
                    NULL);
    }
  pv_table_print (table);
}

static PvExit
run_list (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(GPtrArray) snapshots = NULL;

  if (args[0] != NULL && !pv_domain_name_check (args[0], error))
    return PV_EXIT_USAGE;
  pv_cli_set_subject (cli, args[0]);
  store = pv_cli_open_store (cli, 0, error);
  if (store == NULL)
    return PV_EXIT_FAILED;
  snapshots = pv_store_list (store, args[0], error);
  if (snapshots == NULL)
    return PV_EXIT_FAILED;
  if (cli->json)
    print_json (store, snapshots);
  else if (!opt_name)
    {
      print_table (snapshots);
      pv_lazy_print (store, NULL);
    }
  else
    for (guint i = 0; i < snapshots->len; i++)
      {
        const char *full = pv_snapshot_full_name (g_ptr_array_index (snapshots, i));

        puts (full);
      }
  return PV_EXIT_OK;
}

const PvCommand pv_command_list = {
  .name = "list",
  .arguments = "[DOMAIN]",
  .summary = "List snapshots, oldest first",
  .details = "MEMORY and DISKS are the sizes that the guest sees; NEW is what the snapshot added to the\n"
             "store when it was made. 'show --usage' tells what would come back if it were deleted.\n"
             "Below it stands which guests run whose memory is still coming from the store.\n"
             "\n"
             "Examples:\n"
             "  pagevault list\n"
             "  pagevault list web1 --json | jq -r '.snapshots[-1].snapshot'\n"
             "\n"
             "Keys of --json: snapshots, an array of snapshot, domain, name, time (UTC), state (running,\n"
             "paused, shutoff, disk-snapshot), ram_bytes, disk_bytes, stored_bytes, parent (null for\n"
             "none); restores, an array of domain, snapshot, phase (starting, running, recovering, damaged,\n"
             "dead), sent_bytes, memory_bytes, pages_on_demand, message.",
  .max_args = 1,
  .options = options,
  .run = run_list,
};
