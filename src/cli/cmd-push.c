/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/remote-argument.h"
#include "cli/transfer-command.h"
#include "store/push.h"
#include "util/bytesize.h"
#include "virt/json-members.h"

static const GOptionEntry options[] = {
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

static void
tell (PvTransfer *transfer, const PvPushResult *result)
{
  g_autofree char *took = pv_transfer_over (transfer);
  g_autofree char *sent = pv_bytesize_format (result->sent_bytes);

  if (transfer->builder != NULL)
    {
      pv_json_boolean (transfer->builder, "was_there", result->was_there);
      pv_json_size (transfer->builder, "packs", result->packs);
      pv_json_size (transfer->builder, "packs_sent", result->packs_sent);
      pv_json_size (transfer->builder, "shared_packs", result->shared_packs);
      pv_json_size (transfer->builder, "sent_bytes", result->sent_bytes);
    }
  else if (result->was_there)
    printf ("%s is there already\n", transfer->full);
  else
    printf ("%s pushed: %s sent in %" G_GUINT64_FORMAT " packs, %s\n", transfer->full, sent, result->packs_sent, took);
}

static gboolean
push_one (PvTransfer *transfer, GError **error)
{
  g_autoptr(PvSnapshot) snapshot = pv_store_lookup (transfer->store, transfer->domain, transfer->name, error);
  g_autoptr(PvStorePin) pin = snapshot != NULL ? pv_store_pin (transfer->store, snapshot, error) : NULL;
  PvPushResult result;

  if (pin == NULL
      || !pv_store_push (transfer->store, transfer->mirror, snapshot, &result, pv_progress_update, transfer->progress,
                         transfer->cli->cancellable, error))
    return FALSE;
  tell (transfer, &result);
  return TRUE;
}

static PvExit
run_push (PvCli *cli, char **args, GError **error)
{
  return pv_transfer_command_run (cli, args, "pushed", 0, FALSE, push_one, error);
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
