/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "cli/remote-argument.h"
#include "store/push.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static const GOptionEntry options[] = {
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

static void
print_result (const char *full, const PvPushResult *result, double seconds)
{
  g_autofree char *sent = pv_bytesize_format (result->sent_bytes);
  g_autofree char *took = pv_output_duration (seconds * 1000);

  if (result->was_there)
    printf ("%s is there already\n", full);
  else
    printf ("%s pushed: %s sent in %" G_GUINT64_FORMAT " packs, %s\n", full, sent, result->packs_sent, took);
}

static void
add_json (JsonBuilder *builder, const char *full, const PvPushResult *result)
{
  json_builder_begin_object (builder);
  pv_json_string (builder, "snapshot", full);
  pv_json_boolean (builder, "was_there", result->was_there);
  pv_json_size (builder, "packs", result->packs);
  pv_json_size (builder, "packs_sent", result->packs_sent);
  pv_json_size (builder, "shared_packs", result->shared_packs);
  pv_json_size (builder, "sent_bytes", result->sent_bytes);
  json_builder_end_object (builder);
}

static gboolean
push_one (PvCli *cli, PvStore *store, PvMirror *mirror, const char *full, JsonBuilder *builder, GError **error)
{
  g_autofree char *domain = NULL, *name = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvProgress) progress = pv_progress_new ();
  g_autoptr(PvStorePin) pin = NULL;
  gint64 began = g_get_monotonic_time ();
  PvPushResult result;

  pv_cli_set_subject (cli, full);
  if (!pv_snapshot_name_parse (full, &domain, &name, error))
    return FALSE;
  snapshot = pv_store_lookup (store, domain, name, error);
  pin = snapshot != NULL ? pv_store_pin (store, snapshot, error) : NULL;
  if (pin == NULL
      || !pv_store_push (store, mirror, snapshot, &result, pv_progress_update, progress, cli->cancellable, error))
    return FALSE;
  g_clear_pointer (&progress, pv_progress_free);
  if (cli->json)
    add_json (builder, full, &result);
  else
    print_result (full, &result, (double) (g_get_monotonic_time () - began) / G_USEC_PER_SEC);
  return TRUE;
}

static PvExit
run_push (PvCli *cli, char **args, GError **error)
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
  store = pv_cli_open_store (cli, 0, error);
  mirror = store != NULL ? pv_remote_argument_open (store, args[n], NULL, error) : NULL;
  if (mirror == NULL)
    return PV_EXIT_FAILED;
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "pushed");
  json_builder_begin_array (builder);
  for (guint i = 0; ok && i < n; i++)
    ok = push_one (cli, store, mirror, args[i], builder, error);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  if (cli->json && ok)
    pv_json_print (builder);
  return ok ? PV_EXIT_OK : PV_EXIT_FAILED;
}

const PvCommand pv_command_push = {
  .name = "push",
  .arguments = "DOMAIN@NAME... REMOTE",
  .summary = "Copy snapshots to object storage",
  .details = "REMOTE is file:///DIR, s3://BUCKET[/PREFIX], or the name of a remote that was attached. Packs\n"
             "that are not there are sent, then the snapshot is listed there. Stopped at any point and run\n"
             "again, it goes on where it was. Many hosts may push to one remote at once; what another one\n"
             "has sent is not sent again.\n"
             "\n"
             "Keys for S3 come from --credentials, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or\n"
             "~/.aws/credentials; never from the command line.\n"
             "\n"
             "Examples:\n"
             "  pagevault push web1@monday file:///mnt/backup\n"
             "  pagevault push web1@monday s3://vault/lab --endpoint https://s3.example.org --limit-rate 20M\n"
             "\n"
             "Keys of --json: pushed, an array of snapshot, was_there, packs, packs_sent, shared_packs (of\n"
             "other hosts), sent_bytes.",
  .min_args = 2,
  .max_args = PV_ARGS_ANY,
  .options = options,
  .run = run_push,
};
