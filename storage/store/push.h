/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pushing a snapshot into a remote: packs that are not there, then the snapshot object, which is the commit point
 * (docs/format-remote.md, "Pushing").
 *
 * Beside other hosts' pushes and prunes, and beside everything in this store. Stopped at any point, it leaves a remote
 * in which nothing is listed that is not whole; run again, it goes on with what is there.
 */
#pragma once

#include "store/mirror.h"
#include "store/store.h"

G_BEGIN_DECLS

typedef struct
{
  gboolean was_there;     /* the remote lists the snapshot already: nothing was done */
  guint64 packs;          /* that the snapshot needs */
  guint64 packs_sent;
  guint64 sent_bytes;     /* of packs */
  guint64 shared_packs;   /* of other stores: they have some of its chunks */
} PvPushResult;

/* @snapshot: listed in @store. PV_ERROR_EXISTS when the remote has another snapshot of that name; CORRUPT when
 * something that it needs is damaged here: nothing of a damaged pack is sent. @progress: bytes of the packs to send. */
gboolean pv_store_push (PvStore *store, PvMirror *mirror, PvSnapshot *snapshot, PvPushResult *result,
                        PvStoreProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error);

G_END_DECLS
