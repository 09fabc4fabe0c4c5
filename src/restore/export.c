/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/export.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "restore/disk-image.h"
#include "restore/image-composer.h"
#include "restore/image-layout.h"
#include "restore/memory-image.h"
#include "util/error.h"
#include "util/file.h"

gboolean
pv_export_memory (PvStore *store, PvSnapshot *snapshot, const char *xml, int fd, const char *name,
                  PvTransferProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error)
{
  PvTransfer transfer = { "writing memory", progress, data, cancellable };

  if (xml == NULL && pv_snapshot_volumes_size (snapshot, PV_VOLUME_DISK) == 0 && pv_image_composer_can (snapshot))
    return pv_image_composer_write (store, snapshot, fd, name, &transfer, error);
  return pv_memory_image_write (store, snapshot, xml, fd, name, &transfer, error);
}

gboolean
pv_export_memory_file (PvStore *store, PvSnapshot *snapshot, const char *path, PvTransferProgressFunc progress,
                       gpointer data, GCancellable *cancellable, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (path);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, directory, O_WRONLY | O_TMPFILE, 0600, error);
  g_autofree char *unnamed = NULL;

  if (fd < 0 || !pv_export_memory (store, snapshot, NULL, fd, path, progress, data, cancellable, error)
      || !pv_fsync (fd, path, error))
    return FALSE;
  unnamed = g_strdup_printf ("/proc/self/fd/%d", fd);
  return linkat (AT_FDCWD, unnamed, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0
         || pv_throw_errno (error, errno, "cannot give it its name");
}

gboolean
pv_export_disk (PvStore *store, PvSnapshot *snapshot, const char *target, const char *format, const char *path,
                PvTransferProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error)
{
  PvTransfer transfer = { "writing disk", progress, data, cancellable };
  const PvVolume *volume = pv_snapshot_find_volume (snapshot, PV_VOLUME_DISK, target);
  const PvVolume *image = pv_snapshot_find_volume (snapshot, PV_VOLUME_BLOB, PV_BLOB_IMAGE);

  if (volume == NULL)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "the snapshot has no disk '%s'; 'pagevault show' lists what it has",
                     target);
  /* Only a disk image that was imported has both: its own bytes come first. */
  if (image != NULL && (format == NULL || g_str_equal (format, "qcow2")))
    return pv_disk_image_create (store, image, "raw", path, &transfer, error);
  return pv_disk_image_create (store, volume, format != NULL ? format : "raw", path, &transfer, error);
}
