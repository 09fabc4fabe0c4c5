/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvCommand: one verb of the program. Each lives in cmd-VERB.c; command-table.c lists them.
 *
 * --help, the usage messages and (through --help) the shell completion come from this description alone.
 */
#pragma once

#include "cli/cli.h"

G_BEGIN_DECLS

#define PV_ARGS_ANY G_MAXUINT

typedef struct
{
  const char *name;
  const char *arguments;       /* as shown behind the name: "DOMAIN [NAME]"; "" when there are none */
  const char *summary;         /* one line, imperative, no full stop */
  const char *details;         /* shown below the options: what to know, examples, keys of --json */
  guint min_args, max_args;    /* number of arguments; max_args may be PV_ARGS_ANY */
  const GOptionEntry *options; /* ends in G_OPTION_ENTRY_NULL */
  /* @args: what is left of the command line, NULL at its end. */
  PvExit (*run) (PvCli *cli, char **args, GError **error);
} PvCommand;

/* All commands in the order in which --help lists them, NULL at the end. */
extern const PvCommand *const pv_commands[];

/* (nullable): the command called @name. */
const PvCommand *pv_command_find (const char *name);
/* (nullable): the name that @word may have been meant to be. */
const char *pv_command_suggest (const PvCommand *const *commands, const char *word);

/* (transfer full): what `pagevault --help` prints. */
char *pv_command_list_help (void);

/* Parses the whole command line: global options, command, its options and arguments; runs the command, or prints help
 * or version. @command: (out) (nullable): the command meant, for messages. @argv is changed. */
PvExit pv_command_dispatch (PvCli *cli, int argc, char **argv, const PvCommand **command, GError **error);

G_END_DECLS
