/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/output.h"
#include "store/unlock.h"
#include "util/error.h"

static gboolean opt_encrypt;
static int opt_cost = PV_KEY_COST_DEFAULT;

static const GOptionEntry options[] = {
  { "encrypt", 0, 0, G_OPTION_ARG_NONE, &opt_encrypt, "All that the store will hold is encrypted", NULL },
  { "scrypt-cost", 0, 0, G_OPTION_ARG_INT, &opt_cost, "Of the pass phrase: scrypt takes 2^N KiB (default: 16)", "N" },
  G_OPTION_ENTRY_NULL
};

/* A new store with a new key, which is remembered. PV_ERROR_EXISTS when there is one already. */
static gboolean
make_encrypted (PvCli *cli, GError **error)
{
  g_autoptr(PvStoreKey) key = pv_store_key_new_random (error);
  guint8 uuid[PV_KEY_UUID_SIZE];
  PvStoreFormat format, found;

  if (key == NULL)
    return FALSE;
  if (pv_store_read_format (cli->store_directory, &found, NULL)) /* before a pass phrase is asked for */
    return pv_throw (error, PV_ERROR_EXISTS, "it is a store already: whether it is encrypted was settled then");
  pv_store_format_init (&format);
  pv_store_format_uuid (&format, uuid);
  if (!pv_key_source_wrap (&cli->keys, key, (guint) opt_cost, uuid, &format.key_slots[0], error))
    return FALSE;
  format.n_key_slots = 1;
  if (!pv_store_create (cli->store_directory, &format, error))
    return FALSE;
  pv_unlock_remember (format.uuid, key);
  return TRUE;
}

static PvStore *
open_or_make (PvCli *cli, gboolean *created, GError **error)
{
  g_autoptr(GError) why = NULL;
  PvStore *store;

  *created = opt_encrypt;
  if (opt_encrypt && !make_encrypted (cli, error))
    return NULL;
  store = pv_store_open (cli->store_directory, 0, &why);
  if (store == NULL && g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_clear_error (&why);
      store = pv_store_open (cli->store_directory, PV_STORE_OPEN_CREATE, &why);
      *created = store != NULL;
    }
  if (store == NULL)
    g_propagate_error (error, g_steal_pointer (&why));
  return store;
}

static PvExit
run_init (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  gboolean created = FALSE, encrypted;

  if (!pv_cli_check_scrypt_cost (opt_cost, error))
    return PV_EXIT_USAGE;
  pv_cli_set_subject (cli, cli->store_directory);
  store = open_or_make (cli, &created, error);
  if (store == NULL)
    return PV_EXIT_FAILED;
  encrypted = pv_store_get_key (store) != NULL;
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "store", pv_store_directory (store));
      pv_json_boolean (builder, "created", created);
      pv_json_boolean (builder, "encrypted", encrypted);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else
    printf ("%s: %s%s\n", pv_store_directory (store), created ? "new store" : "is a store already",
            encrypted ? ", encrypted" : "");
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
             "With --encrypt everything is encrypted that tells what guests hold: by a random key that lies\n"
             "in the store, wrapped by a pass phrase (--passphrase-file, or asked for) or by a libvirt secret\n"
             "(--secret). Without it nothing can be read again. 'pagevault key' adds and changes them.\n"
             "\n"
             "Examples:\n"
             "  pagevault --store /srv/vault init\n"
             "  pagevault --store /srv/vault --passphrase-file /root/vault.pass init --encrypt\n"
             "\n"
             "Keys of --json: store, created, encrypted.",
  .max_args = 0,
  .options = options,
  .run = run_init,
};
