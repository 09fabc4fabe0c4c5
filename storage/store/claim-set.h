/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvClaimSet: names of objects that a transaction has taken on to store and that its index writer does not know yet.
 *
 * Who claims a name first stores the object; the others take it as known. A name is released when its pack is sealed
 * and added to the index writer, which answers for it from then on: so the set holds what is in unsealed packs,
 * whatever the guest's size. Any thread.
 */
#pragma once

#include "chunk/name.h"

G_BEGIN_DECLS

typedef struct _PvClaimSet PvClaimSet;

PvClaimSet *pv_claim_set_new (void);
void pv_claim_set_free (PvClaimSet *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvClaimSet, pv_claim_set_free)

/* TRUE: @name is now the caller's to store. FALSE: somebody has it already. */
gboolean pv_claim_set_claim (PvClaimSet *self, const PvName *name);
void pv_claim_set_release (PvClaimSet *self, const PvName *name);
gsize pv_claim_set_size (PvClaimSet *self);

G_END_DECLS
