/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Composing a libvirt save image from a snapshot: header and XML, stream head, all pages, device state. */
#pragma once

#include "restore/transfer.h"
#include "stream/stream-head.h"

G_BEGIN_DECLS

/* Writes the image to @fd, front to back. A regular file is marked complete only when all of it is there; a pipe from
 * the start. @xml: (nullable): the snapshot's own. PV_ERROR_NOT_FOUND when the snapshot has no memory. */
gboolean pv_memory_image_write (PvStore *store, PvSnapshot *snapshot, const char *xml, int fd, const char *name,
                                const PvTransfer *transfer, GError **error);

/* (transfer full): what the stream of the snapshot's memory began with. PV_ERROR_NOT_FOUND when it has no memory. */
PvStreamHead *pv_memory_image_read_head (PvSnapshot *snapshot, GError **error);
/* (transfer full): the device state. */
GBytes *pv_memory_image_read_devices (PvStore *store, PvSnapshot *snapshot, GError **error);

G_END_DECLS
