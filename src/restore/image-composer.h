/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Giving an imported memory image back with the bytes that it had (restore/image-layout.h). */
#pragma once

#include "restore/transfer.h"
#include "stream/stream-head.h"

G_BEGIN_DECLS

/* TRUE when @snapshot keeps a memory image that can be given back. */
gboolean pv_image_composer_can (PvSnapshot *snapshot);

/* Writes the image to @fd, front to back. */
gboolean pv_image_composer_write (PvStore *store, PvSnapshot *snapshot, int fd, const char *name,
                                  const PvTransfer *transfer, GError **error);

G_END_DECLS
