/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/output.h"
#include "util/error.h"

static PvExit
run_init (PvCli *cli, char **args, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvStore) store = NULL;
  gboolean created = FALSE;

  pv_cli_set_subject (cli, cli->store_directory);
  store = pv_store_open (cli->store_directory, 0, &local);
  if (store == NULL && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_clear_error (&local);
      store = pv_store_open (cli->store_directory, PV_STORE_OPEN_CREATE, &local);
      created = store != NULL;
    }
  if (store == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return PV_EXIT_FAILED;
    }
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "store", pv_store_directory (store));
      pv_json_boolean (builder, "created", created);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else
    printf ("%s: %s\n", pv_store_directory (store), created ? "new store" : "is a store already");
  return PV_EXIT_OK;
}

const PvCommand pv_command_init = {
  .name = "init",
  .arguments = "",
  .summary = "Make an empty store",
  .details = "The store is a directory that only its owner can read (0700). Other commands that write make\n"
             "it by themselves, so that this one is needed only to choose its place early. A store that\n"
             "exists already is left as it is.\n"
             "\n"
             "Example:\n"
             "  pagevault --store /srv/vault init\n"
             "\n"
             "Keys of --json: store, created.",
  .max_args = 0,
  .run = run_init,
};
