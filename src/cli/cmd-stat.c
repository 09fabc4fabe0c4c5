/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/output.h"
#include "util/bytesize.h"
#include "util/error.h"

static void
print_json (const PvStoreStat *stat)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pv_json_size (builder, "snapshots", stat->n_snapshots);
  pv_json_size (builder, "chunks", stat->n_chunks);
  pv_json_size (builder, "packs", stat->n_packs);
  pv_json_size (builder, "logical_bytes", stat->logical_bytes);
  pv_json_size (builder, "stored_bytes", stat->stored_bytes);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_text (PvStore *store, const PvStoreStat *stat)
{
  g_autoptr(PvTable) table = pv_table_new_pairs ();
  g_autofree char *snapshots = g_strdup_printf ("%" G_GUINT64_FORMAT, stat->n_snapshots);
  g_autofree char *chunks = g_strdup_printf ("%" G_GUINT64_FORMAT, stat->n_chunks);
  g_autofree char *packs = g_strdup_printf ("%" G_GUINT64_FORMAT, stat->n_packs);
  g_autofree char *logical = pv_bytesize_format (stat->logical_bytes);
  g_autofree char *stored = pv_bytesize_format (stat->stored_bytes);

  pv_table_row (table, "store", pv_store_directory (store), NULL);
  pv_table_row (table, "snapshots", snapshots, NULL);
  pv_table_row (table, "chunks", chunks, NULL);
  pv_table_row (table, "packs", packs, NULL);
  pv_table_row (table, "holds", logical, NULL);
  pv_table_row (table, "takes", stored, NULL);
  pv_table_print (table);
}

static PvExit
run_stat (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = pv_cli_open_store (cli, 0, error);
  PvStoreStat stat = { 0 };

  if (store == NULL || !pv_store_stat (store, &stat, error))
    return PV_EXIT_FAILED;
  if (cli->json)
    print_json (&stat);
  else
    print_text (store, &stat);
  return PV_EXIT_OK;
}

const PvCommand pv_command_stat = {
  .name = "stat",
  .arguments = "",
  .summary = "Show how much the store holds and takes",
  .details = "'holds' is the size of all memory and disks of all snapshots, 'takes' what that needs on\n"
             "disk.\n"
             "\n"
             "Example:\n"
             "  pagevault stat --json\n"
             "\n"
             "Keys of --json: snapshots, chunks, packs, logical_bytes, stored_bytes.",
  .max_args = 0,
  .run = run_stat,
};
