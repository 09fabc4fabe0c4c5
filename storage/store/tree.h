/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvTree: the shape of a volume's tree, and the way down to a node of it.
 *
 * Level 0 are the leaves: leaf i lists the names of chunks i * 512 to i * 512 + 511. Node i of level k lists nodes i *
 * 512 … of level k - 1. The last node of a level is as long as needed. Plain data: any thread.
 */
#pragma once

#include "store/object-reader.h"
#include "store/snapshot.h"

G_BEGIN_DECLS

typedef struct
{
  guint64 n_chunks;
  guint level; /* of the root */
  PvName root; /* zero: all zeros */
} PvTree;

void pv_tree_init (PvTree *self, guint64 size, const PvName *root);

guint64 pv_tree_n_nodes (const PvTree *self, guint level);
guint pv_tree_n_entries (const PvTree *self, guint level, guint64 index);

/* @name: (out): of node @index of @level, zero when it is a hole. Reads the nodes above it. */
gboolean pv_tree_node_name (const PvTree *self, PvObjectReader *reader, guint level, guint64 index, PvName *name,
                            GError **error);
/* @node: (out) (transfer full): that node; NULL when it is a hole. */
gboolean pv_tree_node (const PvTree *self, PvObjectReader *reader, guint level, guint64 index, PvNodeRef **node,
                       GError **error);

G_END_DECLS
