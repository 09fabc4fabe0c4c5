/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of a snapshot's pages: what is copied when, what is dropped when memory runs short, who must wait.
 *
 * For the owner of the snapshot only (memsnap-private.h). Nothing here allocates.
 */
#pragma once

#include "memsnap/memsnap-private.h"

G_BEGIN_DECLS

/* Snapshots whose memory is protected in the same way. */
typedef struct
{
  PvMemsnap *first;
  /* Protects, or lifts and wakes; 0 or errno. */
  int (*protect) (guint64 start, guint64 length, gboolean on);
} PvGuard;

void pv_guard_add (PvGuard *guard, PvMemsnap *self);
void pv_guard_remove (PvGuard *guard, PvMemsnap *self);

/* A thread wants to write at @address: copies the page for every snapshot that needs it, lifts its protection. FALSE:
 * a limit says that the thread must wait. */
gboolean pv_guard_write (PvGuard *guard, guint64 address);
/* The same later: the page is marked as waited for. */
void pv_guard_defer (PvGuard *guard, guint64 address);
/* Tries again for all pages that are waited for. */
void pv_guard_retry (PvGuard *guard);
/* Lifts protection of pages that no snapshot needs. */
void pv_guard_unguard (PvGuard *guard, PvMemsnapRegion *region, gsize first, gsize n);
/* The content of [@start, @end) is gone: snapshots that still needed it fail. */
void pv_guard_lost (PvGuard *guard, guint64 start, guint64 end, const char *why);
/* Calls @each for the parts of @region that no other snapshot of @guard has. */
void pv_guard_uncovered (PvGuard *guard, PvMemsnap *self, guint64 start, guint64 end,
                         void (*each) (guint64 start, guint64 length));

/* The view of @page is being read: makes it resident. */
void pv_pages_show (PvMemsnap *self, PvMemsnapRegion *region, gsize page);
/* As pv_memsnap_release(), in pages. */
void pv_pages_release (PvMemsnap *self, PvMemsnapRegion *region, gsize first, gsize n);
/* The snapshot is not whole any more; the program goes on. @why: static. */
void pv_pages_fail (PvMemsnap *self, int errnum, const char *why);

/* Makes and removes the addresses that the user reads; @self->trapped says which kind. */
gboolean pv_views_new (PvMemsnap *self, GError **error);
void pv_views_free (PvMemsnap *self);

G_END_DECLS
