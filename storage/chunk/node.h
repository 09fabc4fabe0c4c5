/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvNode: the items of the tree that makes a volume out of chunks, and how they are stored.
 *
 * A leaf (level 0) lists the names of up to PV_NODE_FANOUT chunks, a node of level k names of nodes of level k - 1. A
 * zero name is a hole. A node is stored FULL, or as a DELTA against another node that is stored FULL; its name is that
 * of its expanded entries either way (pv_namer_node). Format: docs/format-store.md, "Node".
 *
 * Reading a stored node:
 *
 *   pv_node_peek (item) -> FULL:  pv_node_decode (item, NULL, &node)
 *                          DELTA: read the item of head.base, pv_node_decode (base item, NULL, &base), which refuses a
 *                                 base that is itself a DELTA, then pv_node_decode (item, &base, &node)
 *   and then check its name.
 *
 * Plain data and pure functions: any thread.
 */
#pragma once

#include <glib.h>

#include "chunk/name.h"

G_BEGIN_DECLS

#define PV_NODE_FULL_HEADER 4u                                             /* bytes before the entries */
#define PV_NODE_DELTA_HEADER (4u + PV_NAME_SIZE + PV_NODE_FANOUT / 8u)     /* bytes before the changed entries: 100 */
#define PV_NODE_STORED_MIN (PV_NODE_FULL_HEADER + PV_NAME_SIZE)            /* bytes of the shortest item: 36 */
#define PV_NODE_STORED_MAX (PV_NODE_FULL_HEADER + PV_NODE_FANOUT * PV_NAME_SIZE) /* bytes of the longest: 16388 */

typedef struct
{
  guint level;     /* 0 (a leaf) to PV_NODE_LEVEL_MAX */
  guint n_entries; /* 1 to PV_NODE_FANOUT */
  PvName entries[PV_NODE_FANOUT];
} PvNode; /* 16 KiB: think before putting many on a stack */

/* Appends @node to @out in FULL form. Its entries must not all be zero (such a node is never stored). */
void pv_node_encode_full (const PvNode *node, GByteArray *out);

/* Appends @node to @out as a DELTA against @base, called @base_name, which must be stored FULL. FALSE and nothing
 * appended when that is not worth it: level or number of entries differ, nothing differs (it is the base), or too much.
 *
 * @n_recent: in how many slots @node differs from its predecessor, the node at its place in the snapshot before
 * (0 = not known). Deltas are against a FULL node that may be many snapshots old, so they grow; a new FULL node pays as
 * soon as the deltas since cost more than a FULL node would have: for changes at a steady rate, when the square of the
 * slots changed since the base exceeds 2 * n_entries * n_recent. */
gboolean pv_node_encode_delta (const PvNode *node, const PvNode *base, const PvName *base_name, guint n_recent,
                               GByteArray *out);

typedef struct
{
  gboolean delta;  /* FALSE: FULL */
  guint level;
  guint n_entries;
  PvName base;     /* of a DELTA; zero for FULL */
} PvNodeHead;

/* Reads what a stored node, exactly @size bytes at @data, is. Checks everything that can be checked without the base.
 * PV_ERROR_CORRUPT, or UNSUPPORTED for an unknown form. */
gboolean pv_node_peek (const guint8 *data, gsize size, PvNodeHead *head, GError **error);

/* Expands a stored node, exactly @size bytes at @data. @base: (nullable): the expanded base of a DELTA; with NULL a
 * DELTA is PV_ERROR_CORRUPT. A FULL node ignores @base. The name is not checked here. */
gboolean pv_node_decode (const guint8 *data, gsize size, const PvNode *base, PvNode *node, GError **error);

/* TRUE when the two have the same level and entries. */
gboolean pv_node_equal (const PvNode *a, const PvNode *b);

/* Slots in which @a and @b, of the same level and number of entries, differ. */
guint pv_node_count_changes (const PvNode *a, const PvNode *b);

G_END_DECLS
