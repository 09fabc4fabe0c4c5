/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/memory-image.h"

#include <sys/stat.h>

#include "restore/volume-pieces.h"
#include "stream/save-image.h"
#include "stream/stream-decoder.h"
#include "stream/stream-encoder.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/attachments.h"

/* What is written, and how far. */
typedef struct
{
  PvStore *store;
  PvSnapshot *snapshot;
  PvStreamHead *head;       /* (owned) */
  PvStreamEncoder *encoder; /* (owned) */
  const PvTransfer *transfer;
  guint64 done, total;      /* bytes of memory */
} Image;

static void
image_clear (Image *self)
{
  g_clear_pointer (&self->encoder, pv_stream_encoder_free);
  g_clear_pointer (&self->head, pv_stream_head_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Image, image_clear)

PvStreamHead *
pv_memory_image_read_head (PvSnapshot *snapshot, GError **error)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, PV_ATTACH_STREAM_HEAD);
  g_autoptr(PvStreamHead) head = NULL;

  if (bytes == NULL)
    {
      pv_throw (error, PV_ERROR_NOT_FOUND, "the snapshot has no memory: only its disks were taken");
      return NULL;
    }
  head = pv_stream_head_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
  if (head != NULL && head->blocks->len == 0)
    {
      pv_throw (error, PV_ERROR_NOT_FOUND, "the snapshot has device state, but no memory");
      return NULL;
    }
  return g_steal_pointer (&head);
}

GBytes *
pv_memory_image_read_devices (PvStore *store, PvSnapshot *snapshot, GError **error)
{
  const PvVolume *volume = pv_snapshot_find_volume (snapshot, PV_VOLUME_BLOB, PV_BLOB_DEVICES);
  g_autoptr(PvVolumeReader) reader = NULL;

  if (volume == NULL)
    {
      pv_corrupt (error, "the snapshot has memory, but no device state");
      return NULL;
    }
  reader = pv_volume_reader_new (store, volume, error);
  return reader != NULL ? pv_volume_reader_read_all (reader, PV_STREAM_DEVICES_MAX, error) : NULL;
}

/* (transfer full): attachment @name as a string, NULL when there is none. */
static char *
read_text (PvSnapshot *snapshot, const char *name)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, name);

  return bytes != NULL ? g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)) : NULL;
}

static gboolean
write_start (PvSnapshot *snapshot, const char *xml, int fd, const char *name, gboolean complete, GError **error)
{
  g_autofree char *own_xml = xml != NULL ? NULL : read_text (snapshot, PV_ATTACH_DOMAIN_XML);
  g_autofree char *cookie = read_text (snapshot, PV_ATTACH_COOKIE);
  gboolean was_running = pv_snapshot_state (snapshot) == PV_GUEST_RUNNING;
  g_autoptr(GBytes) start = NULL;

  if (xml == NULL)
    xml = own_xml;
  if (xml == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "the snapshot has no domain XML, which a save image needs: it came from a bare QEMU stream");
  start = pv_save_image_compose (xml, cookie, was_running, PV_SAVE_FORMAT_RAW, PV_RAM_PAGE_MIN, complete, error);
  return start != NULL
         && pv_write_all (fd, g_bytes_get_data (start, NULL), g_bytes_get_size (start), name, error);
}

static gboolean
encode_piece (Image *self, guint block, const PvPiece *piece, GError **error)
{
  guint page_size = self->head->page_size;

  for (guint64 at = 0; at < piece->size; at += page_size)
    if (piece->data != NULL
          ? !pv_stream_encoder_page (self->encoder, block, piece->offset + at, piece->data + at, error)
          : !pv_stream_encoder_zero (self->encoder, block, piece->offset + at, error))
      return FALSE;
  return TRUE;
}

static gboolean
encode_block (Image *self, guint index, GError **error)
{
  const PvRamBlock *block = g_ptr_array_index (self->head->blocks, index);
  const PvVolume *volume = pv_snapshot_find_volume (self->snapshot, PV_VOLUME_RAM, block->name);
  g_autoptr(PvVolumeReader) reader = NULL;
  g_autoptr(PvVolumePieces) pieces = NULL;
  PvPiece piece;

  if (volume == NULL || volume->size != block->size)
    return pv_corrupt (error, "RAM block %s is not in the snapshot with the size that its stream had", block->name);
  reader = pv_volume_reader_new (self->store, volume, error);
  if (reader == NULL)
    return FALSE;
  pieces = pv_volume_pieces_new (reader, self->head->page_size, self->transfer->cancellable);
  do
    {
      if (!pv_volume_pieces_next (pieces, &piece, error) || !encode_piece (self, index, &piece, error))
        {
          g_prefix_error (error, "RAM block %s: ", block->name);
          return FALSE;
        }
      self->done += piece.size;
      pv_transfer_report (self->transfer, self->done, self->total);
    }
  while (piece.size > 0);
  return TRUE;
}

static gboolean
write_stream (Image *self, int fd, GError **error)
{
  g_autoptr(GBytes) devices = pv_memory_image_read_devices (self->store, self->snapshot, error);

  if (devices == NULL)
    return FALSE;
  self->encoder = pv_stream_encoder_new (self->head, pv_stream_write_fd, GINT_TO_POINTER (fd));
  for (guint i = 0; i < self->head->blocks->len; i++)
    if (!encode_block (self, i, error))
      return FALSE;
  return pv_stream_encoder_finish (self->encoder, devices, error);
}

gboolean
pv_memory_image_write (PvStore *store, PvSnapshot *snapshot, const char *xml, int fd, const char *name,
                       const PvTransfer *transfer, GError **error)
{
  g_auto(Image) image = { .store = store, .snapshot = snapshot, .transfer = transfer };
  struct stat status;
  gboolean regular = fstat (fd, &status) == 0 && S_ISREG (status.st_mode);

  image.head = pv_memory_image_read_head (snapshot, error);
  if (image.head == NULL)
    return FALSE;
  image.total = pv_stream_head_total (image.head);
  return write_start (snapshot, xml, fd, name, !regular, error)
         && write_stream (&image, fd, error)
         && (!regular || pv_save_image_complete (fd, name, error));
}
