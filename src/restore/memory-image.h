/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Composing a libvirt save image from a snapshot: header and XML, stream head, all pages, device state. */
#pragma once

#include "restore/transfer.h"

G_BEGIN_DECLS

/* Writes the image to @fd, front to back. A regular file is marked complete only when all of it is there; a pipe from
 * the start. @xml: (nullable): the snapshot's own. PV_ERROR_NOT_FOUND when the snapshot has no memory. */
gboolean pv_memory_image_write (PvStore *store, PvSnapshot *snapshot, const char *xml, int fd, const char *name,
                                const PvTransfer *transfer, GError **error);

G_END_DECLS
