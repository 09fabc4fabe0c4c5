/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPagerChannel: the socket to a QEMU that is being filled: pages in, requests out.
 *
 * What goes in goes in whole or not at all and is written down before and after (pager-shared.h), so that a pager may
 * be killed at any time. One thread.
 */
#pragma once

#include "restore/pager-shared.h"
#include "restore/pager-source.h"
#include "restore/postcopy-return-path.h"

G_BEGIN_DECLS

typedef struct _PvPagerChannel PvPagerChannel;

/* @fd: a socket of AF_UNIX, SOCK_STREAM; not taken over. @shared and @source must outlive it. */
PvPagerChannel *pv_pager_channel_new (int fd, PvPagerShared *shared, PvPagerSource *source);
void pv_pager_channel_free (PvPagerChannel *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPagerChannel, pv_pager_channel_free)

int pv_pager_channel_fd (const PvPagerChannel *self);
/* TRUE when the other end is closed, or the connection broken. */
gboolean pv_pager_channel_closed (const PvPagerChannel *self);
/* TRUE when QEMU has said that it is done. @failed: (out): it says that it failed. */
gboolean pv_pager_channel_shut (const PvPagerChannel *self, gboolean *failed);

/* Writes @out (sections, less than 32 KiB) if there is room now. @intent and @pages are written down, and a PING is
 * added, whose PONG says later that QEMU has it. @went: (out): FALSE: there is no room. When the connection is broken
 * it is closed, and nothing went. */
gboolean pv_pager_channel_put (PvPagerChannel *self, GByteArray *out, PvPagerIntent intent, const guint64 *pages,
                               guint n, gboolean *went, GError **error);
/* TRUE when QEMU has taken nearly all that was written: what nobody asked for may go in without a request having to
 * wait behind much of it. poll(2) tells of it by POLLOUT. */
gboolean pv_pager_channel_clear (const PvPagerChannel *self);
/* Writes all of @out, waiting for room: for times when nobody could take over. */
gboolean pv_pager_channel_write (PvPagerChannel *self, const GByteArray *out, GError **error);

/* From now on the PONGs @first and @second are looked out for. */
void pv_pager_channel_expect (PvPagerChannel *self, guint32 first, guint32 second);
gboolean pv_pager_channel_seen_first (const PvPagerChannel *self);
gboolean pv_pager_channel_seen_second (const PvPagerChannel *self);
/* Takes what QEMU has said so far: requests go into the ring. Waits up to @timeout_ms for something; 0: does not. */
gboolean pv_pager_channel_listen (PvPagerChannel *self, int timeout_ms, GError **error);
/* The handshake over a new channel to a QEMU whose former one broke: .sent becomes what QEMU really has. */
gboolean pv_pager_channel_recover (PvPagerChannel *self, int timeout_ms, GError **error);

G_END_DECLS
