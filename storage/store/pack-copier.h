/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackCopier: copies the marked objects of packs into new packs, which are then listed without a snapshot: the half
 * of gc that keeps.
 *
 * new -> add (packs) -> commit. Dropped earlier: nothing changed. One thread.
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

/* Copies what is marked in pack @number. */
gboolean pv_pack_copier_add (PvPackCopier *self, guint32 number, PvMarks *marks, GError **error);
/* Publishes and lists the new packs. @size: (out): their bytes. */
gboolean pv_pack_copier_commit (PvPackCopier *self, guint64 *size, GError **error);

G_END_DECLS
