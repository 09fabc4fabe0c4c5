/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/output.h"
#include "cli/remote-argument.h"
#include "store/prune.h"
#include "util/bytesize.h"
#include "util/error.h"

#define SECONDS_PER_HOUR 3600u
#define HOURS_MAX (10 * 365 * 24)

static char *opt_remote;
static int opt_grace = PV_PRUNE_GRACE_DEFAULT / SECONDS_PER_HOUR;
static gboolean opt_dry_run;

static const GOptionEntry options[] = {
  { "remote", 0, 0, G_OPTION_ARG_STRING, &opt_remote, "The remote, as for 'push'", "REMOTE" },
  { "grace", 0, 0, G_OPTION_ARG_INT, &opt_grace, "Remove what was found unneeded so long ago (168)", "HOURS" },
  { "dry-run", 0, 0, G_OPTION_ARG_NONE, &opt_dry_run, "Only tell what would be done", NULL },
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

static void
print_result (PvCli *cli, const PvPruneResult *result)
{
  g_autofree char *removed = pv_bytesize_format (result->removed_bytes);
  g_autofree char *condemned = pv_bytesize_format (result->condemned_bytes);

  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_size (builder, "removed_packs", result->removed_packs);
      pv_json_size (builder, "removed_bytes", result->removed_bytes);
      pv_json_size (builder, "condemned_packs", result->condemned_packs);
      pv_json_size (builder, "condemned_bytes", result->condemned_bytes);
      pv_json_size (builder, "waiting_packs", result->waiting_packs);
      json_builder_end_object (builder);
      pv_json_print (builder);
      return;
    }
  printf ("%s removed in %" G_GUINT64_FORMAT " packs\n", removed, result->removed_packs);
  if (result->condemned_packs > 0)
    printf ("%s in %" G_GUINT64_FORMAT " packs are not needed: a prune in %d hours or later removes them\n", condemned,
            result->condemned_packs, opt_grace);
  if (result->waiting_packs > 0)
    printf ("%" G_GUINT64_FORMAT " packs were found before and have to wait\n", result->waiting_packs);
}

static PvExit
run_prune (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvMirror) mirror = NULL;
  PvPruneResult result;

  if (opt_remote == NULL)
    {
      pv_throw (error, PV_ERROR_INVALID, "say which remote: --remote REMOTE");
      return PV_EXIT_USAGE;
    }
  if (opt_grace < (int) (PV_PRUNE_GRACE_MIN / SECONDS_PER_HOUR) || opt_grace > HOURS_MAX)
    {
      pv_throw (error, PV_ERROR_INVALID, "--grace: 1 to %d hours", HOURS_MAX);
      return PV_EXIT_USAGE;
    }
  if (!pv_remote_argument_check (opt_remote, error))
    return PV_EXIT_USAGE;
  store = pv_cli_open_store (cli, 0, error);
  mirror = store != NULL ? pv_remote_argument_open (store, opt_remote, NULL, error) : NULL;
  if (mirror == NULL
      || !pv_mirror_prune (mirror, (guint64) opt_grace * SECONDS_PER_HOUR, g_get_real_time (), opt_dry_run, &result,
                           cli->cancellable, error))
    return PV_EXIT_FAILED;
  print_result (cli, &result);
  return PV_EXIT_OK;
}

const PvCommand pv_command_prune = {
  .name = "prune",
  .arguments = "--remote REMOTE",
  .summary = "Give back the space of snapshots deleted from a remote",
  .details = "Works in two phases: packs that no snapshot of the remote needs are noted; a prune that runs\n"
             "when that is --grace hours ago removes those that are not needed still. So no push, of\n"
             "whichever host, ever loses a pack. Run it now and then, on any host.\n"
             "\n"
             "Example:\n"
             "  pagevault delete --remote file:///mnt/backup web1@monday\n"
             "  pagevault prune --remote file:///mnt/backup\n"
             "\n"
             "Keys of --json: removed_packs, removed_bytes, condemned_packs, condemned_bytes, waiting_packs.",
  .max_args = 0,
  .options = options,
  .run = run_prune,
};
