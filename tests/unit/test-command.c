/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/command.h"

static void
test_suggest (void)
{
  static const struct
  {
    const char *word, *meant;
  } cases[] = {
    { "imprt", "import" },   { "exprot", "export" }, { "lsit", "list" },  { "res", "restore" }, { "craete", "create" },
    { "verfy", "verify" },   { "gx", "gc" },         { "", NULL },        { "xyzzy", NULL },    { "zz", NULL },
    { "createcreate", NULL }, { "Delete", "delete" }, { "stats", "stat" },
  };
  g_autofree char *long_word = g_strnfill (5000, 'x');

  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    g_assert_cmpstr (pv_command_suggest (pv_commands, cases[i].word), ==, cases[i].meant);
  g_assert_null (pv_command_suggest (pv_commands, long_word));
}

/* Each command says all that --help and the man pages need. */
static void
test_table (void)
{
  for (guint i = 0; pv_commands[i] != NULL; i++)
    {
      const PvCommand *command = pv_commands[i];

      g_assert_true (pv_command_find (command->name) == command);
      g_assert_nonnull (command->run);
      g_assert_cmpuint (command->min_args, <=, command->max_args);
      g_assert_false (g_str_has_suffix (command->summary, "."));
      g_assert_nonnull (g_strstr_len (command->details, -1, "Example"));
      g_assert_nonnull (g_strstr_len (command->details, -1, "Keys of --json"));
      for (guint j = 0; j < i; j++)
        g_assert_cmpstr (command->name, !=, pv_commands[j]->name);
    }
  g_assert_null (pv_command_find ("nothing"));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/command/suggest", test_suggest);
  g_test_add_func ("/command/table", test_table);
  return g_test_run ();
}
