/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frame: the unit of compression and of encryption: objects stored together.
 *
 * A frame on disk is a fixed header and a payload (docs/format-store.md, "Frame"). It holds either up to PV_FRAME_CHUNKS
 * chunks of PV_CHUNK_SIZE bytes each (kind CHUNKS), or nodes of various lengths (kind NODES), each item in a slot
 * numbered from 0. The payload is zstd level 1, or stored as it is when that would not be smaller. The header carries XXH3-64 over header and payload, so that every flipped bit is
 * found without decompressing; the names of the items are kept in the pack's table and checked by whoever reads an item.
 * Room for AES-256-GCM (cipher byte, nonce and tag inside the payload) is laid out; only cipher 0 is accepted today.
 *
 * A PvFrameCodec holds compression contexts; it belongs to one thread.
 */
#pragma once

#include <glib.h>

#include "chunk/name.h"

G_BEGIN_DECLS

#define PV_FRAME_CHUNKS 32u                                  /* slots in a full frame of chunks: 128 KiB */
#define PV_FRAME_PLAIN_MAX (256u << 10)                      /* bytes of plaintext in any frame */
#define PV_FRAME_HEADER_SIZE 24u                             /* bytes */
#define PV_FRAME_STORED_MAX (PV_FRAME_HEADER_SIZE + 28u + PV_FRAME_PLAIN_MAX) /* bytes on disk */

typedef enum
{
  PV_FRAME_KIND_CHUNKS = 1,
  PV_FRAME_KIND_NODES = 2,
} PvFrameKind;

typedef struct _PvFrameCodec PvFrameCodec;

PvFrameCodec *pv_frame_codec_new (void);
void pv_frame_codec_free (PvFrameCodec *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvFrameCodec, pv_frame_codec_free)

/* Encodes the @plain_size bytes of @n_slots items at @plain, back to back, and appends header and payload to @out. */
gboolean pv_frame_encode (PvFrameCodec *self, PvFrameKind kind, guint n_slots, const guint8 *plain, gsize plain_size,
                          GByteArray *out, GError **error);

typedef struct
{
  PvFrameKind kind;
  guint n_slots;     /* 1 to PV_FRAME_CHUNKS (CHUNKS) or 1 to 256 (NODES) */
  gsize plain_size;  /* bytes, <= PV_FRAME_PLAIN_MAX */
  gsize stored_size; /* bytes of header and payload, <= PV_FRAME_STORED_MAX */
} PvFrameInfo;

/* Reads only the header at @data (>= PV_FRAME_HEADER_SIZE bytes). PV_ERROR_CORRUPT, UNSUPPORTED for an unknown encoding. */
gboolean pv_frame_info (const guint8 *data, gsize size, PvFrameInfo *info, GError **error);

/* Checks and decodes one whole frame at @data into @plain (room for info->plain_size). */
gboolean pv_frame_decode (PvFrameCodec *self, const guint8 *data, gsize size, PvFrameInfo *info, guint8 *plain,
                          gsize plain_room, GError **error);

/* Checks the checksum of one whole frame without decompressing it. */
gboolean pv_frame_check (const guint8 *data, gsize size, GError **error);

G_END_DECLS
