/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPlainStream: the stream inside a save image with its compression taken off, read from front to back.
 *
 * Compressed streams go through the program libvirt itself uses (gzip, bzip2, xz, lzop, zstd: `PROGRAM -dc`), run as a
 * child. One thread at a time.
 */
#pragma once

#include <glib.h>

#include "stream/save-image.h"
#include "stream/stream-decoder.h"

G_BEGIN_DECLS

typedef struct _PvPlainStream PvPlainStream;

/* (transfer full): starts reading @fd at @offset. @fd is borrowed and must stay open; its file position is used, and
 * for a pipe @offset must be 0. @name is for messages. PV_ERROR_UNSUPPORTED when the program is not installed: the
 * sentence names the package. PV_SAVE_FORMAT_SPARSE is read like raw. */
PvPlainStream *pv_plain_stream_open (int fd, guint64 offset, PvSaveFormat format, const char *name, GError **error);
/* Up to @size bytes; 0 at the end, -1 with @error. A decompressor that failed is an error at the end, never a short
 * stream. */
gssize pv_plain_stream_read (PvPlainStream *self, guint8 *buffer, gsize size, GError **error);
void pv_plain_stream_free (PvPlainStream *self);

/* Reads the whole stream of @fd from @offset through @decoder, and finishes it: plain, compressed, or mapped-ram,
 * whichever the stream is. (A save image whose header says sparse may hold a plain stream.) */
gboolean pv_plain_stream_decode (int fd, guint64 offset, PvSaveFormat format, const char *name,
                                 PvStreamDecoder *decoder, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPlainStream, pv_plain_stream_free)

G_END_DECLS
