/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verifying a remote, and mending: the store from a remote, a remote from the store. Packs are called by their content,
 * so a sound one takes the place of a damaged one of the same name anywhere.
 */
#pragma once

#include "store/mirror.h"
#include "store/store.h"

G_BEGIN_DECLS

/* Puts sound packs from @mirror in the place of those that @found (of pv_store_verify()) says are damaged. @n_repaired:
 * (out). @failures: (element-type utf8): a sentence for each that could not be had. The network is an error. */
gboolean pv_store_repair (PvStore *store, PvMirror *mirror, const PvVerifyResult *found, guint64 *n_repaired,
                          GPtrArray *failures, GCancellable *cancellable, GError **error);

/* Looks whether everything is there that the remote's snapshots need, and fetches and checks @percent (1 to 100) of
 * their packs, chosen at random. @store: (nullable): packs that are damaged or missing and that it has, sound, are sent
 * again. @n_repaired: (out): how many. Damage that is left is in @result. */
gboolean pv_mirror_verify (PvMirror *self, guint percent, PvStore *store, PvVerifyResult *result, guint64 *n_repaired,
                           PvStoreProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error);

G_END_DECLS
