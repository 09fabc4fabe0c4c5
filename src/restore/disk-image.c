/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/disk-image.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "restore/volume-pieces.h"
#include "util/error.h"
#include "util/file.h"

gboolean
pv_disk_image_write_raw (PvVolumeReader *reader, int fd, const char *name, const PvTransfer *transfer, GError **error)
{
  g_autoptr(PvVolumePieces) pieces = pv_volume_pieces_new (reader, PV_CHUNK_SIZE, transfer->cancellable);
  guint64 size = pv_volume_reader_size (reader);
  PvPiece piece;

  if (ftruncate (fd, (off_t) size) < 0)
    return pv_throw_errno (error, errno, "%s", name);
  do
    {
      if (!pv_volume_pieces_next (pieces, &piece, error))
        return FALSE;
      if (piece.data != NULL && !pv_pwrite_all (fd, piece.data, piece.size, piece.offset, name, error))
        return FALSE;
      pv_transfer_report (transfer, piece.offset + piece.size, size);
    }
  while (piece.size > 0);
  return pv_fsync (fd, name, error);
}

gboolean
pv_disk_image_create (PvStore *store, const PvVolume *volume, const char *format, const char *path,
                      const PvTransfer *transfer, GError **error)
{
  g_autoptr(PvVolumeReader) reader = pv_volume_reader_new (store, volume, error);
  g_auto(PvFd) fd = PV_FD_NONE;
  gboolean qcow2 = g_str_equal (format, "qcow2");

  g_return_val_if_fail (qcow2 || g_str_equal (format, "raw"), FALSE);

  if (reader == NULL)
    return FALSE;
  fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600, error);
  if (fd < 0)
    return FALSE;
  if (qcow2 ? pv_disk_image_write_qcow2 (reader, fd, path, transfer, error)
            : pv_disk_image_write_raw (reader, fd, path, transfer, error))
    return TRUE;
  unlink (path);
  return FALSE;
}
