/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPagerPull: reads all memory of a snapshot ahead, by several threads, for a pager that has time: what lies around
 * the working set first, then all in its order.
 *
 * Pages of zeros are left out, and stretches that were sent already. take() and free() from one thread.
 */
#pragma once

#include "restore/pager-shared.h"
#include "restore/pager-source.h"

G_BEGIN_DECLS

typedef struct _PvPagerPull PvPagerPull;

typedef struct
{
  guint64 first; /* page */
  guint n;       /* pages, > 0 */
  guint8 *data;  /* (owned) (nullable): NULL: it could not be read: page by page may tell which of them */
} PvPullPiece;
void pv_pull_piece_free (PvPullPiece *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPullPiece, pv_pull_piece_free)

/* @source and @shared must outlive it. @first: (element-type guint64): pages around which it begins; is not looked at
 * afterwards. */
PvPagerPull *pv_pager_pull_new (PvPagerSource *source, const PvPagerShared *shared, const GArray *first);
void pv_pager_pull_free (PvPagerPull *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPagerPull, pv_pager_pull_free)

/* Becomes readable when there is something to take. */
int pv_pager_pull_fd (const PvPagerPull *self);
/* (transfer full) (nullable): the next piece; NULL: none is ready, or *@end: that was all. Does not wait. */
PvPullPiece *pv_pager_pull_take (PvPagerPull *self, gboolean *end);
/* Pages of zeros that were left out so far. */
guint64 pv_pager_pull_n_zero (const PvPagerPull *self);

G_END_DECLS
