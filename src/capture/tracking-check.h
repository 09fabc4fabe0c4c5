/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvTrackingCheck: whether what was read of a guest's memory, page by page while it ran, is what it holds now that it
 * is paused. A copy of all that was read: as much memory as the guest has.
 *
 *   new -> note each batch that is taken -> compare (guest paused) -> free
 */
#pragma once

#include "capture/ram-watch.h"
#include "store/store.h"

G_BEGIN_DECLS

typedef struct _PvTrackingCheck PvTrackingCheck;

/* @map: must outlive it. PV_ERROR_NO_SPACE when there is not so much memory. */
PvTrackingCheck *pv_tracking_check_new (const PvRamMap *map, GError **error);
void pv_tracking_check_free (PvTrackingCheck *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvTrackingCheck, pv_tracking_check_free)

/* What was taken. */
void pv_tracking_check_note (PvTrackingCheck *self, const PvRamPages *pages);
/* A piece that @base is said to have as it is: it is read from there. */
gboolean pv_tracking_check_note_kept (PvTrackingCheck *self, PvStore *store, PvSnapshot *base, const PvRamPiece *piece,
                                      GError **error);
/* Reads all memory of process @pid; PV_ERROR_CORRUPT when a page is another than the one that was noted last: it was
 * written to unseen. @tick is called now and then meanwhile. */
gboolean pv_tracking_check_compare (PvTrackingCheck *self, pid_t pid, void (*tick) (gpointer tick_data),
                                    gpointer tick_data, GError **error);

G_END_DECLS
