/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/lazy.h"
#include "cli/output.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "virt/attachments.h"

static gboolean opt_xml, opt_inactive, opt_usage;

static const GOptionEntry options[] = {
  { "xml", 0, 0, G_OPTION_ARG_NONE, &opt_xml, "Print the domain XML of the snapshot's instant", NULL },
  { "inactive", 0, 0, G_OPTION_ARG_NONE, &opt_inactive, "With --xml: the persistent definition instead", NULL },
  { "usage", 0, 0, G_OPTION_ARG_NONE, &opt_usage, "Compute own and shared size (reads all trees: slow)", NULL },
  G_OPTION_ENTRY_NULL
};

/* Bytes of the store that only this snapshot needs, and those it shares. */
typedef struct
{
  guint64 own, shared;
} Usage;

static PvExit
print_xml (PvSnapshot *snapshot, GError **error)
{
  GBytes *xml = pv_snapshot_attachment (snapshot, opt_inactive ? PV_ATTACH_INACTIVE_XML : PV_ATTACH_DOMAIN_XML);
  gconstpointer data;
  gsize size;

  if (xml == NULL)
    {
      pv_throw (error, PV_ERROR_NOT_FOUND, "the snapshot has no %s; its attachments are listed without --xml",
                opt_inactive ? "persistent definition" : "domain XML");
      return PV_EXIT_FAILED;
    }
  data = g_bytes_get_data (xml, &size);
  fwrite (data, 1, size, stdout);
  if (size == 0 || ((const char *) data)[size - 1] != '\n')
    putchar ('\n');
  return PV_EXIT_OK;
}

/* (transfer full) (nullable): what the capture wrote down. */
static JsonNode *
read_capture (PvSnapshot *snapshot)
{
  GBytes *document = pv_snapshot_attachment (snapshot, PV_ATTACH_CAPTURE);
  g_autoptr(JsonParser) parser = json_parser_new ();
  gsize size = 0;
  const char *text = document != NULL ? g_bytes_get_data (document, &size) : NULL;

  if (text == NULL || !json_parser_load_from_data (parser, text, (gssize) size, NULL))
    return NULL;
  return json_parser_steal_root (parser);
}

static void
add_capture (JsonBuilder *builder, PvSnapshot *snapshot)
{
  JsonNode *node = read_capture (snapshot);

  json_builder_set_member_name (builder, "capture");
  if (node != NULL)
    json_builder_add_value (builder, node);
  else
    json_builder_add_null_value (builder);
}

/* By which engine it was taken, and why by no other. */
static void
add_engine_rows (PvTable *table, PvSnapshot *snapshot)
{
  g_autoptr(JsonNode) node = read_capture (snapshot);
  JsonObject *capture = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  JsonNode *member = capture != NULL ? json_object_get_member (capture, "passed_over") : NULL;
  JsonArray *passed_over = member != NULL && JSON_NODE_HOLDS_ARRAY (member) ? json_node_get_array (member) : NULL;
  const char *engine;

  if (capture == NULL)
    return;
  engine = json_object_get_string_member_with_default (capture, "engine", NULL);
  pv_table_row (table, "engine", engine != NULL ? engine : "disks", NULL);
  for (guint i = 0; passed_over != NULL && i < json_array_get_length (passed_over); i++)
    pv_table_row (table, "not taken", json_array_get_string_element (passed_over, i), NULL);
}

static void
print_json (PvStore *store, PvSnapshot *snapshot, const Usage *usage)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  const char *full = pv_snapshot_full_name (snapshot);
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (snapshot));
  g_autoptr(GPtrArray) attachments = pv_snapshot_attachments (snapshot);

  json_builder_begin_object (builder);
  pv_json_string (builder, "snapshot", full);
  pv_json_string (builder, "domain", pv_snapshot_domain (snapshot));
  pv_json_string (builder, "name", pv_snapshot_name (snapshot));
  pv_json_string (builder, "id", id);
  pv_json_time (builder, "time", pv_snapshot_time (snapshot));
  pv_json_string (builder, "state", pv_guest_state_to_string (pv_snapshot_state (snapshot)));
  pv_json_string (builder, "parent", pv_snapshot_parent (snapshot));
  pv_json_string (builder, "description", pv_snapshot_description (snapshot));
  pv_json_size (builder, "ram_bytes", pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM));
  pv_json_size (builder, "disk_bytes", pv_snapshot_volumes_size (snapshot, PV_VOLUME_DISK));
  pv_json_size (builder, "stored_bytes", pv_snapshot_stored_size (snapshot));
  if (usage != NULL)
    {
      pv_json_size (builder, "own_bytes", usage->own);
      pv_json_size (builder, "shared_bytes", usage->shared);
    }
  json_builder_set_member_name (builder, "volumes");
  json_builder_begin_array (builder);
  for (guint i = 0; i < pv_snapshot_n_volumes (snapshot); i++)
    {
      const PvVolume *volume = pv_snapshot_volume (snapshot, i);

      json_builder_begin_object (builder);
      pv_json_string (builder, "kind", pv_volume_kind_to_string (volume->kind));
      pv_json_string (builder, "name", volume->name);
      pv_json_size (builder, "bytes", volume->size);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
  pv_json_strings (builder, "attachments", attachments);
  add_capture (builder, snapshot);
  pv_lazy_add_json (builder, store, full);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_volumes (PvSnapshot *snapshot)
{
  static const PvColumn columns[]
    = { { "KIND", PV_COLUMN_LEFT }, { "NAME", PV_COLUMN_LEFT }, { "SIZE", PV_COLUMN_RIGHT } };
  g_autoptr(PvTable) table = pv_table_new (columns, G_N_ELEMENTS (columns));

  for (guint i = 0; i < pv_snapshot_n_volumes (snapshot); i++)
    {
      const PvVolume *volume = pv_snapshot_volume (snapshot, i);
      g_autofree char *size = pv_bytesize_format (volume->size);

      pv_table_row (table, pv_volume_kind_to_string (volume->kind), volume->name, size, NULL);
    }
  putchar ('\n');
  pv_table_print (table);
}

static void
print_text (PvStore *store, PvSnapshot *snapshot, const Usage *usage)
{
  g_autoptr(PvTable) table = pv_table_new_pairs ();
  const char *full = pv_snapshot_full_name (snapshot);
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (snapshot));
  g_autofree char *time = pv_output_time (pv_snapshot_time (snapshot));
  g_autofree char *stored = pv_bytesize_format (pv_snapshot_stored_size (snapshot));
  g_autoptr(GPtrArray) attachments = pv_snapshot_attachments (snapshot);
  g_autofree char *documents = NULL;

  g_ptr_array_add (attachments, NULL);
  documents = g_strjoinv (" ", (char **) attachments->pdata);
  pv_table_row (table, "snapshot", full, NULL);
  pv_table_row (table, "id", id, NULL);
  pv_table_row (table, "time", time, NULL);
  pv_table_row (table, "state", pv_guest_state_to_string (pv_snapshot_state (snapshot)), NULL);
  if (pv_snapshot_parent (snapshot) != NULL)
    pv_table_row (table, "parent", pv_snapshot_parent (snapshot), NULL);
  if (pv_snapshot_description (snapshot) != NULL)
    pv_table_row (table, "description", pv_snapshot_description (snapshot), NULL);
  add_engine_rows (table, snapshot);
  pv_table_row (table, "new", stored, NULL);
  if (usage != NULL)
    {
      g_autofree char *own = pv_bytesize_format (usage->own);
      g_autofree char *shared = pv_bytesize_format (usage->shared);

      pv_table_row (table, "own", own, NULL);
      pv_table_row (table, "shared", shared, NULL);
    }
  pv_table_row (table, "attachments", documents, NULL);
  pv_table_print (table);
  print_volumes (snapshot);
  pv_lazy_print (store, full);
}

static gboolean
measure (PvCli *cli, PvStore *store, PvSnapshot *snapshot, Usage *usage, GError **error)
{
  return pv_store_snapshot_usage (store, snapshot, &usage->own, &usage->shared, cli->cancellable, error);
}

static PvExit
run_show (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;
  Usage usage = { 0 };

  if (!pv_cli_check_snapshot (cli, args[0], error))
    return PV_EXIT_USAGE;
  store = pv_cli_open_store (cli, 0, error);
  if (store == NULL)
    return PV_EXIT_FAILED;
  snapshot = pv_cli_lookup (cli, store, args[0], error);
  if (snapshot == NULL)
    return PV_EXIT_FAILED;
  if (opt_xml || opt_inactive)
    return print_xml (snapshot, error);
  if (opt_usage && !measure (cli, store, snapshot, &usage, error))
    return PV_EXIT_FAILED;
  if (cli->json)
    print_json (store, snapshot, opt_usage ? &usage : NULL);
  else
    print_text (store, snapshot, opt_usage ? &usage : NULL);
  return PV_EXIT_OK;
}

const PvCommand pv_command_show = {
  .name = "show",
  .arguments = "DOMAIN@NAME",
  .summary = "Show what a snapshot consists of",
  .details = "'new' is what the snapshot added to the store when it was made; with --usage, 'own' is what\n"
             "deleting it would set free now and 'shared' what other snapshots need as well.\n"
             "\n"
             "Examples:\n"
             "  pagevault show web1@before-upgrade\n"
             "  pagevault show web1@before-upgrade --xml | virsh define /dev/stdin\n"
             "\n"
             "Keys of --json: those of 'list', and id, description, volumes (an array of kind, name,\n"
             "bytes), attachments, capture (engine, pause and versions, null for an import), restores (as\n"
             "'list' tells them); with --usage own_bytes and shared_bytes.",
  .min_args = 1,
  .max_args = 1,
  .options = options,
  .run = run_show,
};
