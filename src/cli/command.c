/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/command.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "restore/remote-secret.h"
#include "store/unlock.h"
#include "util/error.h"
#include "util/snapshot-name.h"

const PvCommand *
pv_command_find (const char *name)
{
  for (guint i = 0; pv_commands[i] != NULL; i++)
    if (g_str_equal (pv_commands[i]->name, name))
      return pv_commands[i];
  return NULL;
}

#define WORD_MAX 64 /* bytes of a word that is compared */

/* The number of letters to change, add, drop or swap with their neighbour to make one word of the other. Both shorter
 * than WORD_MAX. */
static guint
edit_distance (const char *a, const char *b)
{
  guint table[WORD_MAX][WORD_MAX];
  gsize n_a = strlen (a), n_b = strlen (b);

  for (gsize i = 0; i <= n_a; i++)
    for (gsize j = 0; j <= n_b; j++)
      {
        guint best;

        if (i == 0 || j == 0)
          {
            table[i][j] = (guint) (i + j);
            continue;
          }
        best = MIN (table[i - 1][j], table[i][j - 1]) + 1;
        best = MIN (best, table[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
        if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
          best = MIN (best, table[i - 2][j - 2] + 1);
        table[i][j] = best;
      }
  return table[n_a][n_b];
}

const char *
pv_command_suggest (const PvCommand *const *commands, const char *word)
{
  const char *nearest = NULL;
  guint least = 3;

  if (strlen (word) >= WORD_MAX || *word == '\0')
    return NULL;
  for (guint i = 0; commands[i] != NULL; i++)
    {
      const char *name = commands[i]->name;
      guint distance = g_str_has_prefix (name, word) ? 0 : edit_distance (word, name);

      if (distance < least && distance < strlen (name))
        {
          least = distance;
          nearest = name;
        }
    }
  return nearest;
}

char *
pv_command_list_help (void)
{
  g_autoptr(GString) help = g_string_new (
    "Usage: pagevault [OPTION...] COMMAND [ARGUMENT...]\n"
    "\n"
    "Live checkpoints of libvirt guests, kept in a deduplicated store. A snapshot is written DOMAIN@NAME.\n"
    "\n"
    "Commands:\n");

  for (guint i = 0; pv_commands[i] != NULL; i++)
    g_string_append_printf (help, "  %-10s %s\n", pv_commands[i]->name, pv_commands[i]->summary);
  g_string_append (help,
                   "\n"
                   "Options, before or behind the command:\n"
                   "  -c, --connect=URI   libvirt connection (LIBVIRT_DEFAULT_URI, then qemu:///system)\n"
                   "      --store=DIR     the store (PAGEVAULT_STORE, then " PV_DEFAULT_STORE ")\n"
                   "      --passphrase-file=FILE, --secret=UUID\n"
                   "                      what opens an encrypted store (PAGEVAULT_PASSPHRASE_FILE)\n"
                   "      --json          print JSON instead of text\n"
                   "  -h, --help          show this, or the help of a command\n"
                   "      --version       show the version\n"
                   "\n"
                   "Exit status: 0 done, 1 failed, 2 wrong command line, 3 damage found.\n"
                   "'pagevault COMMAND --help' tells all about one command, with examples.\n");
  return g_string_free (g_steal_pointer (&help), FALSE);
}

/* What may stand before the command and behind it. */
typedef struct
{
  char *uri;             /* (owned) (nullable) */
  char *store_directory; /* (owned) (nullable) */
  char *passphrase_file; /* (owned) (nullable) */
  char *secret_uuid;     /* (owned) (nullable) */
  int key_fd;            /* of the one that started us; 0: none */
  gboolean json, help, version;
  char **rest;           /* (owned) (nullable): arguments */
} GlobalOptions;

static void
global_options_clear (GlobalOptions *self)
{
  g_free (self->uri);
  g_free (self->store_directory);
  g_free (self->passphrase_file);
  g_free (self->secret_uuid);
  g_strfreev (self->rest);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (GlobalOptions, global_options_clear)

static void
add_global_options (GOptionContext *context, GlobalOptions *global)
{
  const GOptionEntry entries[] = {
    { "connect", 'c', 0, G_OPTION_ARG_STRING, &global->uri, "libvirt connection", "URI" },
    { "store", 0, 0, G_OPTION_ARG_FILENAME, &global->store_directory, "The store", "DIR" },
    { "passphrase-file", 0, 0, G_OPTION_ARG_FILENAME, &global->passphrase_file, "The store's pass phrase is in FILE",
      "FILE" },
    { "secret", 0, 0, G_OPTION_ARG_STRING, &global->secret_uuid, "The store's key is libvirt's secret UUID", "UUID" },
    { "key-fd", 0, G_OPTION_FLAG_HIDDEN, G_OPTION_ARG_INT, &global->key_fd, NULL, NULL },
    { "json", 0, 0, G_OPTION_ARG_NONE, &global->json, "Print JSON instead of text", NULL },
    { "help", 'h', 0, G_OPTION_ARG_NONE, &global->help, "Show help", NULL },
    { G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, &global->rest, NULL, NULL },
    G_OPTION_ENTRY_NULL
  };

  g_option_context_set_help_enabled (context, FALSE);
  g_option_context_add_main_entries (context, entries, NULL);
}

static void
adopt_global_options (PvCli *cli, GlobalOptions *global)
{
  if (global->uri != NULL)
    {
      g_free (cli->uri);
      cli->uri = g_steal_pointer (&global->uri);
    }
  if (cli->key_configured
      && (global->store_directory != NULL || global->passphrase_file != NULL || global->secret_uuid != NULL))
    {
      g_clear_pointer (&cli->passphrase_file, g_free);
      g_clear_pointer (&cli->secret_uuid, g_free);
      cli->key_configured = FALSE;
    }
  if (global->store_directory != NULL)
    {
      g_clear_error (&cli->configuration);
      g_free (cli->store_directory);
      cli->store_directory = g_steal_pointer (&global->store_directory);
    }
  if (global->passphrase_file != NULL)
    {
      g_free (cli->passphrase_file);
      cli->passphrase_file = g_steal_pointer (&global->passphrase_file);
    }
  if (global->secret_uuid != NULL)
    {
      g_free (cli->secret_uuid);
      cli->secret_uuid = g_steal_pointer (&global->secret_uuid);
    }
  cli->json |= global->json;
}

/* From here on stores can be opened. */
static gboolean
install_keys (PvCli *cli, const GlobalOptions *global, GError **error)
{
  if (global->key_fd > 0 && !pv_unlock_receive (global->key_fd, error))
    return FALSE;
  cli->keys = (PvKeySource){ .passphrase_file = cli->passphrase_file, .secret_uuid = cli->secret_uuid,
                             .uri = cli->uri, .ask = isatty (STDERR_FILENO) == 1 }; /* not in a completion */
  pv_key_source_install (&cli->keys);
  pv_remote_secret_install (cli->uri);
  return TRUE;
}

static gboolean
check_count (const PvCommand *self, guint n_args, GError **error)
{
  if (n_args < self->min_args)
    return pv_throw (error, PV_ERROR_INVALID, "an argument is missing: write 'pagevault %s %s'", self->name,
                     self->arguments);
  if (n_args > self->max_args)
    return pv_throw (error, PV_ERROR_INVALID, "too many arguments: write 'pagevault %s%s%s'", self->name,
                     *self->arguments != '\0' ? " " : "", self->arguments);
  return TRUE;
}

static void
print_help (const PvCommand *self, GOptionContext *context)
{
  g_autofree char *usage = g_strconcat ("pagevault ", self->name, NULL);
  g_autofree char *text = NULL;

  g_set_prgname (usage);
  text = g_option_context_get_help (context, TRUE, NULL);
  g_set_prgname ("pagevault");
  fputs (text, stdout);
}

/* Turns GOption's complaint into one of ours. Always USAGE. */
static PvExit
usage_error (GError **error, const GError *cause, const char *see)
{
  g_autofree char *shown = pv_escape_for_message (cause->message);

  pv_throw (error, PV_ERROR_INVALID, "%s; see '%s --help'", shown, see);
  return PV_EXIT_USAGE;
}

static PvExit
run_command (const PvCommand *self, PvCli *cli, int argc, char **argv, GError **error)
{
  g_auto(GlobalOptions) global = { 0 };
  g_autoptr(GOptionContext) context = g_option_context_new (self->arguments);
  g_autofree char *summary = g_strconcat (self->summary, ".", NULL);
  g_autofree char *see = g_strconcat ("pagevault ", self->name, NULL);
  g_autoptr(GError) local = NULL;
  char *no_args[] = { NULL };
  char **args;

  g_option_context_set_summary (context, summary);
  g_option_context_set_description (context, self->details);
  if (self->options != NULL)
    g_option_context_add_main_entries (context, self->options, NULL);
  add_global_options (context, &global);
  if (!g_option_context_parse (context, &argc, &argv, &local))
    return usage_error (error, local, see);
  if (global.help)
    {
      print_help (self, context);
      return PV_EXIT_OK;
    }
  adopt_global_options (cli, &global);
  args = global.rest != NULL ? global.rest : no_args;
  if (!check_count (self, g_strv_length (args), error))
    return PV_EXIT_USAGE;
  if (cli->configuration != NULL && !g_str_equal (self->name, "doctor"))
    {
      g_propagate_error (error, g_steal_pointer (&cli->configuration));
      return PV_EXIT_FAILED;
    }
  if (!install_keys (cli, &global, error))
    return PV_EXIT_FAILED;
  return self->run (cli, args, error);
}

/* The first word that is no command. */
static PvExit
unknown_command (const char *word, GError **error)
{
  g_autofree char *shown = pv_escape_for_message (word);
  const char *meant = pv_command_suggest (pv_commands, word);

  if (meant != NULL)
    pv_throw (error, PV_ERROR_INVALID, "there is no command '%s'; did you mean '%s'?", shown, meant);
  else
    pv_throw (error, PV_ERROR_INVALID, "there is no command '%s'; 'pagevault --help' lists them", shown);
  return PV_EXIT_USAGE;
}

PvExit
pv_command_dispatch (PvCli *cli, int argc, char **argv, const PvCommand **command, GError **error)
{
  g_auto(GlobalOptions) global = { 0 };
  g_autoptr(GOptionContext) context = g_option_context_new (NULL);
  const GOptionEntry version[] = {
    { "version", 0, 0, G_OPTION_ARG_NONE, &global.version, "Show the version", NULL },
    G_OPTION_ENTRY_NULL
  };
  g_autoptr(GError) local = NULL;
  g_autofree char **words = NULL; /* (element-type not owned): parsing takes words out of it */
  guint n_words;

  *command = NULL;
  g_option_context_add_main_entries (context, version, NULL);
  add_global_options (context, &global);
  g_option_context_set_strict_posix (context, TRUE);
  if (!g_option_context_parse (context, &argc, &argv, &local))
    return usage_error (error, local, "pagevault");
  if (global.version)
    {
      puts ("pagevault " PV_VERSION);
      return PV_EXIT_OK;
    }
  if (global.rest == NULL || global.help)
    {
      g_autofree char *help = pv_command_list_help ();

      fputs (help, global.help ? stdout : stderr);
      return global.help ? PV_EXIT_OK : PV_EXIT_USAGE;
    }
  adopt_global_options (cli, &global);
  *command = pv_command_find (global.rest[0]);
  if (*command == NULL)
    return unknown_command (global.rest[0], error);
  n_words = g_strv_length (global.rest);
  words = g_memdup2 (global.rest, (n_words + 1) * sizeof (char *));
  return run_command (*command, cli, (int) n_words, words, error);
}
