/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "restore/lazy-restore.h"
#include "restore/working-set.h"
#include "util/bytesize.h"
#include "util/error.h"

static int opt_min_live = 70;

static const GOptionEntry options[] = {
  { "min-live", 0, 0, G_OPTION_ARG_INT, &opt_min_live, "Rewrite packs of which less than this is needed (70)",
    "PERCENT" },
  G_OPTION_ENTRY_NULL
};

static void
print_result (PvCli *cli, const PvGcResult *result)
{
  g_autofree char *freed = pv_bytesize_format (result->freed_bytes);

  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_size (builder, "packs_removed", result->packs_removed);
      pv_json_size (builder, "packs_rewritten", result->packs_rewritten);
      pv_json_size (builder, "freed_bytes", result->freed_bytes);
      pv_json_size (builder, "waiting_packs", result->waiting_packs);
      json_builder_end_object (builder);
      pv_json_print (builder);
      return;
    }
  printf ("%s freed: %" G_GUINT64_FORMAT " packs removed, %" G_GUINT64_FORMAT " rewritten\n", freed,
          result->packs_removed, result->packs_rewritten);
  if (result->waiting_packs > 0)
    printf ("%" G_GUINT64_FORMAT " packs wait for a writer that is still at work: the next gc takes them\n",
            result->waiting_packs);
}

static PvExit
run_gc (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvProgress) progress = NULL;
  PvGcResult result = { 0 };
  gboolean done;

  if (opt_min_live < 0 || opt_min_live > 100)
    {
      pv_throw (error, PV_ERROR_INVALID, "--min-live is a percentage: 0 to 100, not %d", opt_min_live);
      return PV_EXIT_USAGE;
    }
  store = pv_cli_open_store (cli, 0, error);
  if (store == NULL)
    return PV_EXIT_FAILED;
  /* a guest whose pager was killed gets a new one first: that keeps what it needs */
  if (!pv_lazy_recover_all (store, error) || !pv_working_set_sweep (store, error))
    return PV_EXIT_FAILED;
  progress = pv_progress_new ();
  done = pv_store_gc (store, (guint) opt_min_live, &result, pv_progress_update, progress, cli->cancellable, error);
  g_clear_pointer (&progress, pv_progress_free);
  if (!done)
    return PV_EXIT_FAILED;
  print_result (cli, &result);
  return PV_EXIT_OK;
}

const PvCommand pv_command_gc = {
  .name = "gc",
  .arguments = "",
  .summary = "Give back the space of deleted snapshots",
  .details = "Works beside create, import and restore; stopped at any point, it leaves a whole store.\n"
             "Packs of which little is still needed are rewritten, and so are small ones of which there are\n"
             "many; --min-live 0 rewrites none.\n"
             "\n"
             "Example:\n"
             "  pagevault gc --min-live 50\n"
             "\n"
             "Keys of --json: packs_removed, packs_rewritten, freed_bytes, waiting_packs.",
  .max_args = 0,
  .options = options,
  .run = run_gc,
};
