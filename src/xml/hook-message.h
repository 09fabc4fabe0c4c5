/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What libvirt's hook and pagevaultd say to each other over a stream socket: one question, one answer.
 *
 *   4 bytes "PVH1" | 1 byte verb | 4 bytes length, little-endian | length bytes of text
 *
 * Each side bounds how long it waits, and takes nothing for granted: whatever is not exactly a message is an error.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_HOOK_SOCKET "/run/pagevault/hook" /* unless PAGEVAULT_HOOK_SOCKET says otherwise */
#define PV_HOOK_TEXT_MAX (16u << 20)         /* bytes */

typedef enum
{
  PV_HOOK_RESTORE = 'r', /* question: a guest of this description is about to be restored */
  PV_HOOK_RELEASE = 'e', /* told: "TIME NAME", a guest has ended, or its start has failed; no answer */
  PV_HOOK_ALIVE = 'a',   /* question of 'pagevault doctor': is anybody there; the answer is PV_HOOK_SAME */
  PV_HOOK_SAME = 's',    /* answer: as it is */
  PV_HOOK_XML = 'x',     /* answer: with this description */
  PV_HOOK_REFUSE = 'n',  /* answer: not at all; the text says why */
} PvHookVerb;

/* (transfer full): where the socket is. */
char *pv_hook_socket_path (void);

/* @deadline: g_get_monotonic_time() when it is given up: PV_ERROR_BUSY. @fd is made non-blocking. */
gboolean pv_hook_message_send (int fd, PvHookVerb verb, const char *text, gint64 deadline, GError **error);
/* (transfer full): the text, NUL-terminated; PV_ERROR_CORRUPT for what is no message, NUL inside included. */
char *pv_hook_message_receive (int fd, PvHookVerb *verb, gint64 deadline, GError **error);

G_END_DECLS
