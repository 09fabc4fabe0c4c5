/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/lazy.h"
#include "cli/output.h"
#include "store/mirror.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static gboolean opt_name;

static const GOptionEntry options[] = {
  { "name", 0, 0, G_OPTION_ARG_NONE, &opt_name, "Print names only, one a line", NULL },
  G_OPTION_ENTRY_NULL
};

/* A snapshot and where it is. */
typedef struct
{
  PvSnapshot *snapshot; /* (owned) */
  const char *remote;   /* (nullable): NULL: here */
} Row;

static void
row_clear (gpointer data)
{
  pv_snapshot_unref (((Row *) data)->snapshot);
}

static gint
compare_rows (gconstpointer a, gconstpointer b)
{
  gint64 ta = pv_snapshot_time (((const Row *) a)->snapshot), tb = pv_snapshot_time (((const Row *) b)->snapshot);

  return ta < tb ? -1 : ta > tb ? 1 : 0;
}

/* Appends those of @snapshots whose name is not in @names yet. */
static void
add_rows (GArray *rows, GHashTable *names, GPtrArray *snapshots, const char *remote)
{
  for (guint i = 0; i < snapshots->len; i++)
    {
      Row row = { pv_snapshot_ref (snapshots->pdata[i]), remote };

      if (g_hash_table_add (names, (gpointer) pv_snapshot_full_name (row.snapshot)))
        g_array_append_val (rows, row);
      else
        pv_snapshot_unref (row.snapshot);
    }
}

/* (transfer full) (element-type Row): the store's own snapshots and those of attached remotes, oldest first. */
static GArray *
list_all (PvStore *store, const char *domain, GError **error)
{
  g_autoptr(GPtrArray) own = pv_store_list (store, domain, error);
  g_autoptr(GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr(GArray) rows = g_array_new (FALSE, FALSE, sizeof (Row));
  GPtrArray *mirrors = pv_store_mirrors (store);

  if (own == NULL)
    return NULL;
  g_array_set_clear_func (rows, row_clear);
  add_rows (rows, names, own, NULL);
  for (guint i = 0; i < mirrors->len; i++)
    {
      g_autoptr(GPtrArray) there = pv_mirror_list (mirrors->pdata[i], domain, error);

      if (there == NULL)
        return NULL;
      add_rows (rows, names, there, pv_mirror_name (mirrors->pdata[i]));
    }
  if (mirrors->len > 0)
    g_array_sort (rows, compare_rows);
  return g_steal_pointer (&rows);
}

static void
print_json (PvStore *store, GArray *rows)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "snapshots");
  json_builder_begin_array (builder);
  for (guint i = 0; i < rows->len; i++)
    {
      const char *remote = g_array_index (rows, Row, i).remote;
      PvSnapshot *snapshot = g_array_index (rows, Row, i).snapshot;
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
      if (remote != NULL)
        pv_json_string (builder, "remote", remote);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
  pv_lazy_add_json (builder, store, NULL);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_table (PvStore *store, GArray *rows)
{
  static const PvColumn columns[] = {
    { "SNAPSHOT", PV_COLUMN_LEFT }, { "TIME", PV_COLUMN_LEFT },   { "STATE", PV_COLUMN_LEFT },
    { "MEMORY", PV_COLUMN_RIGHT },  { "DISKS", PV_COLUMN_RIGHT }, { "NEW", PV_COLUMN_RIGHT },
    { "REMOTE", PV_COLUMN_LEFT },
  };
  guint n_columns = G_N_ELEMENTS (columns) - (pv_store_mirrors (store)->len > 0 ? 0 : 1);
  g_autoptr(PvTable) table = pv_table_new (columns, n_columns);

  for (guint i = 0; i < rows->len; i++)
    {
      const char *remote = g_array_index (rows, Row, i).remote;
      PvSnapshot *snapshot = g_array_index (rows, Row, i).snapshot;
      const char *full = pv_snapshot_full_name (snapshot);
      g_autofree char *time = pv_output_time (pv_snapshot_time (snapshot));
      g_autofree char *ram = pv_bytesize_format (pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM));
      g_autofree char *disks = pv_bytesize_format (pv_snapshot_volumes_size (snapshot, PV_VOLUME_DISK));
      g_autofree char *stored = pv_bytesize_format (pv_snapshot_stored_size (snapshot));

      pv_table_row (table, full, time, pv_guest_state_to_string (pv_snapshot_state (snapshot)), ram, disks,
                    remote == NULL ? stored : "", remote, NULL);
    }
  pv_table_print (table);
}

static PvExit
run_list (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(GArray) rows = NULL;

  if (args[0] != NULL && !pv_domain_name_check (args[0], error))
    return PV_EXIT_USAGE;
  pv_cli_set_subject (cli, args[0]);
  store = pv_cli_open_store (cli, 0, error);
  if (store == NULL)
    return PV_EXIT_FAILED;
  rows = list_all (store, args[0], error);
  if (rows == NULL)
    return PV_EXIT_FAILED;
  if (cli->json)
    print_json (store, rows);
  else if (!opt_name)
    {
      print_table (store, rows);
      pv_lazy_print (store, NULL);
    }
  else
    for (guint i = 0; i < rows->len; i++)
      puts (pv_snapshot_full_name (g_array_index (rows, Row, i).snapshot));
  return PV_EXIT_OK;
}

const PvCommand pv_command_list = {
  .name = "list",
  .arguments = "[DOMAIN]",
  .summary = "List snapshots, oldest first",
  .details = "MEMORY and DISKS are the sizes that the guest sees; NEW is what the snapshot added to the\n"
             "store when it was made. 'show --usage' tells what would come back if it were deleted.\n"
             "REMOTE says of which attached remote a snapshot is that is not here.\n"
             "Below it stands which guests run whose memory is still coming from the store.\n"
             "\n"
             "Examples:\n"
             "  pagevault list\n"
             "  pagevault list web1 --json | jq -r '.snapshots[-1].snapshot'\n"
             "\n"
             "Keys of --json: snapshots, an array of snapshot, domain, name, time (UTC), state (running,\n"
             "paused, shutoff, disk-snapshot), ram_bytes, disk_bytes, stored_bytes, parent (null for\n"
             "none), remote (only of those that are not here);\n"
             "restores, an array of domain, snapshot, phase (starting, running, recovering, waiting,\n"
             "damaged, dead), sent_bytes, memory_bytes, pages_on_demand, message.",
  .max_args = 1,
  .options = options,
  .run = run_list,
};
