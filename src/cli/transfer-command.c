/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/transfer-command.h"

#include "cli/output.h"
#include "cli/remote-argument.h"
#include "util/snapshot-name.h"

char *
pv_transfer_over (PvTransfer *transfer)
{
  gint64 took = g_get_monotonic_time () - transfer->began;

  g_clear_pointer (&transfer->progress, pv_progress_free);
  return pv_output_duration ((double) took / 1000);
}

static gboolean
transfer_one (PvTransfer *transfer, PvTransferFunc func, GError **error)
{
  g_autofree char *domain = NULL, *name = NULL;
  gboolean ok;

  pv_cli_set_subject (transfer->cli, transfer->full);
  if (!pv_snapshot_name_parse (transfer->full, &domain, &name, error))
    return FALSE;
  transfer->domain = domain;
  transfer->name = name;
  transfer->began = g_get_monotonic_time ();
  transfer->progress = pv_progress_new ();
  if (transfer->builder != NULL)
    {
      json_builder_begin_object (transfer->builder);
      pv_json_string (transfer->builder, "snapshot", transfer->full);
    }
  ok = func (transfer, error);
  if (transfer->builder != NULL)
    json_builder_end_object (transfer->builder);
  g_clear_pointer (&transfer->progress, pv_progress_free);
  return ok;
}

PvExit
pv_transfer_command_run (PvCli *cli, char **args, const char *member, PvStoreOpenFlags flags, gboolean refresh,
                         PvTransferFunc func, GError **error)
{
  guint n = g_strv_length (args) - 1;
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvMirror) mirror = NULL;
  PvTransfer transfer = { .cli = cli, .builder = cli->json ? builder : NULL };
  gboolean ok = TRUE;

  for (guint i = 0; i < n; i++)
    if (!pv_cli_check_snapshot (cli, args[i], error))
      return PV_EXIT_USAGE;
  if (!pv_remote_argument_check (args[n], error))
    return PV_EXIT_USAGE;
  transfer.store = store = pv_cli_open_store (cli, flags, error);
  transfer.mirror = mirror = store != NULL ? pv_remote_argument_open (store, args[n], NULL, error) : NULL;
  if (mirror == NULL || (refresh && !pv_remote_argument_refresh (cli, mirror, error)))
    return PV_EXIT_FAILED;
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, member);
  json_builder_begin_array (builder);
  for (guint i = 0; ok && i < n; i++)
    {
      transfer.full = args[i];
      ok = transfer_one (&transfer, func, error);
    }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  if (cli->json && ok)
    pv_json_print (builder);
  return ok ? PV_EXIT_OK : PV_EXIT_FAILED;
}
