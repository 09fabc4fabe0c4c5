/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Moving packs, several at once: a thread each of a few, an eye on all of them, and one error that ends it. */
#pragma once

#include "store/pack-list.h"

G_BEGIN_DECLS

/* Moves one pack, in a thread. @stop: gives up when it is cancelled. @done: to be set by __atomic_store_n: bytes
 * moved. */
typedef gboolean (*PvTransferFunc) (const PvRemotePack *pack, GCancellable *stop, guint64 *done, gpointer data,
                                    GError **error);
/* Now and then, in the calling thread, at least every second; FALSE ends the transfers with @error. */
typedef gboolean (*PvTransferTick) (guint64 done, gpointer data, GError **error);

/* Calls @func for each of @packs (element-type PvRemotePack), with @data as @tick. The first error stops all. @n_done:
 * (out): how many were moved. */
gboolean pv_transfers_run (GArray *packs, PvTransferFunc func, PvTransferTick tick, gpointer data, guint64 *n_done,
                           GCancellable *cancellable, GError **error);

/* A PvRemoteProgress whose data is the @done of a PvTransferFunc. */
void pv_transfer_note (guint64 done, gpointer data);

G_END_DECLS
