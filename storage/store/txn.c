/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The life of a store transaction.
 *
 * Invariants (asserts and tests cite them; the argument is in docs/crash-safety.md):
 *   I1  A snapshot is listed only when every file it refers to lies in its place and is synced, directory included.
 *   I2  Before the index commit nothing of the transaction is visible: packs and snapshot object lie in its own
 *       directory, or are files that no index row names.
 *   I3  What the base snapshot refers to is not removed while the transaction lives: its object is pinned in the
 *       directory (PV_SCRATCH_BASE) before it is seen to be listed. So chunks that equal the base's need no look-up.
 *   I4  Every other object taken as known was found in a pack that was not condemned, and that pack is relied upon.
 *   I5  From the first rename to the index commit STORE/lock is held shared: nobody removes unlisted files then.
 *   I6  The first error is final: nothing is published after it.
 *
 *   state       what is there                                     leaves by
 *   BEGUN       locked directory, index writer, pin               write(): packs in the directory
 *   SEALED      all packs synced, objects pending in the index    commit: STORE/lock shared, journal
 *   PUBLISHING  files in their places, not listed                 index commit (the commit point); failure: taken back
 *   COMMITTED   listed                                            free: directory removed
 *   any other                                                     free: pending rows dropped, directory removed
 */
#include "config.h"

#include "store/txn.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/statvfs.h>

#include "store/publish.h"
#include "store/txn-private.h"
#include "util/error.h"
#include "util/snapshot-name.h"

enum
{
  LEFT_FREE = 1 << 20,      /* bytes */
  BUFFER_DEFAULT = 8 << 20, /* bytes: more would leave the processor's caches */
};

void
pv_txn_fail (PvTxn *self, GError *error)
{
  g_mutex_lock (&self->lock);
  if (self->error == NULL)
    self->error = error;
  else
    g_error_free (error);
  g_atomic_int_set (&self->failed, 1);
  g_cond_broadcast (&self->progress);
  g_mutex_unlock (&self->lock);
}

gboolean
pv_txn_check (PvTxn *self, GError **error)
{
  if (G_LIKELY (!g_atomic_int_get (&self->failed)))
    return TRUE;
  g_propagate_error (error, g_error_copy (self->error)); /* set once, before failed */
  return FALSE;
}

/* --- begin and free ----------------------------------------------------------------------------------------------- */

/* I3 */
static gboolean
pin_base (PvTxn *self, PvSnapshot *base, GError **error)
{
  if (!pv_store_scratch_pin (self->store, self->scratch, base, error))
    return FALSE;
  self->base = pv_snapshot_ref (base);
  return TRUE;
}

/* All of it under STORE/lock shared: gc, which takes it exclusively for a moment, sees a transaction with its pin or
 * not at all. */
static gboolean
begin (PvTxn *self, const PvTxnOptions *options, GError **error)
{
  g_auto(PvFd) guard = pv_store_lock (self->store, LOCK_SH, error);
  gsize buffer = options->buffer != 0 ? options->buffer : BUFFER_DEFAULT;

  if (guard < 0)
    return FALSE;
  self->scratch = pv_store_scratch_new_named (self->store, "txn", error);
  if (self->scratch == NULL)
    return FALSE;
  self->index = pv_index_writer_begin (self->store->index, pv_store_scratch_lock_path (self->scratch), error);
  if (self->index == NULL || (options->base != NULL && !pin_base (self, options->base, error)))
    return FALSE;
  self->claims = pv_claim_set_new ();
  self->nodes = pv_node_sink_new (self->store->key);
  self->sink = pv_pack_sink_new (pv_store_scratch_path (self->scratch), self->store->key, self->index, self->claims,
                                 error);
  self->batches_max = (guint) MAX (buffer / (PV_BATCH_CHUNKS * PV_CHUNK_SIZE), 1);
  return self->sink != NULL && pv_ingest_start (self, options->n_threads, error);
}

PvTxn *
pv_store_begin (PvStore *store, const PvTxnOptions *options, GError **error)
{
  static const PvTxnOptions defaults = { 0 };
  g_autoptr(PvTxn) self = g_new0 (PvTxn, 1);

  self->store = pv_store_ref (store);
  g_mutex_init (&self->lock);
  g_mutex_init (&self->gather_lock);
  g_cond_init (&self->progress);
  self->volumes = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_volume_writer_free);
  self->attachments = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  return begin (self, options != NULL ? options : &defaults, error) ? g_steal_pointer (&self) : NULL;
}

void
pv_txn_free (PvTxn *self)
{
  if (self == NULL)
    return;
  if (!self->committed)
    pv_txn_fail (self, g_error_new_literal (PV_ERROR, PV_ERROR_CANCELLED, "the transaction is given up"));
  pv_ingest_stop (self);
  g_ptr_array_unref (self->volumes);
  pv_pack_sink_free (self->sink);
  pv_node_sink_free (self->nodes);
  pv_claim_set_free (self->claims);
  pv_index_writer_free (self->index);
  pv_store_scratch_free (self->scratch);
  g_clear_pointer (&self->base, pv_snapshot_unref);
  g_hash_table_unref (self->attachments);
  g_clear_error (&self->error);
  g_cond_clear (&self->progress);
  g_mutex_clear (&self->lock);
  g_mutex_clear (&self->gather_lock);
  pv_store_unref (self->store);
  g_free (self);
}

/* --- content ------------------------------------------------------------------------------------------------------ */

static gboolean
is_taken (PvTxn *self, PvVolumeKind kind, const char *name)
{
  for (guint i = 0; i < self->volumes->len; i++)
    {
      PvVolumeWriter *volume = self->volumes->pdata[i];

      if (volume->kind == kind && g_str_equal (volume->name, name))
        return TRUE;
    }
  return FALSE;
}

/* Takes @volume unless there is one like it. */
static gboolean
add_volume (PvTxn *self, PvVolumeWriter *volume, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (is_taken (self, volume->kind, volume->name))
    return pv_throw (error, PV_ERROR_EXISTS, "the %s volume '%s' is in the snapshot already",
                     pv_volume_kind_to_string (volume->kind), volume->name);
  g_ptr_array_add (self->volumes, volume);
  return TRUE;
}

PvVolumeWriter *
pv_txn_add_volume (PvTxn *self, PvVolumeKind kind, const char *name, guint64 size, GError **error)
{
  const PvVolume *base = self->base != NULL ? pv_snapshot_find_volume (self->base, kind, name) : NULL;
  PvVolumeWriter *volume;
  static const PvName zero;

  if (!pv_txn_check (self, error))
    return NULL;
  if (size > PV_VOLUME_SIZE_MAX)
    {
      pv_throw (error, PV_ERROR_INVALID, "volume '%s' has %" G_GUINT64_FORMAT " bytes, more than 64 TiB", name, size);
      return NULL;
    }
  volume = g_new0 (PvVolumeWriter, 1);
  volume->txn = self;
  volume->kind = kind;
  volume->name = g_strdup (name);
  volume->size = size;
  pv_tree_init (&volume->tree, size, &zero);
  if (base != NULL)
    {
      volume->has_base = TRUE;
      volume->base_size = base->size;
      pv_tree_init (&volume->base, base->size, &base->root);
    }
  volume->leaves = g_malloc0 (MAX (pv_tree_n_nodes (&volume->tree, 0), 1));
  volume->map = pv_name_map_new (pv_store_scratch_path (self->scratch), volume->tree.n_chunks, error);
  if (volume->map == NULL || !add_volume (self, volume, error))
    {
      pv_volume_writer_free (volume);
      return NULL;
    }
  return volume;
}

gboolean
pv_txn_add_blob (PvTxn *self, const char *name, GBytes *bytes, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  PvVolumeWriter *volume = pv_txn_add_volume (self, PV_VOLUME_BLOB, name, size, error);

  return volume != NULL && (size == 0 || pv_volume_writer_write (volume, 0, data, size, error))
         && pv_volume_writer_finish (volume, error);
}

gboolean
pv_txn_attach (PvTxn *self, const char *name, GBytes *bytes, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (g_bytes_get_size (bytes) > PV_ATTACHMENT_MAX)
    return pv_throw (error, PV_ERROR_INVALID, "attachment '%s' is larger than 16 MiB", name);
  if (g_hash_table_contains (self->attachments, name))
    return pv_throw (error, PV_ERROR_EXISTS, "the attachment '%s' is in the snapshot already", name);
  g_hash_table_insert (self->attachments, g_strdup (name), g_bytes_ref (bytes));
  return TRUE;
}

void
pv_txn_stats (PvTxn *self, PvTxnStats *stats)
{
  stats->scanned_bytes = __atomic_load_n (&self->scanned, __ATOMIC_RELAXED);
  stats->zero_bytes = __atomic_load_n (&self->zero, __ATOMIC_RELAXED);
  stats->known_bytes = __atomic_load_n (&self->known, __ATOMIC_RELAXED);
  stats->new_bytes = __atomic_load_n (&self->fresh, __ATOMIC_RELAXED);
  stats->stored_bytes = pv_pack_sink_size (self->sink);
}

/* --- commit ------------------------------------------------------------------------------------------------------- */

/* The snapshot, with the bytes that it adds to the store. */
static PvSnapshot *
make_snapshot (PvTxn *self, const PvSnapshotMeta *meta, GError **error)
{
  g_autoptr(GArray) volumes = g_array_new (FALSE, FALSE, sizeof (PvVolume));
  g_autoptr(PvSnapshot) draft = NULL;
  g_autoptr(GBytes) plain = NULL, bytes = NULL;

  for (guint i = 0; i < self->volumes->len; i++)
    {
      PvVolumeWriter *writer = self->volumes->pdata[i];
      PvVolume volume = { writer->kind, writer->name, writer->size, writer->tree.root };

      if (!writer->finished)
        {
          pv_throw (error, PV_ERROR_INVALID, "volume '%s' is not finished", writer->name);
          return NULL;
        }
      g_array_append_val (volumes, volume);
    }
  draft = pv_snapshot_new (meta, (const PvVolume *) volumes->data, volumes->len, self->attachments, 0, error);
  if (draft == NULL)
    return NULL;
  plain = pv_snapshot_serialize (draft);
  bytes = self->store->key != NULL ? pv_snapshot_encrypt (plain, self->store->key, error) : g_bytes_ref (plain);
  if (bytes == NULL)
    return NULL;
  return pv_store_parse_snapshot (self->store, bytes, pv_pack_sink_size (self->sink) + g_bytes_get_size (bytes), error);
}

static gboolean
check_not_listed (PvTxn *self, const PvSnapshotMeta *meta, GError **error)
{
  g_autofree char *domain = NULL, *name = NULL;
  g_autoptr(PvSnapshotRow) row = NULL;
  g_autoptr(GError) why = NULL;

  if (!pv_domain_name_check (meta->domain, error) || !pv_snapshot_name_check (meta->name, error))
    return FALSE;
  domain = pv_store_index_domain (self->store, meta->domain);
  name = pv_store_index_name (self->store, meta->domain, meta->name);
  row = pv_index_snapshot (self->store->index, domain, name, &why);
  if (row != NULL)
    return pv_throw (error, PV_ERROR_EXISTS, "there is a snapshot %s@%s already", meta->domain, meta->name);
  if (g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

/* BEGUN to SEALED. */
static gboolean
seal (PvTxn *self, GError **error)
{
  return pv_ingest_flush (self, error) && pv_node_sink_flush (self, error) && pv_pack_sink_finish (self->sink, error);
}

/* Opening the index takes some space: on a disk that is full to the last byte not even deleting would be possible. */
static gboolean
check_room (PvTxn *self, GError **error)
{
  struct statvfs status;

  return statvfs (self->store->packs, &status) < 0 || (guint64) status.f_bavail * status.f_frsize >= LEFT_FREE
         || pv_throw (error, PV_ERROR_NO_SPACE, "the file system of '%s' is full: make room for 1 MiB more at least",
                      self->store->packs);
}

PvSnapshot *
pv_txn_commit (PvTxn *self, const PvSnapshotMeta *meta, GError **error)
{
  g_autoptr(PvSnapshot) snapshot = NULL;
  GError *why = NULL;

  g_return_val_if_fail (!self->committed, NULL);
  if (!pv_txn_check (self, error) /* I6 */ || !check_not_listed (self, meta, error))
    return NULL;
  if (seal (self, &why) && check_room (self, &why))
    snapshot = make_snapshot (self, meta, &why);
  if (snapshot != NULL
      && pv_publish_packs (self->store, self->scratch, pv_pack_sink_packs (self->sink), snapshot, &self->index, &why))
    {
      self->committed = TRUE;
      return g_steal_pointer (&snapshot);
    }
  g_propagate_error (error, g_error_copy (why));
  pv_txn_fail (self, why);
  return NULL;
}
