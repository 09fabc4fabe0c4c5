/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the reader of mapped-ram files (mapped-ram.c) needs of a decoder: the file's gaps, and a way to report pages. */
#pragma once

#include "stream/stream-decoder.h"

G_BEGIN_DECLS

/* Where a block is in a mapped-ram file. Both 0: the block has no pages in the file. */
typedef struct
{
  guint64 bitmap_offset; /* bytes, absolute in the file */
  guint64 pages_offset;  /* bytes, absolute in the file */
} PvMappedBlock;

/* From now on a mapped-ram stream is accepted; its first byte is at @stream_offset of the file. Before the first feed. */
void pv_stream_decoder_accept_mapped (PvStreamDecoder *self, guint64 stream_offset);
/* TRUE when the configuration announced mapped-ram. */
gboolean pv_stream_decoder_is_mapped (const PvStreamDecoder *self);
/* TRUE once all blocks are known and ram_blocks was called. */
gboolean pv_stream_decoder_ram_is_set_up (const PvStreamDecoder *self);
/* (transfer none): of PvMappedBlock, one for each block. */
const GArray *pv_stream_decoder_mapped_blocks (const PvStreamDecoder *self);
/* Takes the number of bytes that the decoder would ignore next; the reader seeks over them instead of feeding them. */
guint64 pv_stream_decoder_take_gap (PvStreamDecoder *self);
/* Hands pages to the handler and counts them. @n_bytes: multiple of the page size, inside the block. */
gboolean pv_stream_decoder_emit_pages (PvStreamDecoder *self, guint block_index, guint64 offset, const guint8 *bytes,
                                       guint n_bytes, GError **error);

/* TRUE when @bytes look like a complete devices blob: they end in an EOF mark, or in a description of just the length that
 * it claims (zeros may follow). @footers: FALSE when sections are known to have none. */
gboolean pv_stream_devices_complete (const guint8 *bytes, gsize size, gboolean footers);

G_END_DECLS
