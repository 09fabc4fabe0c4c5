/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/remote-argument.h"
#include "cli/transfer-command.h"
#include "store/pull.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "virt/json-members.h"

static const GOptionEntry options[] = {
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

static void
tell (PvTransfer *transfer, const PvPullResult *result)
{
  g_autofree char *took = pv_transfer_over (transfer);
  g_autofree char *fetched = pv_bytesize_format (result->fetched_bytes);

  if (transfer->builder != NULL)
    {
      pv_json_boolean (transfer->builder, "was_there", result->was_there);
      pv_json_size (transfer->builder, "packs_fetched", result->packs_fetched);
      pv_json_size (transfer->builder, "fetched_bytes", result->fetched_bytes);
    }
  else if (result->was_there)
    printf ("%s is here already\n", transfer->full);
  else
    printf ("%s pulled: %s fetched in %" G_GUINT64_FORMAT " packs, %s\n", transfer->full, fetched,
            result->packs_fetched, took);
}

static gboolean
pull_one (PvTransfer *transfer, GError **error)
{
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GError) why = NULL;
  PvPullResult result;

  snapshot = pv_mirror_find (transfer->mirror, transfer->domain, transfer->name, &why);
  if (why != NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  if (snapshot == NULL)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "the remote has no such snapshot");
  if (!pv_store_pull (transfer->store, transfer->mirror, snapshot, &result, pv_progress_update, transfer->progress,
                      transfer->cli->cancellable, error))
    return FALSE;
  tell (transfer, &result);
  return TRUE;
}

static PvExit
run_pull (PvCli *cli, char **args, GError **error)
{
  return pv_transfer_command_run (cli, args, "pulled", PV_STORE_OPEN_CREATE, TRUE, pull_one, error);
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
