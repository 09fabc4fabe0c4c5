/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDamageMap: which objects of a store cannot be had, for what reason, and which snapshots that hits.
 *
 * report and lose (while packs are read; any thread) -> add_snapshot (each snapshot; one thread).
 */
#pragma once

#include <gio/gio.h>

#include "store/object-reader.h"
#include "store/store.h"

G_BEGIN_DECLS

typedef struct _PvDamageMap PvDamageMap;

/* What was to be read is missing, or is not what it should be; any other error is a reason to stop. */
gboolean pv_is_damage (const GError *error);

/* @damaged: (element-type PvDamage): where damage is reported. The arguments must outlive the map. */
PvDamageMap *pv_damage_map_new (PvIndex *index, PvObjectReader *reader, GPtrArray *damaged);
void pv_damage_map_free (PvDamageMap *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDamageMap, pv_damage_map_free)

/* (transfer none): reports a damaged thing; of the same @what only the first @why is kept, the others are counted. */
PvDamage *pv_damage_map_report (PvDamageMap *self, const char *what, const char *why);
/* The copy of object @name in pack number @pack is lost, or all that is in that pack. */
void pv_damage_map_lose_object (PvDamageMap *self, guint32 pack, const PvName *name, PvDamage *damage);
void pv_damage_map_lose_pack (PvDamageMap *self, guint32 pack, PvDamage *damage);
/* @damage hits this snapshot. */
void pv_damage_map_hit (PvDamageMap *self, PvDamage *damage, const char *full_name);

/* Walks the trees of @snapshot: everything lost in them is charged to it. FALSE only when it could not look. */
gboolean pv_damage_map_add_snapshot (PvDamageMap *self, PvSnapshot *snapshot, GCancellable *cancellable,
                                     GError **error);

/* Adds to each why how many like it there were. At the end, once. */
void pv_damage_map_finish (PvDamageMap *self);

G_END_DECLS
