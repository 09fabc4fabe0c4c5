/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "cli/remote-argument.h"
#include "store/pull.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static const GOptionEntry options[] = {
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

static void
print_result (const char *full, const PvPullResult *result, double seconds)
{
  g_autofree char *fetched = pv_bytesize_format (result->fetched_bytes);
  g_autofree char *took = pv_output_duration (seconds * 1000);

  if (result->was_there)
    printf ("%s is here already\n", full);
  else
    printf ("%s pulled: %s fetched in %" G_GUINT64_FORMAT " packs, %s\n", full, fetched, result->packs_fetched, took);
}

static void
add_json (JsonBuilder *builder, const char *full, const PvPullResult *result)
{
  json_builder_begin_object (builder);
  pv_json_string (builder, "snapshot", full);
  pv_json_boolean (builder, "was_there", result->was_there);
  pv_json_size (builder, "packs_fetched", result->packs_fetched);
  pv_json_size (builder, "fetched_bytes", result->fetched_bytes);
  json_builder_end_object (builder);
}

static gboolean
pull_one (PvCli *cli, PvStore *store, PvMirror *mirror, const char *full, JsonBuilder *builder, GError **error)
{
  g_autofree char *domain = NULL, *name = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvProgress) progress = pv_progress_new ();
  gint64 began = g_get_monotonic_time ();
  g_autoptr(GError) why = NULL;
  PvPullResult result;

  pv_cli_set_subject (cli, full);
  if (!pv_snapshot_name_parse (full, &domain, &name, error))
    return FALSE;
  snapshot = pv_mirror_find (mirror, domain, name, &why);
  if (why != NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  if (snapshot == NULL)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "the remote has no such snapshot");
  if (!pv_store_pull (store, mirror, snapshot, &result, pv_progress_update, progress, cli->cancellable, error))
    return FALSE;
  g_clear_pointer (&progress, pv_progress_free);
  if (cli->json)
    add_json (builder, full, &result);
  else
    print_result (full, &result, (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC);
  return TRUE;
}

static PvExit
run_pull (PvCli *cli, char **args, GError **error)
{
  guint n = g_strv_length (args) - 1;
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvMirror) mirror = NULL;
  gboolean ok = TRUE;

  for (guint i = 0; i < n; i++)
    if (!pv_cli_check_snapshot (cli, args[i], error))
      return PV_EXIT_USAGE;
  if (!pv_remote_argument_check (args[n], error))
    return PV_EXIT_USAGE;
  store = pv_cli_open_store (cli, PV_STORE_OPEN_CREATE, error);
  mirror = store != NULL ? pv_remote_argument_open (store, args[n], NULL, error) : NULL;
  if (mirror == NULL || !pv_remote_argument_refresh (cli, mirror, error))
    return PV_EXIT_FAILED;
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "pulled");
  json_builder_begin_array (builder);
  for (guint i = 0; ok && i < n; i++)
    ok = pull_one (cli, store, mirror, args[i], builder, error);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  if (cli->json && ok)
    pv_json_print (builder);
  return ok ? PV_EXIT_OK : PV_EXIT_FAILED;
}

const PvCommand pv_command_pull = {
  .name = "pull",
  .arguments = "DOMAIN@NAME... REMOTE",
  .summary = "Copy snapshots from object storage into the store",
  .details = "REMOTE is as for 'push'. Packs that are not here are fetched whole and checked, then the\n"
             "snapshot is listed; stopped at any point and run again, it keeps the packs it has.\n"
             "\n"
             "Example:\n"
             "  pagevault pull web1@monday file:///mnt/backup\n"
             "\n"
             "Keys of --json: pulled, an array of snapshot, was_there, packs_fetched, fetched_bytes.",
  .min_args = 2,
  .max_args = PV_ARGS_ANY,
  .options = options,
  .run = run_pull,
};
