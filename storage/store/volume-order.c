/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/volume-order.h"

#include "store/store-private.h"
#include "store/tree.h"

#define UNKNOWN G_MAXUINT64 /* place of what the index does not know */

typedef struct
{
  guint64 place; /* pack << 32 | frame */
  guint64 chunk; /* number */
} Item;

struct _PvVolumeOrder
{
  GArray *items; /* of Item, in order */
  guint next;
};

static gint
compare_items (gconstpointer a, gconstpointer b)
{
  const Item *left = a, *right = b;

  if (left->place != right->place)
    return left->place < right->place ? -1 : 1;
  return left->chunk < right->chunk ? -1 : left->chunk > right->chunk;
}

/* Adds what @leaf, of number @index, has. */
static gboolean
add_leaf (PvVolumeOrder *self, PvStore *store, const PvNode *leaf, guint64 index, GError **error)
{
  g_autofree PvName *names = g_new (PvName, PV_NODE_FANOUT);
  g_autofree PvLocation *locations = g_new (PvLocation, PV_NODE_FANOUT);
  g_autofree gboolean *found = g_new (gboolean, PV_NODE_FANOUT);
  guint first = self->items->len, n = 0;

  for (guint i = 0; i < leaf->n_entries; i++)
    {
      Item item = { UNKNOWN, index * PV_NODE_FANOUT + i };

      if (pv_name_is_zero (&leaf->entries[i]))
        continue;
      names[n++] = leaf->entries[i];
      g_array_append_val (self->items, item);
    }
  if (!pv_index_lookup_many (store->index, names, n, locations, NULL, found, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (found[i])
      g_array_index (self->items, Item, first + i).place = (guint64) locations[i].pack << 32 | locations[i].frame;
  return TRUE;
}

static gboolean
add_leaves (PvVolumeOrder *self, PvStore *store, const PvTree *tree, GError **error)
{
  guint64 n = pv_tree_n_nodes (tree, 0);

  for (guint64 i = 0; i < n; i++)
    {
      g_autoptr(PvNodeRef) leaf = NULL;

      if (!pv_tree_node (tree, store->reader, 0, i, &leaf, error)
          || (leaf != NULL && !add_leaf (self, store, &leaf->node, i, error)))
        return FALSE;
    }
  return TRUE;
}

PvVolumeOrder *
pv_volume_order_new (PvStore *store, const PvVolume *volume, GError **error)
{
  g_autoptr(PvVolumeOrder) self = g_new0 (PvVolumeOrder, 1);
  PvTree tree;

  self->items = g_array_new (FALSE, FALSE, sizeof (Item));
  pv_tree_init (&tree, volume->size, &volume->root);
  if (!add_leaves (self, store, &tree, error))
    {
      g_prefix_error (error, "volume '%s': ", volume->name);
      return NULL;
    }
  g_array_sort (self->items, compare_items);
  return g_steal_pointer (&self);
}

void
pv_volume_order_free (PvVolumeOrder *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->items);
  g_free (self);
}

guint64
pv_volume_order_n_chunks (const PvVolumeOrder *self)
{
  return self->items->len;
}

guint
pv_volume_order_next (PvVolumeOrder *self, guint64 *chunks, guint max)
{
  const Item *items = (const Item *) self->items->data;
  guint first = self->next, n = 0;

  while (n < max && self->next < self->items->len && items[self->next].place == items[first].place)
    chunks[n++] = items[self->next++].chunk;
  return n;
}
