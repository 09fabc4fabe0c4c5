/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/lazy.h"
#include "cli/output.h"
#include "cli/remote-argument.h"
#include "restore/working-set.h"
#include "store/prune.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static char *opt_remote;

static const GOptionEntry options[] = {
  { "remote", 0, 0, G_OPTION_ARG_STRING, &opt_remote, "Delete from there, as for 'push', and not here", "REMOTE" },
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

/* @mirror: (nullable): where to delete from. */
static gboolean
delete_one (PvCli *cli, PvStore *store, PvMirror *mirror, const char *full, GError **error)
{
  g_autofree char *domain = NULL;
  g_autofree char *name = NULL;

  pv_cli_set_subject (cli, full);
  if (mirror != NULL)
    return pv_snapshot_name_parse (full, &domain, &name, error)
           && pv_mirror_delete (mirror, domain, name, cli->cancellable, error);
  return pv_snapshot_name_parse (full, &domain, &name, error) && pv_lazy_check_unused (store, full, error)
         && pv_store_delete (store, domain, name, error);
}

/* Deletes all that it can; each one that it cannot is reported. */
static PvExit
run_delete (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvMirror) mirror = NULL;
  g_autoptr(GPtrArray) deleted = g_ptr_array_new ();
  gboolean failed = FALSE;

  for (char **at = args; *at != NULL; at++)
    if (!pv_cli_check_snapshot (cli, *at, error))
      return PV_EXIT_USAGE;
  if (opt_remote != NULL && !pv_remote_argument_check (opt_remote, error))
    return PV_EXIT_USAGE;
  store = pv_cli_open_store (cli, 0, error);
  if (store == NULL
      || (opt_remote != NULL && (mirror = pv_remote_argument_open (store, opt_remote, NULL, error)) == NULL))
    return PV_EXIT_FAILED;
  for (char **at = args; *at != NULL; at++)
    {
      g_autoptr(GError) local = NULL;

      if (delete_one (cli, store, mirror, *at, &local))
        g_ptr_array_add (deleted, *at);
      else
        {
          pv_cli_print_error (cli, "delete", local);
          failed = TRUE;
        }
    }
  if (!pv_working_set_sweep (store, error))
    failed = TRUE;
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_strings (builder, "deleted", deleted);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  return failed ? PV_EXIT_FAILED : PV_EXIT_OK;
}

const PvCommand pv_command_delete = {
  .name = "delete",
  .arguments = "DOMAIN@NAME...",
  .summary = "Delete snapshots",
  .details = "The snapshots are gone at once; their space comes back with 'pagevault gc'. What other\n"
             "snapshots share stays. One from which the memory of a running guest is still coming is not\n"
             "deleted.\n"
             "\n"
             "With --remote the snapshots are deleted there; space comes back with 'pagevault prune'.\n"
             "\n"
             "Example:\n"
             "  pagevault delete web1@monday web1@tuesday && pagevault gc\n"
             "\n"
             "Keys of --json: deleted (an array of DOMAIN@NAME).",
  .min_args = 1,
  .max_args = PV_ARGS_ANY,
  .options = options,
  .run = run_delete,
};
