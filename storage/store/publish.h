/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Publishing: sealed packs, and a snapshot object, from a scratch directory into the store, and the index commit: the
 * only commit point. */
#pragma once

#include "store/pack-sink.h"
#include "store/store-private.h"

G_BEGIN_DECLS

/* Everything is durable and listed, or FALSE and nothing is. @packs: (element-type PvSealedPack). @snapshot:
 * (nullable): listed with them. @index: (inout): the writer that has the packs pending; freed and NULL after a failure.
 * When what was published cannot be taken back, the scratch directory is marked to stay for the next open. */
gboolean pv_publish_packs (PvStore *store, PvStoreScratch *scratch, GArray *packs, PvSnapshot *snapshot,
                           PvIndexWriter **index, GError **error);

G_END_DECLS
