/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The caller's side of a volume: pages go into batches for the pool; holes and kept ranges are noted here.
 *
 * The last write wins because a chunk is in at most one batch at a time (its busy bit), so no two threads ever name the
 * same chunk, and because zero() and keep() wait until nothing in their range is busy. Within a batch a page written
 * again replaces the first one.
 */
#include "config.h"

#include "store/txn-private.h"

#include <string.h>

#include "util/error.h"

void
pv_volume_writer_free (PvVolumeWriter *self)
{
  if (self == NULL)
    return;
  pv_batch_free (self->batch);
  pv_name_map_free (self->map);
  g_free (self->leaves);
  g_free (self->name);
  g_free (self);
}

guint64
pv_volume_writer_chunk_size (PvVolumeWriter *self, guint64 chunk)
{
  return MIN (PV_CHUNK_SIZE, self->size - chunk * PV_CHUNK_SIZE);
}

/* --- the state of leaves ------------------------------------------------------------------------------------------ */

/* Makes @leaf one whose entries are in the map. Nothing in it may be busy unless it is mapped already. */
static gboolean
map_leaf (PvVolumeWriter *self, guint64 leaf, GError **error)
{
  guint8 state = self->leaves[leaf];
  guint n_entries;
  PvName *entries;

  if ((state & PV_LEAF_STATE) == PV_LEAF_MAPPED)
    return TRUE;
  if (!pv_name_map_reserve (self->map, leaf, error))
    return FALSE;
  n_entries = pv_tree_n_entries (&self->tree, 0, leaf);
  entries = pv_name_map_leaf (self->map, leaf);
  if ((state & PV_LEAF_USED) != 0)
    memset (entries, 0, n_entries * sizeof (PvName));
  if ((state & PV_LEAF_STATE) == PV_LEAF_BASE)
    {
      g_autoptr(PvNodeRef) node = NULL;

      if (!pv_tree_node (&self->base, self->txn->store->reader, 0, leaf, &node, error))
        return FALSE;
      if (node != NULL)
        memcpy (entries, node->node.entries, MIN (n_entries, node->node.n_entries) * sizeof (PvName));
    }
  self->leaves[leaf] = PV_LEAF_MAPPED | PV_LEAF_USED;
  return TRUE;
}

static void
set_leaf (PvVolumeWriter *self, guint64 leaf, PvLeafState state)
{
  self->leaves[leaf] = (guint8) (state | (self->leaves[leaf] & PV_LEAF_USED));
}

static gboolean
submit (PvVolumeWriter *self, GError **error)
{
  return self->batch == NULL || self->batch->n == 0
         || pv_ingest_submit (self->txn, g_steal_pointer (&self->batch), error);
}

/* Waits until no page of these chunks is on its way. */
static gboolean
settle (PvVolumeWriter *self, guint64 first, guint64 n, GError **error)
{
  if (!pv_name_map_any_busy (self->map, first, n))
    return TRUE;
  return submit (self, error) && pv_ingest_wait (self, error);
}

/* --- write -------------------------------------------------------------------------------------------------------- */

static guint8 *
find_in_batch (PvVolumeWriter *self, guint64 chunk)
{
  for (guint i = 0; self->batch != NULL && i < self->batch->n; i++)
    if (self->batch->chunks[i] == chunk)
      return self->batch->data + (gsize) i * PV_CHUNK_SIZE;
  return NULL;
}

static gboolean
write_chunk (PvVolumeWriter *self, guint64 chunk, const guint8 *data, gsize size, GError **error)
{
  guint8 *at;

  if (!map_leaf (self, chunk / PV_NODE_FANOUT, error))
    return FALSE;
  if (!pv_name_map_set_busy (self->map, chunk))
    {
      at = find_in_batch (self, chunk);
      if (at == NULL)
        {
          if (!pv_ingest_wait (self, error))
            return FALSE;
          pv_name_map_set_busy (self->map, chunk);
        }
    }
  else
    at = NULL;
  if (at == NULL)
    {
      if (self->batch == NULL)
        self->batch = pv_ingest_batch (self->txn);
      self->batch->volume = self;
      self->batch->chunks[self->batch->n] = chunk;
      at = self->batch->data + (gsize) self->batch->n++ * PV_CHUNK_SIZE;
    }
  memcpy (at, data, size);
  if (size < PV_CHUNK_SIZE)
    memset (at + size, 0, PV_CHUNK_SIZE - size);
  return self->batch->n < PV_BATCH_CHUNKS || submit (self, error);
}

/* What all three have to check. */
static gboolean
check_range (PvVolumeWriter *self, guint64 offset, guint64 size, GError **error)
{
  if (self->finished || offset % PV_CHUNK_SIZE != 0 || size > self->size || offset > self->size - size
      || (size % PV_CHUNK_SIZE != 0 && offset + size != self->size))
    return pv_throw (error, PV_ERROR_INVALID,
                     "volume '%s' of %" G_GUINT64_FORMAT " bytes: %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
                     " are outside of it or not whole chunks",
                     self->name, self->size, size, offset);
  return pv_txn_check (self->txn, error);
}

gboolean
pv_volume_writer_write (PvVolumeWriter *self, guint64 offset, const guint8 *data, gsize size, GError **error)
{
  if (!check_range (self, offset, size, error))
    return FALSE;
  __atomic_fetch_add (&self->txn->scanned, size, __ATOMIC_RELAXED);
  for (gsize done = 0; done < size; done += PV_CHUNK_SIZE)
    if (!write_chunk (self, (offset + done) / PV_CHUNK_SIZE, data + done, MIN (PV_CHUNK_SIZE, size - done), error))
      return FALSE;
  return TRUE;
}

/* --- zero and keep ------------------------------------------------------------------------------------------------ */

/* Some chunks of one leaf. */
typedef struct
{
  guint64 leaf;
  guint first; /* slot */
  guint n;
  gboolean whole; /* all that the leaf has */
} LeafRange;

/* The part of chunks @first to @end that is in the leaf of @first. */
static LeafRange
leaf_range (PvVolumeWriter *self, guint64 first, guint64 end)
{
  LeafRange range = { .leaf = first / PV_NODE_FANOUT, .first = (guint) (first % PV_NODE_FANOUT) };

  range.n = (guint) MIN (end - first, PV_NODE_FANOUT - range.first);
  range.whole = range.n == pv_tree_n_entries (&self->tree, 0, range.leaf);
  return range;
}

static gboolean
zero_range (PvVolumeWriter *self, const LeafRange *range, GError **error)
{
  if ((self->leaves[range->leaf] & PV_LEAF_STATE) == PV_LEAF_ZERO)
    return TRUE;
  if (!settle (self, range->leaf * PV_NODE_FANOUT + range->first, range->n, error))
    return FALSE;
  if (range->whole)
    set_leaf (self, range->leaf, PV_LEAF_ZERO);
  else if (!map_leaf (self, range->leaf, error))
    return FALSE;
  else
    memset (pv_name_map_leaf (self->map, range->leaf) + range->first, 0, range->n * sizeof (PvName));
  return TRUE;
}

gboolean
pv_volume_writer_zero (PvVolumeWriter *self, guint64 offset, guint64 size, GError **error)
{
  guint64 chunk = offset / PV_CHUNK_SIZE;
  guint64 end = (offset + size + PV_CHUNK_SIZE - 1) / PV_CHUNK_SIZE;

  if (!check_range (self, offset, size, error))
    return FALSE;
  __atomic_fetch_add (&self->txn->scanned, size, __ATOMIC_RELAXED);
  __atomic_fetch_add (&self->txn->zero, size, __ATOMIC_RELAXED);
  while (chunk < end)
    {
      LeafRange range = leaf_range (self, chunk, end);

      if (!zero_range (self, &range, error))
        return FALSE;
      chunk += range.n;
    }
  return TRUE;
}

/* A leaf can be taken over as it is when both have the same entries in it. */
static gboolean
same_shape (PvVolumeWriter *self, guint64 leaf)
{
  return pv_tree_n_entries (&self->tree, 0, leaf) == pv_tree_n_entries (&self->base, 0, leaf);
}

static gboolean
keep_range (PvVolumeWriter *self, const LeafRange *range, GError **error)
{
  g_autoptr(PvNodeRef) node = NULL;
  PvName *entries;

  if ((self->leaves[range->leaf] & PV_LEAF_STATE) == PV_LEAF_BASE)
    return TRUE;
  if (!settle (self, range->leaf * PV_NODE_FANOUT + range->first, range->n, error))
    return FALSE;
  if (range->whole && same_shape (self, range->leaf))
    {
      set_leaf (self, range->leaf, PV_LEAF_BASE);
      return TRUE;
    }
  if (!map_leaf (self, range->leaf, error)
      || !pv_tree_node (&self->base, self->txn->store->reader, 0, range->leaf, &node, error))
    return FALSE;
  entries = pv_name_map_leaf (self->map, range->leaf) + range->first;
  if (node != NULL)
    memcpy (entries, node->node.entries + range->first, range->n * sizeof (PvName));
  else
    memset (entries, 0, range->n * sizeof (PvName));
  return TRUE;
}

/* The last chunk of a volume that is shorter than its base: beyond its end must be zeros. */
static gboolean
keep_cut_chunk (PvVolumeWriter *self, guint64 chunk, GError **error)
{
  g_autoptr(PvNodeRef) node = NULL;
  g_auto(PvObject) object = { 0 };
  const guint8 *data;
  const PvName *name;

  if (!pv_tree_node (&self->base, self->txn->store->reader, 0, chunk / PV_NODE_FANOUT, &node, error))
    return FALSE;
  name = node != NULL ? &node->node.entries[chunk % PV_NODE_FANOUT] : NULL;
  if (name == NULL || pv_name_is_zero (name))
    return TRUE;
  data = pv_object_reader_chunk (self->txn->store->reader, name, &object, error);
  return data != NULL
         && write_chunk (self, chunk, data, (gsize) pv_volume_writer_chunk_size (self, chunk), error);
}

gboolean
pv_volume_writer_keep (PvVolumeWriter *self, guint64 offset, guint64 size, GError **error)
{
  guint64 chunk = offset / PV_CHUNK_SIZE;
  guint64 end = (offset + size + PV_CHUNK_SIZE - 1) / PV_CHUNK_SIZE;
  gboolean cut = size % PV_CHUNK_SIZE != 0 && self->has_base && self->base_size > self->size;

  if (!check_range (self, offset, size, error))
    return FALSE;
  if (!self->has_base || offset + size > self->base_size)
    return pv_throw (error, PV_ERROR_INVALID, "volume '%s': the base has nothing at %" G_GUINT64_FORMAT " to keep",
                     self->name, offset + size);
  while (chunk < end)
    {
      LeafRange range = leaf_range (self, chunk, end);

      if (!keep_range (self, &range, error))
        return FALSE;
      chunk += range.n;
    }
  return !cut || keep_cut_chunk (self, end - 1, error);
}

/* --- finish ------------------------------------------------------------------------------------------------------- */

gboolean
pv_volume_writer_finish (PvVolumeWriter *self, GError **error)
{
  if (!pv_txn_check (self->txn, error))
    return FALSE;
  g_return_val_if_fail (!self->finished, FALSE);
  if (!submit (self, error) || !pv_ingest_wait (self, error) || !pv_node_sink_write_tree (self, error))
    {
      g_prefix_error (error, "volume '%s': ", self->name);
      return FALSE;
    }
  g_clear_pointer (&self->batch, pv_batch_free);
  g_clear_pointer (&self->map, pv_name_map_free);
  g_clear_pointer (&self->leaves, g_free);
  self->finished = TRUE;
  return TRUE;
}
