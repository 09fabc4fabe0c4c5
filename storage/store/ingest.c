/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pool of a transaction: chunks come in batches and leave named, compared, and, when new, packed. */
#include "config.h"

#include "store/txn-private.h"

#include <string.h>

#include "util/error.h"

enum
{
  N_THREADS_MAX = 8,
  BATCH_BYTES = PV_BATCH_CHUNKS * PV_CHUNK_SIZE,
};

/* New chunks on their way into a frame. */
struct _PvGather
{
  guint n;
  PvName names[PV_FRAME_CHUNKS];
  guint8 plain[PV_FRAME_CHUNKS * PV_CHUNK_SIZE];
};

struct _PvIngestContext
{
  PvTxn *txn;
  PvNamer *namer;
  PvFrameCodec *codec;
  GByteArray *encoded;
};

/* A chunk of a batch that is neither zero nor as in the base. */
typedef struct
{
  guint n;
  PvName names[PV_BATCH_CHUNKS];
  guint index[PV_BATCH_CHUNKS]; /* in the batch */
  PvLocation locations[PV_BATCH_CHUNKS];
  gboolean found[PV_BATCH_CHUNKS];
} Unknown;

static void
count (guint64 *counter, guint64 bytes)
{
  __atomic_fetch_add (counter, bytes, __ATOMIC_RELAXED);
}

/* --- contexts ----------------------------------------------------------------------------------------------------- */

static void
context_free (gpointer data)
{
  PvIngestContext *context = data;

  pv_namer_free (context->namer);
  pv_frame_codec_free (context->codec);
  g_byte_array_unref (context->encoded);
  g_free (context);
}

static PvIngestContext *
context_new (PvTxn *txn)
{
  PvIngestContext *context = g_new0 (PvIngestContext, 1);

  context->txn = txn;
  context->namer = pv_namer_new (pv_store_key_for_names (txn->store->key));
  context->codec = pv_frame_codec_new ();
  context->encoded = g_byte_array_sized_new (PV_FRAME_STORED_MAX);
  return context;
}

static PvIngestContext *
context_take (PvTxn *txn)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&txn->lock);

  return g_ptr_array_steal_index_fast (txn->contexts, txn->contexts->len - 1);
}

static void
context_give (PvTxn *txn, PvIngestContext *context)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&txn->lock);

  g_ptr_array_add (txn->contexts, context);
}

/* --- frames ------------------------------------------------------------------------------------------------------- */

/* All threads gather for one frame, so that what lay side by side in the volume lies side by side in frames: that
 * packs better, and is what a restore asks for together. Whoever fills it up takes it away and compresses it. */

static gboolean
write_frame (PvIngestContext *context, PvGather *gather, GError **error)
{
  guint n = gather->n;

  gather->n = 0;
  g_byte_array_set_size (context->encoded, 0);
  return pv_frame_encode (context->codec, PV_FRAME_KIND_CHUNKS, n, gather->plain, (gsize) n * PV_CHUNK_SIZE,
                          context->encoded, error)
         && pv_pack_sink_append (context->txn->sink, context->encoded->data, context->encoded->len, gather->names,
                                 NULL, n, error);
}

/* Under gather_lock, which is let go of meanwhile. */
static gboolean
write_full_locked (PvIngestContext *context, GError **error)
{
  PvTxn *txn = context->txn;
  PvGather *full = g_steal_pointer (&txn->gather);
  gboolean ok;

  txn->gather = txn->spare_gathers->len > 0
                  ? g_ptr_array_steal_index_fast (txn->spare_gathers, txn->spare_gathers->len - 1)
                  : g_new0 (PvGather, 1);
  g_mutex_unlock (&txn->gather_lock);
  ok = write_frame (context, full, error);
  g_mutex_lock (&txn->gather_lock);
  g_ptr_array_add (txn->spare_gathers, full);
  return ok;
}

/* Under gather_lock. */
static gboolean
gather_locked (PvIngestContext *context, const PvName *name, const guint8 *data, GError **error)
{
  PvGather *gather = context->txn->gather;

  gather->names[gather->n] = *name;
  memcpy (gather->plain + (gsize) gather->n * PV_CHUNK_SIZE, data, PV_CHUNK_SIZE);
  gather->n++;
  return gather->n < PV_FRAME_CHUNKS || write_full_locked (context, error);
}

/* --- the work ----------------------------------------------------------------------------------------------------- */

/* The base's leaf that a run of chunks is compared with. */
typedef struct
{
  guint64 leaf; /* G_MAXUINT64: none looked at yet */
  PvNodeRef *node; /* (nullable) (owned) */
} BaseLeaf;

static void
base_leaf_clear (BaseLeaf *self)
{
  g_clear_pointer (&self->node, pv_node_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (BaseLeaf, base_leaf_clear)

/* @same: (out): the base has @name at @chunk. */
static gboolean
compare_with_base (PvVolumeWriter *volume, BaseLeaf *base, guint64 chunk, const PvName *name, gboolean *same,
                   GError **error)
{
  guint64 leaf = chunk / PV_NODE_FANOUT;
  guint slot = (guint) (chunk % PV_NODE_FANOUT);

  *same = FALSE;
  if (!volume->has_base || chunk >= volume->base.n_chunks)
    return TRUE;
  if (base->leaf != leaf)
    {
      base_leaf_clear (base);
      if (!pv_tree_node (&volume->base, volume->txn->store->reader, 0, leaf, &base->node, error))
        return FALSE;
      base->leaf = leaf;
    }
  *same = base->node != NULL && pv_name_equal (&base->node->node.entries[slot], name);
  return TRUE;
}

/* Names all chunks of @batch; those that are not settled by that go to @unknown. */
static gboolean
name_chunks (PvIngestContext *context, PvBatch *batch, Unknown *unknown, GError **error)
{
  g_auto(BaseLeaf) base = { .leaf = G_MAXUINT64 };
  PvTxn *txn = context->txn;

  for (guint i = 0; i < batch->n; i++)
    {
      guint64 chunk = batch->chunks[i];
      guint64 size = pv_volume_writer_chunk_size (batch->volume, chunk);
      PvName *name = pv_name_map_leaf (batch->volume->map, chunk / PV_NODE_FANOUT) + chunk % PV_NODE_FANOUT;
      gboolean same;

      pv_namer_chunk (context->namer, batch->data + (gsize) i * PV_CHUNK_SIZE, name);
      if (pv_name_is_zero (name))
        {
          count (&txn->zero, size);
          continue;
        }
      if (!compare_with_base (batch->volume, &base, chunk, name, &same, error))
        return FALSE;
      if (same || !pv_claim_set_claim (txn->claims, name))
        {
          count (&txn->known, size);
          continue;
        }
      unknown->names[unknown->n] = *name;
      unknown->index[unknown->n++] = i;
    }
  return TRUE;
}

/* Looks the rest up in the index; what is not there is new. */
static gboolean
store_chunks (PvIngestContext *context, PvBatch *batch, Unknown *unknown, GError **error)
{
  PvTxn *txn = context->txn;
  g_autoptr(GMutexLocker) locker = NULL;

  if (unknown->n > 0
      && !pv_index_writer_lookup_many (txn->index, unknown->names, unknown->n, unknown->locations, unknown->found,
                                       error))
    return FALSE;
  for (guint i = 0; i < unknown->n; i++)
    {
      guint at = unknown->index[i];
      guint64 size = pv_volume_writer_chunk_size (batch->volume, batch->chunks[at]);

      if (unknown->found[i])
        {
          pv_index_writer_rely (txn->index, unknown->locations[i].pack);
          pv_claim_set_release (txn->claims, &unknown->names[i]);
          count (&txn->known, size);
          continue;
        }
      count (&txn->fresh, size);
      if (locker == NULL)
        locker = g_mutex_locker_new (&txn->gather_lock);
      if (!gather_locked (context, &unknown->names[i], batch->data + (gsize) at * PV_CHUNK_SIZE, error))
        return FALSE;
    }
  return TRUE;
}

static void
work (gpointer data, gpointer user_data)
{
  PvTxn *txn = user_data;
  PvBatch *batch = data;
  PvVolumeWriter *volume = batch->volume;
  PvIngestContext *context = context_take (txn);
  GError *error = NULL;
  Unknown unknown = { .n = 0 };

  if (!g_atomic_int_get (&txn->failed)
      && (!name_chunks (context, batch, &unknown, &error) || !store_chunks (context, batch, &unknown, &error)))
    pv_txn_fail (txn, error);
  context_give (txn, context);
  for (guint i = 0; i < batch->n; i++)
    pv_name_map_clear_busy (volume->map, batch->chunks[i]);

  g_mutex_lock (&txn->lock);
  batch->n = 0;
  g_ptr_array_add (txn->idle, batch);
  txn->n_batches--;
  volume->n_in_flight--;
  g_cond_broadcast (&txn->progress);
  g_mutex_unlock (&txn->lock);
}

/* --- the caller's side -------------------------------------------------------------------------------------------- */

void
pv_batch_free (PvBatch *batch)
{
  if (batch == NULL)
    return;
  g_free (batch->data);
  g_free (batch);
}

gboolean
pv_ingest_start (PvTxn *txn, guint n_threads, GError **error)
{
  if (n_threads == 0)
    n_threads = MIN (g_get_num_processors (), N_THREADS_MAX);
  txn->idle = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_batch_free);
  txn->contexts = g_ptr_array_new_with_free_func (context_free);
  txn->gather = g_new0 (PvGather, 1);
  txn->spare_gathers = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < n_threads; i++)
    g_ptr_array_add (txn->contexts, context_new (txn));
  txn->batches_max = MAX (txn->batches_max, n_threads);
  txn->pool = pv_workers_new ("ingest", n_threads, work, txn, error);
  return txn->pool != NULL;
}

PvBatch *
pv_ingest_batch (PvTxn *txn)
{
  PvBatch *batch = NULL;

  g_mutex_lock (&txn->lock);
  if (txn->idle->len > 0)
    batch = g_ptr_array_steal_index_fast (txn->idle, txn->idle->len - 1);
  g_mutex_unlock (&txn->lock);
  if (batch == NULL)
    {
      batch = g_new0 (PvBatch, 1);
      batch->data = g_malloc (BATCH_BYTES);
    }
  return batch;
}

gboolean
pv_ingest_submit (PvTxn *txn, PvBatch *batch, GError **error)
{
  g_mutex_lock (&txn->lock);
  while (txn->n_batches >= txn->batches_max && txn->error == NULL)
    g_cond_wait (&txn->progress, &txn->lock);
  txn->n_batches++;
  batch->volume->n_in_flight++;
  g_mutex_unlock (&txn->lock);
  pv_workers_push (txn->pool, batch);
  return pv_txn_check (txn, error);
}

gboolean
pv_ingest_wait (PvVolumeWriter *volume, GError **error)
{
  g_mutex_lock (&volume->txn->lock);
  while (volume->n_in_flight > 0)
    g_cond_wait (&volume->txn->progress, &volume->txn->lock);
  g_mutex_unlock (&volume->txn->lock);
  return pv_txn_check (volume->txn, error);
}

gboolean
pv_ingest_flush (PvTxn *txn, GError **error)
{
  return txn->gather->n == 0 || write_frame (txn->contexts->pdata[0], txn->gather, error);
}

void
pv_ingest_stop (PvTxn *txn)
{
  g_clear_pointer (&txn->pool, pv_workers_free);
  g_clear_pointer (&txn->contexts, g_ptr_array_unref);
  g_clear_pointer (&txn->idle, g_ptr_array_unref);
  g_clear_pointer (&txn->gather, g_free);
  g_clear_pointer (&txn->spare_gathers, g_ptr_array_unref);
}
