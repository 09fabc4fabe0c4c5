/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The trees of a transaction: what equals the base's node is taken over by name; what is in the store already likewise;
 * the rest is stored, as a difference to the base's node when that is worth it. */
#include "config.h"

#include "store/txn-private.h"

#include <string.h>

#include "util/error.h"

enum
{
  FRAME_TARGET = 128 << 10, /* bytes of nodes in a frame */
  FRAME_SLOTS = 256,
};
G_STATIC_ASSERT (FRAME_TARGET + PV_NODE_STORED_MAX <= PV_FRAME_PLAIN_MAX);

struct _PvNodeSink
{
  GMutex lock; /* over all of it */
  PvFrameCodec *codec;
  PvNamer *namer;
  GByteArray *plain;   /* nodes of the next frame, back to back */
  GArray *names;       /* of PvName */
  GArray *sizes;       /* of guint32 */
  GByteArray *encoded;
};

PvNodeSink *
pv_node_sink_new (const PvStoreKey *key)
{
  PvNodeSink *self = g_new0 (PvNodeSink, 1);

  g_mutex_init (&self->lock);
  self->codec = pv_frame_codec_new ();
  self->namer = pv_namer_new (pv_store_key_for_names (key));
  self->plain = g_byte_array_new ();
  self->names = g_array_new (FALSE, FALSE, sizeof (PvName));
  self->sizes = g_array_new (FALSE, FALSE, sizeof (guint32));
  self->encoded = g_byte_array_new ();
  return self;
}

void
pv_node_sink_free (PvNodeSink *self)
{
  if (self == NULL)
    return;
  g_mutex_clear (&self->lock);
  pv_frame_codec_free (self->codec);
  pv_namer_free (self->namer);
  g_byte_array_unref (self->plain);
  g_array_unref (self->names);
  g_array_unref (self->sizes);
  g_byte_array_unref (self->encoded);
  g_free (self);
}

/* Under lock. */
static gboolean
write_frame (PvNodeSink *self, PvTxn *txn, GError **error)
{
  gboolean ok;

  if (self->names->len == 0)
    return TRUE;
  g_byte_array_set_size (self->encoded, 0);
  ok = pv_frame_encode (self->codec, PV_FRAME_KIND_NODES, self->names->len, self->plain->data, self->plain->len,
                        self->encoded, error)
       && pv_pack_sink_append (txn->sink, self->encoded->data, self->encoded->len, (const PvName *) self->names->data,
                               (const guint32 *) self->sizes->data, self->names->len, error);
  g_byte_array_set_size (self->plain, 0);
  g_array_set_size (self->names, 0);
  g_array_set_size (self->sizes, 0);
  return ok;
}

gboolean
pv_node_sink_flush (PvTxn *txn, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&txn->nodes->lock);

  return write_frame (txn->nodes, txn, error);
}

/* (nullable): node @name, if the store has it and everything that expanding it takes, none of it condemned; the
 * snapshot then relies on those packs. A copy that cannot be expanded is none. */
static PvNodeRef *
rely_on_node (PvTxn *txn, const PvName *name)
{
  g_autoptr(GArray) used = g_array_new (FALSE, FALSE, sizeof (PvLocation));
  PvNodeRef *node = pv_object_reader_locate_node (txn->store->reader, name, TRUE, used, NULL);

  for (guint i = 0; node != NULL && i < used->len; i++)
    pv_index_writer_rely (txn->index, g_array_index (used, PvLocation, i).pack);
  return node;
}

/* @stored: (out): node @name need not be stored. */
static gboolean
is_stored (PvTxn *txn, const PvName *name, gboolean *stored, GError **error)
{
  g_autoptr(PvNodeRef) node = NULL;
  g_autoptr(GError) why = NULL;
  PvLocation location;
  PvPackRow pack;

  *stored = FALSE;
  if (!pv_index_writer_lookup (txn->index, name, &location, &why))
    return why == NULL || (g_propagate_error (error, g_steal_pointer (&why)), FALSE);
  if (pv_index_pack (txn->store->index, location.pack, &pack, NULL) && pack.state == PV_PACK_PENDING)
    {
      *stored = TRUE; /* by this transaction: nobody else's pending packs are found */
      return TRUE;
    }
  node = rely_on_node (txn, name);
  *stored = node != NULL;
  return TRUE;
}

/* Appends @node in the shorter form. @predecessor: (nullable): the node called @predecessor_name at its place in the
 * base. */
static gboolean
encode_node (PvTxn *txn, const PvNode *node, PvNodeRef *predecessor, const PvName *predecessor_name, GByteArray *out,
             GError **error)
{
  g_autoptr(PvNodeRef) full = NULL;
  PvName full_name = *predecessor_name;
  guint n_recent;

  if (predecessor == NULL)
    {
      pv_node_encode_full (node, out);
      return TRUE;
    }
  n_recent = pv_node_count_changes (node, &predecessor->node);
  full = pv_node_ref (predecessor);
  while (!pv_name_is_zero (&full->base))
    {
      g_autoptr(PvNodeRef) delta = g_steal_pointer (&full);

      full_name = delta->base;
      full = pv_object_reader_node (txn->store->reader, &full_name, node->level, node->n_entries, error);
      if (full == NULL)
        return FALSE;
    }
  pv_node_unref (g_steal_pointer (&full));
  full = rely_on_node (txn, &full_name);
  if (full == NULL || !pv_node_encode_delta (node, &full->node, &full_name, n_recent, out))
    pv_node_encode_full (node, out);
  return TRUE;
}

/* Stores @node, called @name, unless the store has it. @predecessor_name: zero when there is none. */
static gboolean
put_node (PvTxn *txn, const PvNode *node, const PvName *name, const PvName *predecessor_name, GError **error)
{
  PvNodeSink *self = txn->nodes;
  g_autoptr(GMutexLocker) locker = NULL;
  g_autoptr(PvNodeRef) predecessor = NULL;
  gboolean stored;
  guint32 size;

  if (!pv_claim_set_claim (txn->claims, name))
    return TRUE;
  if (!is_stored (txn, name, &stored, error))
    return FALSE;
  if (stored)
    {
      pv_claim_set_release (txn->claims, name);
      return TRUE;
    }
  if (!pv_name_is_zero (predecessor_name))
    {
      predecessor = pv_object_reader_node (txn->store->reader, predecessor_name, node->level, node->n_entries, error);
      if (predecessor == NULL)
        return FALSE;
    }
  locker = g_mutex_locker_new (&self->lock);
  size = self->plain->len;
  if (!encode_node (txn, node, predecessor, predecessor_name, self->plain, error))
    return FALSE;
  size = self->plain->len - size;
  g_array_append_val (self->names, *name);
  g_array_append_val (self->sizes, size);
  if (self->plain->len >= FRAME_TARGET || self->names->len == FRAME_SLOTS)
    return write_frame (self, txn, error);
  return TRUE;
}

/* The base's node at this place, if it can be compared with ours: zero when not. */
static gboolean
find_predecessor (PvVolumeWriter *volume, guint level, guint64 index, PvName *name, GError **error)
{
  memset (name, 0, sizeof *name);
  if (!volume->has_base || level > volume->base.level || index >= pv_tree_n_nodes (&volume->base, level)
      || pv_tree_n_entries (&volume->base, level, index) != pv_tree_n_entries (&volume->tree, level, index))
    return TRUE;
  return pv_tree_node_name (&volume->base, volume->txn->store->reader, level, index, name, error);
}

/* Names node @index of @level with these @entries, and sees to it that it is stored. */
static gboolean
finish_node (PvVolumeWriter *volume, PvNamer *namer, PvNode *node, guint64 index, const PvName *entries, PvName *name,
             GError **error)
{
  PvName predecessor;

  node->n_entries = pv_tree_n_entries (&volume->tree, node->level, index);
  pv_namer_node (namer, node->level, entries, node->n_entries, name);
  if (pv_name_is_zero (name))
    return TRUE;
  if (!find_predecessor (volume, node->level, index, &predecessor, error))
    return FALSE;
  if (pv_name_equal (&predecessor, name))
    return TRUE;
  memcpy (node->entries, entries, node->n_entries * sizeof (PvName));
  return put_node (volume->txn, node, name, &predecessor, error);
}

static gboolean
finish_leaf (PvVolumeWriter *volume, PvNamer *namer, PvNode *node, guint64 leaf, PvName *name, GError **error)
{
  switch (volume->leaves[leaf] & PV_LEAF_STATE)
    {
    case PV_LEAF_BASE:
      return pv_tree_node_name (&volume->base, volume->txn->store->reader, 0, leaf, name, error);
    case PV_LEAF_MAPPED:
      return finish_node (volume, namer, node, leaf, pv_name_map_leaf (volume->map, leaf), name, error);
    case PV_LEAF_ZERO:
    default:
      memset (name, 0, sizeof *name);
      return TRUE;
    }
}

gboolean
pv_node_sink_write_tree (PvVolumeWriter *volume, GError **error)
{
  g_autoptr(PvNamer) namer = pv_namer_new (pv_store_key_for_names (volume->txn->store->key));
  g_autofree PvNode *node = g_new0 (PvNode, 1);
  guint64 n = pv_tree_n_nodes (&volume->tree, 0);
  g_autofree PvName *names = g_new0 (PvName, MAX (n, 1));

  for (guint64 i = 0; i < n; i++)
    if (!finish_leaf (volume, namer, node, i, &names[i], error))
      return FALSE;
  for (guint level = 1; level <= volume->tree.level; level++)
    {
      node->level = level;
      n = pv_tree_n_nodes (&volume->tree, level);
      for (guint64 i = 0; i < n; i++) /* the names of a level take the place of those that they stand for */
        {
          PvName name;

          if (!finish_node (volume, namer, node, i, &names[i * PV_NODE_FANOUT], &name, error))
            return FALSE;
          names[i] = name;
        }
    }
  volume->tree.root = names[0];
  return TRUE;
}
