/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/tree.h"

#include <string.h>

/* Chunks below a full node of @level. */
static guint64
span (guint level)
{
  guint64 chunks = PV_NODE_FANOUT;

  for (guint i = 0; i < level; i++)
    chunks *= PV_NODE_FANOUT;
  return chunks;
}

void
pv_tree_init (PvTree *self, guint64 size, const PvName *root)
{
  self->n_chunks = (size + PV_CHUNK_SIZE - 1) / PV_CHUNK_SIZE;
  self->level = 0;
  while (span (self->level) < self->n_chunks)
    self->level++;
  self->root = *root;
}

guint64
pv_tree_n_nodes (const PvTree *self, guint level)
{
  return (self->n_chunks + span (level) - 1) / span (level);
}

guint
pv_tree_n_entries (const PvTree *self, guint level, guint64 index)
{
  guint64 below = level == 0 ? self->n_chunks : pv_tree_n_nodes (self, level - 1);

  g_return_val_if_fail (index * PV_NODE_FANOUT < below, 0);
  return (guint) MIN (below - index * PV_NODE_FANOUT, PV_NODE_FANOUT);
}

gboolean
pv_tree_node_name (const PvTree *self, PvObjectReader *reader, guint level, guint64 index, PvName *name, GError **error)
{
  g_autoptr(PvNodeRef) parent = NULL;

  g_return_val_if_fail (level <= self->level, FALSE);
  if (level == self->level)
    {
      *name = self->root;
      return TRUE;
    }
  if (!pv_tree_node (self, reader, level + 1, index / PV_NODE_FANOUT, &parent, error))
    return FALSE;
  if (parent != NULL)
    *name = parent->node.entries[index % PV_NODE_FANOUT];
  else
    memset (name, 0, sizeof *name);
  return TRUE;
}

gboolean
pv_tree_node (const PvTree *self, PvObjectReader *reader, guint level, guint64 index, PvNodeRef **node, GError **error)
{
  PvName name;

  *node = NULL;
  if (!pv_tree_node_name (self, reader, level, index, &name, error))
    return FALSE;
  if (pv_name_is_zero (&name))
    return TRUE;
  *node = pv_object_reader_node (reader, &name, level, pv_tree_n_entries (self, level, index), error);
  return *node != NULL;
}
