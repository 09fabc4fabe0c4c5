/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvStreamDecoder: takes a QEMU migration stream (7.2 … 10.x) apart while it comes in.
 *
 * new → feed (any split of the stream) … → finish → head, devices → free. Push only: the decoder never blocks and owns
 * no descriptor. The handler is called from within feed(), in stream order: ram_blocks once, then pages and zero. The
 * last copy of a page counts (pre-copy sends pages again); a page that never comes is zero.
 *
 * Understood: background-snapshot streams, pre-copy streams, device-only streams (xen-save-devices-state); mapped-ram
 * files through stream/mapped-ram.h. Refused, each with a sentence: post-copy packages, compress, xbzrle, multifd,
 * RDMA, other iterable sections (dirty-bitmap, vfio, …). All bytes are foreign: PV_ERROR_CORRUPT when they contradict
 * themselves, PV_ERROR_UNSUPPORTED when they are valid but not for us; never a crash, never an allocation by an
 * unchecked number. After an error the decoder refuses everything with the same error.
 *
 * One thread at a time.
 */
#pragma once

#include <glib.h>

#include "stream/stream-head.h"

G_BEGIN_DECLS

#define PV_STREAM_DEVICES_MAX (256u << 20) /* bytes */

/* Each may be NULL, and may return FALSE with @error set to stop the decoder. Pointers are valid only during the call.
 * */
typedef struct
{
  /* Once, at the start of the RAM section, before any page. Never called for a device-only stream.
   * @blocks: of PvRamBlock, in setup order. */
  gboolean (*ram_blocks) (const GPtrArray *blocks, gpointer data, GError **error);
  /* @offset: bytes into the block; @n_bytes: multiple of 4096 (usually 4096), offset + n_bytes <= block size. @bytes is
   * not aligned. */
  gboolean (*pages) (guint block_index, guint64 offset, const guint8 *bytes, guint n_bytes, gpointer data,
                     GError **error);
  /* The range is all zero. */
  gboolean (*zero) (guint block_index, guint64 offset, guint64 n_bytes, gpointer data, GError **error);
} PvStreamHandler;

typedef struct _PvStreamDecoder PvStreamDecoder;

/* (transfer full): @handler is copied. */
PvStreamDecoder *pv_stream_decoder_new (const PvStreamHandler *handler, gpointer data);
void pv_stream_decoder_free (PvStreamDecoder *self);

/* The next @n bytes of the stream. */
gboolean pv_stream_decoder_feed (PvStreamDecoder *self, const guint8 *bytes, gsize n, GError **error);
/* The stream is at its end: PV_ERROR_CORRUPT when it should not be. */
gboolean pv_stream_decoder_finish (PvStreamDecoder *self, GError **error);

/* (transfer full): the serialized PvStreamHead. Only after ram_blocks was called, or after finish(). */
GBytes *pv_stream_decoder_head (PvStreamDecoder *self);
/* (transfer none): the same, parsed; complete from the same moment on. */
const PvStreamHead *pv_stream_decoder_peek_head (const PvStreamDecoder *self);
/* (transfer full): everything after RAM, opaque: device sections, EOF, description. Only after finish(). */
GBytes *pv_stream_decoder_devices (PvStreamDecoder *self);

/* Counters so far. Pages are of the stream's page size; repeated pages count each time. */
guint64 pv_stream_decoder_n_pages (const PvStreamDecoder *self);
guint64 pv_stream_decoder_n_zero (const PvStreamDecoder *self);
guint64 pv_stream_decoder_n_bytes (const PvStreamDecoder *self); /* bytes of the stream fed so far */

/* Where the page that is being handed over lies: bytes from the start of the stream. Only from within the handler's
 * pages, and not for a mapped-ram file. */
guint64 pv_stream_decoder_page_position (const PvStreamDecoder *self);

/* TRUE from the first page record on: with background-snapshot all memory is write-protected by then. */
gboolean pv_stream_decoder_ram_started (const PvStreamDecoder *self);
/* TRUE when the devices blob has begun: no page comes any more. */
gboolean pv_stream_decoder_ram_done (const PvStreamDecoder *self);

/* Bytes of the FULL sections at the start of a devices blob: all of it but EOF and description, as a post-copy package
 * wants it. -1 when the blob is not complete. @footers: of the head. */
gssize pv_stream_devices_sections (const guint8 *bytes, gsize size, gboolean footers);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvStreamDecoder, pv_stream_decoder_free)

G_END_DECLS
