/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/output.h"
#include "cli/remote-argument.h"
#include "store/store-format.h"
#include "store/store-keys.h"
#include "store/unlock.h"
#include "util/bytesize.h"
#include "util/error.h"

#define DEFAULT_NAME "attached"

static char *opt_name;
static char *opt_cache;

static const GOptionEntry options[] = {
  { "name", 0, 0, G_OPTION_ARG_STRING, &opt_name, "What to call the remote (" DEFAULT_NAME ")", "NAME" },
  { "cache", 0, 0, G_OPTION_ARG_STRING, &opt_cache, "Keep at most so much of what was read (8G)", "SIZE" },
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

/* An encrypted remote is shared by stores of one key: a new store takes over the marker, and with it the key. Whoever
 * does not have that leaves nothing behind. */
static gboolean
make_store (PvCli *cli, PvRemote *remote, GError **error)
{
  g_autoptr(GError) why = NULL;
  g_autoptr(PvStoreKey) key = NULL;
  g_autoptr(GBytes) marker = NULL;
  PvStoreFormat format;

  if (pv_store_read_format (cli->store_directory, &format, &why)
      || !g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE; /* opening it says what is wrong */
  marker = pv_remote_get_all (remote, "format", PV_STORE_FORMAT_MAX, cli->cancellable, error);
  if (marker == NULL)
    {
      if (error != NULL && g_error_matches (*error, PV_ERROR, PV_ERROR_NOT_FOUND))
        g_prefix_error (error, "there is no store to attach to: ");
      return FALSE;
    }
  if (!pv_store_format_parse (marker, &format, error))
    {
      g_prefix_error (error, "the format marker of the remote: ");
      return FALSE;
    }
  g_clear_error (&why);
  key = pv_unlock (pv_remote_url (remote), &format, &why);
  if (why != NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  return key == NULL || pv_store_create (cli->store_directory, &format, error);
}

static void
print_result (PvCli *cli, PvMirror *mirror, GPtrArray *snapshots)
{
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "remote", pv_mirror_name (mirror));
      pv_json_size (builder, "snapshots", snapshots->len);
      json_builder_end_object (builder);
      pv_json_print (builder);
      return;
    }
  printf ("attached as '%s': %u snapshots, see 'pagevault list'\n", pv_mirror_name (mirror), snapshots->len);
}

static PvExit
run_attach (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvRemote) remote = NULL;
  g_autoptr(PvMirror) mirror = NULL;
  g_autoptr(GPtrArray) snapshots = NULL;
  guint64 cache = 0;

  if (!pv_remote_argument_check (args[0], error) || (opt_name != NULL && !pv_mirror_name_check (opt_name, error))
      || (opt_cache != NULL && !pv_bytesize_parse (opt_cache, &cache, error)))
    return PV_EXIT_USAGE;
  if (pv_remote_argument_is_url (args[0]))
    {
      remote = pv_remote_argument_connect (args[0], error);
      if (remote == NULL || !make_store (cli, remote, error))
        return PV_EXIT_FAILED;
    }
  store = pv_cli_open_store (cli, remote != NULL ? PV_STORE_OPEN_CREATE : 0, error);
  if (store != NULL)
    mirror = pv_remote_argument_open (store, args[0], opt_name != NULL ? opt_name : DEFAULT_NAME, error);
  if (mirror == NULL || !pv_remote_argument_refresh (cli, mirror, error)
      || (snapshots = pv_mirror_list (mirror, NULL, error)) == NULL
      || ((cache != 0 || !pv_mirror_is_attached (mirror)) && !pv_mirror_attach (mirror, cache, error)))
    return PV_EXIT_FAILED;
  print_result (cli, mirror, snapshots);
  return PV_EXIT_OK;
}

const PvCommand pv_command_attach = {
  .name = "attach",
  .arguments = "REMOTE",
  .summary = "Read the snapshots of a remote as if they were here",
  .details = "REMOTE is as for 'push'. The store is made when there is none. Its list then has the remote's\n"
             "snapshots, too; they are shown, restored and exported like others: what is read of them is\n"
             "fetched when it is wanted, and kept up to --cache. A guest that is restored from there runs\n"
             "before its memory has been fetched. Attached again, the list is brought up to date.\n"
             "\n"
             "Examples:\n"
             "  pagevault attach file:///mnt/backup\n"
             "  pagevault attach s3://vault/lab --endpoint https://s3.example.org && pagevault restore web1@monday\n"
             "\n"
             "Keys of --json: remote (its name), snapshots (their number).",
  .min_args = 1,
  .max_args = 1,
  .options = options,
  .run = run_attach,
};
