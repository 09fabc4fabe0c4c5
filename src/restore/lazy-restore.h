/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvLazyRestore: starting a guest whose memory comes behind it, as the command sees it; and looking after such guests.
 *
 *   new (a pager is started and gets ready) -> the guest is started with "-incoming defer", paused -> go -> free
 *
 * Freed without go: the pager ends, the guest is the caller's. go that failed has ended the guest. The pager outlives
 * its starter: docs/restore.md.
 */
#pragma once

#include "restore/lazy-state.h"

G_BEGIN_DECLS

typedef struct _PvLazyRestore PvLazyRestore;

/* @state: all but .directory. PV_ERROR_UNSUPPORTED: this memory cannot be served page by page. */
PvLazyRestore *pv_lazy_restore_new (PvStore *store, PvSnapshot *snapshot, PvLazyState *state, GError **error);
void pv_lazy_restore_free (PvLazyRestore *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvLazyRestore, pv_lazy_restore_free)
/* Waits until the pager has opened all that it needs but the guest. go does it otherwise. */
gboolean pv_lazy_restore_wait_prepared (PvLazyRestore *self, GError **error);
/* The guest waits: has its devices loaded, so that it may run; it stays paused. @pages_on_demand: (out): pages that
 * it has asked for by then.
 * PV_ERROR_UNSUPPORTED: this QEMU or host cannot: the guest is gone again, and may be restored otherwise. */
gboolean pv_lazy_restore_go (PvLazyRestore *self, guint64 *pages_on_demand, GError **error);

/* Starts a new pager for a guest whose pager and keeper were killed. TRUE as well when nothing is missing or somebody
 * serves it. @mended: (out) (optional): it was so. */
gboolean pv_lazy_recover (PvStore *store, const char *uuid, gboolean *mended, GError **error);
/* Likewise, for all guests of a store. The first error is returned; the others are tried all the same. */
gboolean pv_lazy_recover_all (PvStore *store, GError **error);

/* (transfer full) (nullable): a guest whose memory is still coming from @snapshot, DOMAIN@NAME; NULL when there is
 * none. The pager of a guest that was ended needs a moment to see that, which is waited for, 10 s at most. */
char *pv_lazy_user (const char *store_directory, const char *snapshot);

/* @total: pages. */
typedef void (*PvLazyProgressFunc) (const PvLazyStatus *status, gpointer data);
/* Waits until all memory of the guest is there, a dead pager being replaced; at once when it is. @hurry: without the
 * pager's limit. PV_ERROR_CORRUPT when its memory cannot be read, PV_ERROR_CANCELLED. */
gboolean pv_lazy_wait (PvStore *store, const char *uuid, gboolean hurry, PvLazyProgressFunc progress, gpointer data,
                       GCancellable *cancellable, GError **error);

/* What command and pager say to each other: a byte, then text and NUL. */
enum
{
  PV_LAZY_WORD_PREPARED = 'p',
  PV_LAZY_WORD_GO = 'g',          /* command: the guest is there */
  PV_LAZY_WORD_ABANDON = 'a',     /* command: it is not, or I end it */
  PV_LAZY_WORD_RUNNING = 'r',     /* text: pages on demand so far */
  PV_LAZY_WORD_UNSUPPORTED = 'u', /* text: why */
  PV_LAZY_WORD_FAILED = 'f',      /* text: why */
};

G_END_DECLS
