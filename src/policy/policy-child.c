/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/policy-child.h"

#include <signal.h>
#include <string.h>

#include "util/error.h"

#define SPEAKER "pagevault: "

static void
add_option (GPtrArray *command, const char *name, const char *value)
{
  if (value != NULL)
    g_ptr_array_add (command, g_strdup_printf ("--%s=%s", name, value));
}

GPtrArray *
pv_policy_child_command (const char *program, const char *verb, const PvPolicyPlace *place)
{
  GPtrArray *command = g_ptr_array_new_with_free_func (g_free);

  g_ptr_array_add (command, g_strdup (program));
  g_ptr_array_add (command, g_strdup (verb));
  add_option (command, "store", place->store);
  add_option (command, "connect", place->uri);
  add_option (command, "passphrase-file", place->passphrase_file);
  add_option (command, "secret", place->secret_uuid);
  return command;
}

const char *
pv_policy_child_words (const char *line)
{
  return g_str_has_prefix (line, SPEAKER) ? line + strlen (SPEAKER) : line;
}

/* (transfer full): what @said ends with. */
static char *
last_words (const char *said)
{
  g_autofree char *text = g_strchomp (g_strdup (said));
  const char *newline = strrchr (text, '\n');

  return g_strdup (pv_policy_child_words (newline != NULL ? newline + 1 : text));
}

/* How a child that has ended has done. */
static gboolean
judge (GSubprocess *child, const char *verb, const char *said, GError **error)
{
  g_autofree char *words = NULL;

  if (g_subprocess_get_if_signaled (child))
    return pv_throw (error, PV_ERROR_FAILED, "'%s' was killed by signal %d", verb, g_subprocess_get_term_sig (child));
  if (g_subprocess_get_exit_status (child) == 0)
    return TRUE;
  words = last_words (said);
  return pv_throw (error, PV_ERROR_FAILED, "%s", *words != '\0' ? words : "it failed without a word");
}

/* (transfer full) */
static char *
text_of (GBytes *bytes)
{
  gsize size;
  const char *data = g_bytes_get_data (bytes, &size);

  return g_utf8_make_valid (data != NULL ? data : "", (gssize) size);
}

/* Its end, or why there is no waiting for it: then it is told to stop, which it does cleanly. @out, @said: (out)
 * (transfer full): only when it came to its end. */
static gboolean
wait_for (GSubprocess *child, GCancellable *cancellable, char **out, char **said, GError **error)
{
  g_autoptr(GBytes) output = NULL;
  g_autoptr(GBytes) words = NULL;

  if (!g_subprocess_communicate (child, NULL, cancellable, &output, &words, error))
    {
      g_subprocess_send_signal (child, SIGTERM);
      g_subprocess_wait (child, NULL, NULL);
      return FALSE;
    }
  *out = text_of (output);
  *said = text_of (words);
  return TRUE;
}

gboolean
pv_policy_child_run (GPtrArray *command, GCancellable *cancellable, char **out, char **said, GError **error)
{
  g_autoptr(GSubprocess) child = NULL;
  g_autoptr(GError) local = NULL;
  g_autofree char *output = NULL;
  g_autofree char *words = NULL;
  gboolean ok;

  g_ptr_array_add (command, NULL);
  child = g_subprocess_newv ((const char *const *) command->pdata,
                             G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, error);
  if (child == NULL)
    return FALSE;
  ok = wait_for (child, cancellable, &output, &words, &local) && judge (child, command->pdata[1], words, &local);
  if (out != NULL)
    *out = g_steal_pointer (&output);
  if (said != NULL)
    *said = g_steal_pointer (&words);
  if (ok)
    return TRUE;
  if (g_cancellable_is_cancelled (cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "stopped");
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}
