/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asking pagevaultd, which may not be there, hang, or talk nonsense. */
#pragma once

#include "xml/hook-message.h"

G_BEGIN_DECLS

/* (transfer full): the text of the answer @verb to @question; @timeout_ms for everything together. NULL with @error
 * when there is none. */
char *pv_ask_daemon (PvHookVerb question, const char *text, guint timeout_ms, PvHookVerb *verb, GError **error);
/* Tells it something that is not answered. */
gboolean pv_tell_daemon (PvHookVerb what, const char *text, guint timeout_ms, GError **error);

G_END_DECLS
