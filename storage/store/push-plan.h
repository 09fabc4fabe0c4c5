/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What pushing a snapshot takes: which packs it needs in the remote, and which of them must be sent.
 *
 * A pack of the store is sent as it is when the remote lacks most of what is in it and the snapshot needs. Of the
 * others the missing objects are copied into new packs, in a scratch directory, that only the remote will have.
 */
#pragma once

#include "store/mirror-private.h"
#include "store/pack-copier.h"
#include "store/store-private.h"

G_BEGIN_DECLS

typedef struct
{
  PvPackList *needs;       /* (owned) */
  GArray *uploads;         /* (owned) (element-type PvRemotePack): those of them that are not there */
  guint64 bytes;           /* sum of their sizes */
  guint64 n_shared;        /* needed packs that this store does not have */
  PvStoreScratch *scratch; /* (owned) (nullable) */
  PvPackCopier *copier;    /* (owned) (nullable): has the new packs in .scratch */
} PvPushPlan;

/* @view: of pv_mirror_view_packs(); the tables of its packs are known to the mirror's index. PV_ERROR_NOT_FOUND when a
 * pack vanished meanwhile (gc rewrote it): plan again. */
PvPushPlan *pv_push_plan_new (PvStore *store, PvMirror *mirror, GHashTable *view, PvSnapshot *snapshot,
                              GCancellable *cancellable, GError **error);
void pv_push_plan_free (PvPushPlan *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPushPlan, pv_push_plan_free)

/* (transfer full): the file of one of the packs to be sent. */
char *pv_push_plan_path (PvPushPlan *self, PvStore *store, const PvName *pack);

G_END_DECLS
