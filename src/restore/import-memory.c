/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory images: pages become RAM volumes. Of a plain stream the layout is kept, so that its bytes can be given back;
 * a compressed or sparse file is kept whole beside its pages. */
#include "config.h"

#include <string.h>

#include "restore/image-recorder.h"
#include "restore/import-private.h"
#include "stream/mapped-ram.h"
#include "stream/plain-stream.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/attachments.h"

typedef struct
{
  PvImport *import;
  guint64 stream_offset;     /* bytes into the file */
  PvStreamDecoder *decoder;  /* (owned) */
  PvImageRecorder *recorder; /* (owned) (nullable): for a plain stream */
  GPtrArray *writers;        /* (owned): of PvVolumeWriter (not owned), in setup order */
  guint64 total;             /* bytes of RAM */
  guint64 done;              /* bytes of RAM that came, repeated ones too */
} Memory;

static void
memory_clear (Memory *self)
{
  g_clear_pointer (&self->decoder, pv_stream_decoder_free);
  g_clear_pointer (&self->recorder, pv_image_recorder_free);
  g_clear_pointer (&self->writers, g_ptr_array_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Memory, memory_clear)

static gboolean
on_blocks (const GPtrArray *blocks, gpointer data, GError **error)
{
  Memory *self = data;

  for (guint i = 0; i < blocks->len; i++)
    {
      const PvRamBlock *block = g_ptr_array_index (blocks, i);
      PvVolumeWriter *writer = pv_txn_add_volume (self->import->txn, PV_VOLUME_RAM, block->name, block->size, error);

      if (writer == NULL)
        return FALSE;
      g_ptr_array_add (self->writers, writer);
      self->total += block->size;
    }
  if (self->recorder != NULL)
    pv_image_recorder_set_head (self->recorder, pv_stream_decoder_peek_head (self->decoder));
  return TRUE;
}

static gboolean
go_on (Memory *self, guint64 n_bytes, GError **error)
{
  self->done += n_bytes;
  if (self->done % PV_IMPORT_READ_SIZE >= n_bytes)
    return TRUE;
  pv_transfer_report (&self->import->transfer, MIN (self->done, self->total), self->total);
  return pv_transfer_go_on (&self->import->transfer, error);
}

static gboolean
on_pages (guint block, guint64 offset, const guint8 *bytes, guint n_bytes, gpointer data, GError **error)
{
  Memory *self = data;

  if (self->recorder != NULL
      && !pv_image_recorder_page (self->recorder, block, offset,
                                  self->stream_offset + pv_stream_decoder_page_position (self->decoder), error))
    return FALSE;
  return pv_volume_writer_write (g_ptr_array_index (self->writers, block), offset, bytes, n_bytes, error)
         && go_on (self, n_bytes, error);
}

static gboolean
on_zero (guint block, guint64 offset, guint64 n_bytes, gpointer data, GError **error)
{
  Memory *self = data;

  if (self->recorder != NULL && !pv_image_recorder_zero (self->recorder, block, offset, error))
    return FALSE;
  return pv_volume_writer_zero (g_ptr_array_index (self->writers, block), offset, n_bytes, error)
         && go_on (self, n_bytes, error);
}

/* A plain stream, from its place in the file to the file's end. */
static gboolean
decode_plain (Memory *self, GError **error)
{
  PvImport *import = self->import;
  g_autofree guint8 *buffer = g_malloc (PV_IMPORT_READ_SIZE);

  for (guint64 offset = self->stream_offset; offset < import->size;)
    {
      gsize n = (gsize) MIN (import->size - offset, PV_IMPORT_READ_SIZE);

      if (!pv_pread_exact (import->fd, buffer, n, offset, import->path, error))
        return FALSE;
      pv_image_recorder_buffer (self->recorder, buffer, offset, n);
      if (!pv_stream_decoder_feed (self->decoder, buffer, n, error))
        return FALSE;
      offset += n;
    }
  return pv_stream_decoder_finish (self->decoder, error);
}

static gboolean
decode (Memory *self, const PvSaveImage *image, GError **error)
{
  PvSaveFormat format = image != NULL ? image->format : PV_SAVE_FORMAT_RAW;
  gboolean plain = (format == PV_SAVE_FORMAT_RAW || format == PV_SAVE_FORMAT_SPARSE)
                   && !pv_mapped_ram_probe (self->import->fd, self->stream_offset);
  g_autoptr(PvStoreScratch) scratch = NULL;

  if (!plain)
    return pv_plain_stream_decode (self->import->fd, self->stream_offset, format, self->import->path, self->decoder,
                                   error)
           && pv_import_copy (self->import, self->import->fd, self->import->size, PV_VOLUME_BLOB, PV_BLOB_IMAGE, error);
  scratch = pv_store_scratch_new (self->import->store, error);
  if (scratch == NULL)
    return FALSE;
  self->recorder = pv_image_recorder_new (scratch, self->import->fd, self->import->path, error);
  return self->recorder != NULL && decode_plain (self, error)
         && pv_image_recorder_finish (self->recorder, self->import->txn, self->import->size, error);
}

static gboolean
attach_text (PvTxn *txn, const char *name, const char *text, GError **error)
{
  g_autoptr(GBytes) bytes = NULL;

  if (text == NULL)
    return TRUE;
  bytes = g_bytes_new (text, strlen (text));
  return pv_txn_attach (txn, name, bytes, error);
}

/* What a restore needs besides the pages. */
static gboolean
attach_all (Memory *self, const PvSaveImage *image, GError **error)
{
  PvTxn *txn = self->import->txn;
  g_autoptr(GBytes) head = pv_stream_decoder_head (self->decoder);
  g_autoptr(GBytes) devices = pv_stream_decoder_devices (self->decoder);

  if (!pv_txn_attach (txn, PV_ATTACH_STREAM_HEAD, head, error)
      || !pv_txn_add_blob (txn, PV_BLOB_DEVICES, devices, error))
    return FALSE;
  return image == NULL
         || (attach_text (txn, PV_ATTACH_DOMAIN_XML, image->xml, error)
             && attach_text (txn, PV_ATTACH_COOKIE, image->cookie, error));
}

gboolean
pv_import_memory (PvImport *import, const PvSaveImage *image, GError **error)
{
  static const PvStreamHandler handler = { on_blocks, on_pages, on_zero };
  g_auto(Memory) memory = { .import = import, .stream_offset = image != NULL ? image->stream_offset : 0 };

  import->transfer.phase = "reading memory";
  import->state = image == NULL || image->was_running ? PV_GUEST_RUNNING : PV_GUEST_PAUSED;
  memory.writers = g_ptr_array_new ();
  memory.decoder = pv_stream_decoder_new (&handler, &memory);
  if (!decode (&memory, image, error))
    {
      g_prefix_error (error, "%s: ", import->path);
      return FALSE;
    }
  for (guint i = 0; i < memory.writers->len; i++)
    if (!pv_volume_writer_finish (g_ptr_array_index (memory.writers, i), error))
      return FALSE;
  return pv_import_note_format (import, image != NULL ? "save-image" : "qemu-stream", error)
         && attach_all (&memory, image, error);
}
