/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Writing a volume as a disk image: raw, with holes for zeros, or qcow2.
 *
 * @fd is a new empty file, opened for reading and writing; it is synced at the end. @name is for messages.
 */
#pragma once

#include "restore/transfer.h"

G_BEGIN_DECLS

gboolean pv_disk_image_write_raw (PvVolumeReader *reader, int fd, const char *name, const PvTransfer *transfer,
                                  GError **error);
/* Version 3, 64 KiB clusters, no backing file. The virtual size is that of the volume, rounded up to 512 bytes. */
gboolean pv_disk_image_write_qcow2 (PvVolumeReader *reader, int fd, const char *name, const PvTransfer *transfer,
                                    GError **error);

/* Makes the new file @path (PV_ERROR_EXISTS when there is one) as @format, "raw" or "qcow2", from @volume; removed
 * when that fails. */
gboolean pv_disk_image_create (PvStore *store, const PvVolume *volume, const char *format, const char *path,
                               const PvTransfer *transfer, GError **error);

G_END_DECLS
