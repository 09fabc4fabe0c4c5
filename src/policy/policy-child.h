/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Commands of pagevault that a run of a policy consists of, as children of whoever runs it: whatever becomes of them is
 * noticed, and said in one sentence. Any thread.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* What opens the store and leads to the guests, for all commands of a run. NULL: the command finds it by itself. */
typedef struct
{
  const char *store; /* never NULL */
  const char *uri;
  const char *passphrase_file;
  const char *secret_uuid;
} PvPolicyPlace;

/* (transfer full) (element-type utf8): the command line "@program @verb", with the options that choose @place. */
GPtrArray *pv_policy_child_command (const char *program, const char *verb, const PvPolicyPlace *place);

/* Runs @command, to which a NULL is added, to its end. @out, @said: (out) (optional) (nullable) (transfer full): what
 * it wrote to standard output and error; left alone when it could not be started, NULL when it was stopped.
 * PV_ERROR_CANCELLED: @cancellable has stopped it, cleanly; it has ended. PV_ERROR_FAILED: it ended otherwise than with
 * status 0; the message is the last line that it wrote to standard error, or how it died. */
gboolean pv_policy_child_run (GPtrArray *command, GCancellable *cancellable, char **out, char **said, GError **error);

/* (transfer none): a @line that pagevault wrote to standard error, without its own name in front. */
const char *pv_policy_child_words (const char *line);

G_END_DECLS
