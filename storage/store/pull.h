/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pulling a snapshot from a remote into the store: the packs that it needs and that are not here, checked, and then one
 * index commit like that of any transaction.
 *
 * Stopped at any point, it leaves the store as it was, and packs that were fetched whole for the next try, below
 * STORE/mirrors/NAME/incoming. Beside everything else in the store.
 */
#pragma once

#include "store/mirror.h"
#include "store/store.h"

G_BEGIN_DECLS

typedef struct
{
  gboolean was_there;    /* the store lists the snapshot already: nothing was done */
  guint64 packs_fetched;
  guint64 fetched_bytes; /* of packs */
} PvPullResult;

/* @snapshot: of @mirror. PV_ERROR_EXISTS when the store has another snapshot of that name; CORRUPT when something in
 * the remote is not what it should be: then nothing is listed. @progress: bytes of the packs to fetch. */
gboolean pv_store_pull (PvStore *store, PvMirror *mirror, PvSnapshot *snapshot, PvPullResult *result,
                        PvStoreProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error);

G_END_DECLS
