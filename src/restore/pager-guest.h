/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a pager does to its guest through libvirt: handing QEMU its end of the channel, pausing it, taking the
 * traces away.
 *
 * libvirtd may be restarted meanwhile: calls that find it gone connect anew. Blocks. One thread.
 */
#pragma once

#include "restore/lazy-state.h"
#include "virt/guest.h"

G_BEGIN_DECLS

typedef struct _PvPagerGuest PvPagerGuest;

/* Nothing is connected before it is needed. */
PvPagerGuest *pv_pager_guest_new (const PvLazyState *state);
void pv_pager_guest_free (PvPagerGuest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPagerGuest, pv_pager_guest_free)

/* Opens the connection. */
gboolean pv_pager_guest_connect (PvPagerGuest *self, GError **error);
/* Has the QEMU that waits with "-incoming defer" take a post-copy migration from a new channel: our end, -1 on error.
 * PV_ERROR_UNSUPPORTED: this QEMU or host cannot; the message says why. */
int pv_pager_guest_incoming (PvPagerGuest *self, GError **error);
/* Likewise, for a QEMU whose channel broke and which waits for another one. */
int pv_pager_guest_recover (PvPagerGuest *self, GError **error);
gboolean pv_pager_guest_suspend (PvPagerGuest *self, GError **error);

typedef enum
{
  PV_INCOMING_GONE,     /* there is no such guest any more, or another run of it */
  PV_INCOMING_WAITING,  /* its devices are not loaded: it has never run */
  PV_INCOMING_ACTIVE,   /* pages come in */
  PV_INCOMING_BROKEN,   /* waits for pv_pager_guest_recover() */
  PV_INCOMING_COMPLETE,
} PvIncoming;
/* What QEMU says. */
gboolean pv_pager_guest_incoming_state (PvPagerGuest *self, PvIncoming *incoming, GError **error);

/* All memory is there: QEMU gets its migration capabilities back as they were. */
gboolean pv_pager_guest_complete (PvPagerGuest *self, GError **error);
/* Ends a guest that has never run. One that is not there is fine. */
gboolean pv_pager_guest_destroy (PvPagerGuest *self, GError **error);

G_END_DECLS
