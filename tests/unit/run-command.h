/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Runs @command, in which DIR stands for @directory; it must succeed. */
static inline void
run_command (const char *directory, const char *command)
{
  g_autoptr(GError) error = NULL;
  g_auto(GStrv) parts = g_strsplit (command, "DIR", -1);
  g_autofree char *line = g_strjoinv (directory, parts);
  g_autofree char *err = NULL;
  int status;

  g_spawn_command_line_sync (line, NULL, &err, &status, &error);
  g_assert_no_error (error);
  if (status != 0)
    g_error ("%s: %s", line, err);
}
