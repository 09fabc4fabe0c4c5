/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvNameMap: the names of all chunks of a volume that is being written, in an unlinked temporary file that is mapped,
 * so that memory does not grow with the volume; and one bit for each chunk that a pool thread is still naming.
 *
 * Nothing is allocated on disk for a leaf before pv_name_map_reserve(): a full file system is an error there, not a
 * SIGBUS later. The bits may be used from any thread; a leaf belongs to whoever the volume writer says.
 */
#pragma once

#include "chunk/name.h"

G_BEGIN_DECLS

typedef struct _PvNameMap PvNameMap;

/* @directory: where the file is made. @n_chunks: of the volume, may be 0. */
PvNameMap *pv_name_map_new (const char *directory, guint64 n_chunks, GError **error);
void pv_name_map_free (PvNameMap *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvNameMap, pv_name_map_free)

/* Makes room on disk for the entries of @leaf; they are zero the first time. */
gboolean pv_name_map_reserve (PvNameMap *self, guint64 leaf, GError **error);
/* The entries of a reserved leaf: PV_NODE_FANOUT, fewer for the last. */
PvName *pv_name_map_leaf (PvNameMap *self, guint64 leaf);

/* Marks @chunk as busy. FALSE: it was already. */
gboolean pv_name_map_set_busy (PvNameMap *self, guint64 chunk);
void pv_name_map_clear_busy (PvNameMap *self, guint64 chunk);
gboolean pv_name_map_any_busy (PvNameMap *self, guint64 first, guint64 n);

G_END_DECLS
