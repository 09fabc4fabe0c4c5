/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackCopier: copies chosen objects of packs into new packs, which are then listed without a snapshot: the half of gc
 * that keeps; or left in the scratch directory, to be sent to a remote.
 *
 * new -> add (packs) -> commit or finish. Dropped before commit: nothing changed. One thread.
 */
#pragma once

#include "store/marks.h"
#include "store/store-private.h"

G_BEGIN_DECLS

typedef struct _PvPackCopier PvPackCopier;

/* @scratch: for the new packs; must outlive the copier. */
PvPackCopier *pv_pack_copier_new (PvStore *store, PvStoreScratch *scratch, GError **error);
void pv_pack_copier_free (PvPackCopier *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackCopier, pv_pack_copier_free)

/* Copies what is marked in pack @number. PV_ERROR_NOT_FOUND when it is gone. */
gboolean pv_pack_copier_add (PvPackCopier *self, guint32 number, PvMarks *marks, GError **error);
/* Likewise what @choose says. */
typedef gboolean (*PvPackCopierChoose) (const PvLocation *location, gpointer data);
gboolean pv_pack_copier_add_chosen (PvPackCopier *self, guint32 number, PvPackCopierChoose choose, gpointer data,
                                    GError **error);
/* Seals the new packs, which stay in the scratch directory and are listed nowhere. (transfer none) (element-type
 * PvSealedPack): as long as the copier lives. */
GArray *pv_pack_copier_finish (PvPackCopier *self, GError **error);
GArray *pv_pack_copier_packs (PvPackCopier *self); /* the same again */
/* Publishes and lists the new packs. @size: (out): their bytes. */
gboolean pv_pack_copier_commit (PvPackCopier *self, guint64 *size, GError **error);

G_END_DECLS
