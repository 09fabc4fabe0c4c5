/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/ram-ingest.h"

#include "stream/plain-stream.h"
#include "stream/stream-decoder.h"
#include "util/error.h"
#include "virt/attachments.h"

struct _PvRamIngest
{
  PvTxn *txn;               /* (not owned) */
  PvStreamDecoder *decoder; /* (owned) */
  PvStreamHead *head;       /* (owned) (nullable): there is no stream */
  GBytes *devices;          /* (owned) (nullable): with head */
  GPtrArray *writers;       /* (owned) (element-type PvVolumeWriter): by block index; the transaction's */
  guint64 total, done;      /* bytes; atomic */
};

static gboolean
on_blocks (const GPtrArray *blocks, gpointer data, GError **error)
{
  PvRamIngest *self = data;
  guint64 total = 0;

  for (guint i = 0; i < blocks->len; i++)
    {
      const PvRamBlock *block = blocks->pdata[i];
      PvVolumeWriter *writer = pv_txn_add_volume (self->txn, PV_VOLUME_RAM, block->name, block->size, error);

      if (writer == NULL)
        return FALSE;
      g_ptr_array_add (self->writers, writer);
      total += block->size;
    }
  __atomic_store_n (&self->total, total, __ATOMIC_RELAXED);
  return TRUE;
}

static void
count (PvRamIngest *self, guint64 n_bytes)
{
  __atomic_fetch_add (&self->done, n_bytes, __ATOMIC_RELAXED);
}

gboolean
pv_ram_ingest_begin (PvRamIngest *self, PvStreamHead *head, GError **error)
{
  g_return_val_if_fail (self->head == NULL, FALSE);
  self->head = pv_stream_head_ref (head);
  return on_blocks (head->blocks, self, error);
}

gboolean
pv_ram_ingest_pages (PvRamIngest *self, guint block_index, guint64 offset, const guint8 *bytes, gsize n_bytes,
                     GError **error)
{
  count (self, n_bytes);
  return pv_volume_writer_write (self->writers->pdata[block_index], offset, bytes, n_bytes, error);
}

gboolean
pv_ram_ingest_zero (PvRamIngest *self, guint block_index, guint64 offset, guint64 n_bytes, GError **error)
{
  count (self, n_bytes);
  return pv_volume_writer_zero (self->writers->pdata[block_index], offset, n_bytes, error);
}

gboolean
pv_ram_ingest_keep (PvRamIngest *self, guint block_index, guint64 offset, guint64 n_bytes, GError **error)
{
  count (self, n_bytes);
  return pv_volume_writer_keep (self->writers->pdata[block_index], offset, n_bytes, error);
}

void
pv_ram_ingest_devices (PvRamIngest *self, GBytes *devices)
{
  g_clear_pointer (&self->devices, g_bytes_unref);
  self->devices = g_bytes_ref (devices);
}

static gboolean
on_pages (guint block_index, guint64 offset, const guint8 *bytes, guint n_bytes, gpointer data, GError **error)
{
  return pv_ram_ingest_pages (data, block_index, offset, bytes, n_bytes, error);
}

static gboolean
on_zero (guint block_index, guint64 offset, guint64 n_bytes, gpointer data, GError **error)
{
  return pv_ram_ingest_zero (data, block_index, offset, n_bytes, error);
}

PvRamIngest *
pv_ram_ingest_new (PvTxn *txn)
{
  static const PvStreamHandler handler = { .ram_blocks = on_blocks, .pages = on_pages, .zero = on_zero };
  PvRamIngest *self = g_new0 (PvRamIngest, 1);

  self->txn = txn;
  self->decoder = pv_stream_decoder_new (&handler, self);
  self->writers = g_ptr_array_new ();
  return self;
}

void
pv_ram_ingest_free (PvRamIngest *self)
{
  if (self == NULL)
    return;
  pv_stream_decoder_free (self->decoder);
  g_clear_pointer (&self->head, pv_stream_head_unref);
  g_clear_pointer (&self->devices, g_bytes_unref);
  g_ptr_array_unref (self->writers);
  g_free (self);
}

gboolean
pv_ram_ingest_feed (const guint8 *bytes, gsize n, gpointer data, GError **error)
{
  PvRamIngest *self = data;

  return pv_stream_decoder_feed (self->decoder, bytes, n, error);
}

/* When all is there: from the decoder, or from whoever did without a stream. */
static gboolean
close_volumes (PvRamIngest *self, GError **error)
{
  g_autoptr(GBytes) head = NULL;
  g_autoptr(GBytes) devices = NULL;

  for (guint i = 0; i < self->writers->len; i++)
    if (!pv_volume_writer_finish (self->writers->pdata[i], error))
      return FALSE;
  g_ptr_array_set_size (self->writers, 0);
  head = self->head != NULL ? pv_stream_head_serialize (self->head) : pv_stream_decoder_head (self->decoder);
  devices = self->head != NULL ? g_bytes_ref (self->devices) : pv_stream_decoder_devices (self->decoder);
  return pv_txn_attach (self->txn, PV_ATTACH_STREAM_HEAD, head, error)
         && pv_txn_add_blob (self->txn, PV_BLOB_DEVICES, devices, error);
}

gboolean
pv_ram_ingest_finish (PvRamIngest *self, GError **error)
{
  g_return_val_if_fail (self->head == NULL || self->devices != NULL, FALSE);
  return (self->head != NULL || pv_stream_decoder_finish (self->decoder, error)) && close_volumes (self, error);
}

gboolean
pv_ram_ingest_take_file (PvRamIngest *self, int fd, guint64 offset, PvSaveFormat format, const char *name,
                         GError **error)
{
  return pv_plain_stream_decode (fd, offset, format, name, self->decoder, error) && close_volumes (self, error);
}

gboolean
pv_ram_ingest_started (PvRamIngest *self)
{
  return __atomic_load_n (&self->done, __ATOMIC_RELAXED) > 0;
}

guint64
pv_ram_ingest_total (PvRamIngest *self)
{
  return __atomic_load_n (&self->total, __ATOMIC_RELAXED);
}

guint64
pv_ram_ingest_done (PvRamIngest *self)
{
  return MIN (__atomic_load_n (&self->done, __ATOMIC_RELAXED), pv_ram_ingest_total (self));
}
