/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/output.h"
#include "cli/remote-argument.h"
#include "store/store-keys.h"
#include "util/error.h"

static char *opt_new_file, *opt_new_secret;
static int opt_cost = PV_KEY_COST_DEFAULT;

static const GOptionEntry options[] = {
  { "new-passphrase-file", 0, 0, G_OPTION_ARG_FILENAME, &opt_new_file, "The new pass phrase is in FILE", "FILE" },
  { "new-secret", 0, 0, G_OPTION_ARG_STRING, &opt_new_secret, "The new key is libvirt's secret UUID", "UUID" },
  { "scrypt-cost", 0, 0, G_OPTION_ARG_INT, &opt_cost, "Of a new pass phrase: scrypt takes 2^N KiB (default: 16)", "N" },
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

/* --- list --------------------------------------------------------------------------------------------------------- */

static char *
secret_uuid (const PvKeySlot *slot)
{
  g_autoptr(GString) text = g_string_new (NULL);
  const guint8 *bytes = pv_key_slot_secret_uuid (slot);

  for (guint i = 0; i < PV_KEY_UUID_SIZE; i++)
    g_string_append_printf (text, "%s%02x", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "", bytes[i]);
  return g_string_free (g_steal_pointer (&text), FALSE);
}

static void
print_json (const PvStoreFormat *format)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "keys");
  json_builder_begin_array (builder);
  for (guint i = 0; i < format->n_key_slots; i++)
    {
      const PvKeySlot *slot = &format->key_slots[i];
      gboolean is_secret = pv_key_slot_kind (slot) == PV_KEY_SLOT_SECRET;
      g_autofree char *uuid = is_secret ? secret_uuid (slot) : NULL;

      json_builder_begin_object (builder);
      pv_json_size (builder, "number", i + 1);
      pv_json_string (builder, "kind", is_secret ? "secret" : "passphrase");
      pv_json_string (builder, "secret", uuid);
      pv_json_size (builder, "scrypt_cost", pv_key_slot_cost (slot));
      pv_json_time (builder, "time", pv_key_slot_time (slot));
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_text (const PvStoreFormat *format)
{
  static const PvColumn columns[] = {
    { "KEY", PV_COLUMN_RIGHT }, { "KIND", PV_COLUMN_LEFT }, { "MADE", PV_COLUMN_LEFT }, { "DETAILS", PV_COLUMN_LEFT }
  };
  g_autoptr(PvTable) table = pv_table_new (columns, G_N_ELEMENTS (columns));

  for (guint i = 0; i < format->n_key_slots; i++)
    {
      const PvKeySlot *slot = &format->key_slots[i];
      gboolean is_secret = pv_key_slot_kind (slot) == PV_KEY_SLOT_SECRET;
      g_autofree char *number = g_strdup_printf ("%u", i + 1);
      g_autofree char *time = pv_output_time (pv_key_slot_time (slot));
      g_autofree char *details
        = is_secret ? secret_uuid (slot) : g_strdup_printf ("scrypt, cost %u", pv_key_slot_cost (slot));

      pv_table_row (table, number, is_secret ? "secret" : "passphrase", time, details, NULL);
    }
  pv_table_print (table);
}

/* Needs no key. */
static gboolean
list_keys (PvCli *cli, GError **error)
{
  PvStoreFormat format;

  if (!pv_store_read_format (cli->store_directory, &format, error))
    return FALSE;
  if (cli->json)
    print_json (&format);
  else if (format.n_key_slots == 0)
    puts ("the store is not encrypted");
  else
    print_text (&format);
  return TRUE;
}

/* --- the others --------------------------------------------------------------------------------------------------- */

/* The slot that is meant: NUMBER, or the one that the store was opened with. */
static gboolean
choose (PvCli *cli, const PvStoreFormat *format, const char *argument, guint *number, GError **error)
{
  guint64 value = cli->keys.slot;

  if (argument != NULL && !g_ascii_string_to_unsigned (argument, 10, 1, PV_STORE_KEY_SLOTS, &value, NULL))
    return pv_throw (error, PV_ERROR_INVALID, "a key is a number from 1 to %u, as 'pagevault key list' shows it",
                     PV_STORE_KEY_SLOTS);
  if (value == 0 || value > format->n_key_slots)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "there is no key %" G_GUINT64_FORMAT ": see 'pagevault key list'",
                     value);
  *number = (guint) value;
  return TRUE;
}

static gboolean
make_slot (PvCli *cli, PvStore *store, const PvStoreFormat *format, PvKeySlot *slot, GError **error)
{
  const PvKeySource source = { .passphrase_file = opt_new_file, .secret_uuid = opt_new_secret, .uri = cli->uri };
  guint8 uuid[PV_KEY_UUID_SIZE];

  pv_store_format_uuid (format, uuid);
  return pv_key_source_wrap (&source, pv_store_get_key (store), (guint) opt_cost, uuid, slot, error);
}

static gboolean
edit_keys (PvCli *cli, const char *verb, const char *argument, guint *number, GError **error)
{
  g_autoptr(PvStore) store = pv_cli_open_store (cli, 0, error);
  PvStoreFormat format;
  PvKeySlot slot;

  if (store == NULL || !pv_store_read_format (cli->store_directory, &format, error))
    return FALSE;
  if (format.n_key_slots == 0)
    return pv_throw (error, PV_ERROR_INVALID,
                     "the store is not encrypted: that is settled by 'pagevault init --encrypt', when it is made");
  if (g_str_equal (verb, "add"))
    return make_slot (cli, store, &format, &slot, error) && pv_store_keys_add (store, &slot, number, error);
  if (!choose (cli, &format, argument, number, error))
    return FALSE;
  if (g_str_equal (verb, "remove"))
    return pv_store_keys_remove (store, *number, &format.key_slots[*number - 1], error);
  return make_slot (cli, store, &format, &slot, error)
         && pv_store_keys_replace (store, *number, &format.key_slots[*number - 1], &slot, error);
}

/* Remotes have the keys of the store that pushed there first, until they are sent others. */
static gboolean
send_keys (PvCli *cli, const char *argument, GError **error)
{
  g_autoptr(PvStore) store = pv_cli_open_store (cli, 0, error);
  g_autoptr(PvMirror) mirror = store != NULL ? pv_remote_argument_open (store, argument, NULL, error) : NULL;

  if (mirror == NULL || !pv_mirror_send_format (mirror, cli->cancellable, error))
    return FALSE;
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "remote", pv_mirror_name (mirror));
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else
    printf ("the keys of the store open remote '%s', and no others\n", pv_mirror_name (mirror));
  return TRUE;
}

static gboolean
check_command_line (char **args, GError **error)
{
  const char *const verbs[] = { "list", "add", "change", "remove", "send", NULL };
  gboolean sends = g_str_equal (args[0], "send");
  gboolean makes = g_str_equal (args[0], "add") || g_str_equal (args[0], "change");

  if (!g_strv_contains (verbs, args[0]))
    return pv_throw (error, PV_ERROR_INVALID, "write 'pagevault key list', 'add', 'change', 'remove' or 'send'");
  if (args[1] != NULL && !sends && !g_str_equal (args[0], "change") && !g_str_equal (args[0], "remove"))
    return pv_throw (error, PV_ERROR_INVALID, "too many arguments: write 'pagevault key %s'", args[0]);
  if (args[1] == NULL && g_str_equal (args[0], "remove"))
    return pv_throw (error, PV_ERROR_INVALID, "an argument is missing: write 'pagevault key remove NUMBER'");
  if (args[1] == NULL && sends)
    return pv_throw (error, PV_ERROR_INVALID, "an argument is missing: write 'pagevault key send REMOTE'");
  if (sends && !pv_remote_argument_check (args[1], error))
    return FALSE;
  if (!makes && (opt_new_file != NULL || opt_new_secret != NULL))
    return pv_throw (error, PV_ERROR_INVALID, "--new-passphrase-file and --new-secret go with 'add' and 'change'");
  if (opt_new_file != NULL && opt_new_secret != NULL)
    return pv_throw (error, PV_ERROR_INVALID, "--new-passphrase-file and --new-secret exclude each other");
  return pv_cli_check_scrypt_cost (opt_cost, error);
}

static PvExit
run_key (PvCli *cli, char **args, GError **error)
{
  guint number = 0;

  if (!check_command_line (args, error))
    return PV_EXIT_USAGE;
  pv_cli_set_subject (cli, args[0]);
  if (g_str_equal (args[0], "list"))
    return list_keys (cli, error) ? PV_EXIT_OK : PV_EXIT_FAILED;
  if (g_str_equal (args[0], "send"))
    return send_keys (cli, args[1], error) ? PV_EXIT_OK : PV_EXIT_FAILED;
  if (!edit_keys (cli, args[0], args[1], &number, error))
    return PV_EXIT_FAILED;
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_size (builder, "number", number);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else
    printf ("key %u %s\n", number, g_str_equal (args[0], "add")      ? "added"
                                   : g_str_equal (args[0], "change") ? "changed"
                                                                     : "removed");
  return PV_EXIT_OK;
}

const PvCommand pv_command_key = {
  .name = "key",
  .arguments = "list|add|change [NUMBER]|remove NUMBER|send REMOTE",
  .summary = "List and change what opens an encrypted store",
  .details = "Every key opens the whole store; up to eight pass phrases and libvirt secrets can be keys of\n"
             "it at the same time. Changing them rewrites no data, and the last one cannot be removed.\n"
             "'change' without NUMBER changes the one that the store was opened with. A secret has 32 bytes\n"
             "or more that nobody can guess. 'list' needs no key. A remote keeps the keys of the store that\n"
             "pushed there first, until 'send' puts those of this store in their place.\n"
             "\n"
             "Whoever knew a removed pass phrase and has an old copy of STORE/format can still open the store.\n"
             "\n"
             "Examples:\n"
             "  pagevault key list\n"
             "  pagevault --passphrase-file old.txt key change --new-passphrase-file new.txt\n"
             "  pagevault key add --new-secret 6b5c0ae8-9b4e-4d5d-8e6e-1a2b3c4d5e6f\n"
             "\n"
             "Keys of --json: list: keys (an array of number, kind, secret, scrypt_cost, time); send: remote;\n"
             "others: number.",
  .min_args = 1,
  .max_args = 2,
  .options = options,
  .run = run_key,
};
