/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Frame: the unit of compression and of encryption: objects stored together.
 *
 * A frame on disk is a fixed header and a payload (docs/format-store.md, "Frame"). It holds either up to
 * PV_FRAME_CHUNKS chunks of PV_CHUNK_SIZE bytes each (kind CHUNKS), or nodes of various lengths (kind NODES), each item
 * in a slot numbered from 0. The payload is zstd, or stored as it is when that would not be smaller. The header
 * carries XXH3-64 over header and payload, so that every flipped bit is found without decompressing; the names of the
 * items are kept in the pack's table and checked by whoever reads an item.
 * In an encrypted store the payload is encrypted by AES-256-GCM once the place of the frame in its pack is known: a
 * frame is bound to its place (PvSeal), and cannot be read anywhere else.
 *
 * A PvFrameCodec holds compression contexts; it belongs to one thread.
 */
#pragma once

#include <glib.h>

#include "chunk/name.h"
#include "chunk/seal.h"

G_BEGIN_DECLS

#define PV_FRAME_CHUNKS 64u                                  /* slots in a full frame of chunks: 256 KiB */
#define PV_FRAME_NODES 256u                                  /* most slots in a frame of nodes */
#define PV_FRAME_PLAIN_MAX (256u << 10)                      /* bytes of plaintext in any frame */
#define PV_FRAME_HEADER_SIZE 32u                             /* bytes */
#define PV_FRAME_CIPHER_SIZE PV_SEAL_TAG_SIZE                /* bytes that encryption adds */
#define PV_FRAME_STORED_MAX (PV_FRAME_HEADER_SIZE + PV_FRAME_CIPHER_SIZE + PV_FRAME_PLAIN_MAX) /* bytes on disk */

typedef enum
{
  PV_FRAME_KIND_CHUNKS = 1,
  PV_FRAME_KIND_NODES = 2,
} PvFrameKind;

/* XXH3-64 (seed 0) of the @size bytes at @data: against accidents, not against forgery. */
guint64 pv_checksum (const guint8 *data, gsize size);

typedef struct _PvFrameCodec PvFrameCodec;

PvFrameCodec *pv_frame_codec_new (void);
void pv_frame_codec_free (PvFrameCodec *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvFrameCodec, pv_frame_codec_free)

/* Scratch memory of the codec, PV_FRAME_STORED_MAX bytes: a place to read a frame into before it is decoded. */
guint8 *pv_frame_codec_buffer (PvFrameCodec *self);

/* Encodes the @plain_size bytes of @n_slots items at @plain, back to back, and appends header and payload to @out.
 * Fails only when zstd does (memory); @out is then as before. */
gboolean pv_frame_encode (PvFrameCodec *self, PvFrameKind kind, guint n_slots, const guint8 *plain, gsize plain_size,
                          GByteArray *out, GError **error);

typedef struct
{
  PvFrameKind kind;
  guint n_slots;     /* 1 to PV_FRAME_CHUNKS (CHUNKS) or 1 to PV_FRAME_NODES (NODES) */
  gsize plain_size;  /* bytes, <= PV_FRAME_PLAIN_MAX */
  gsize stored_size; /* bytes of header and payload, <= PV_FRAME_STORED_MAX */
  guint64 checksum;  /* XXH3-64, as the header says it */
} PvFrameInfo;

/* Reads only the header at @data (@size bytes are there; fewer than a header: PV_ERROR_CORRUPT). The checksum is not
 * checked yet. PV_ERROR_CORRUPT, or UNSUPPORTED for a kind, encoding or cipher of a later version. */
gboolean pv_frame_info (const guint8 *data, gsize size, PvFrameInfo *info, GError **error);

/* Checks and decodes one whole frame, exactly @size bytes at @data, into @plain (@plain_room bytes; CORRUPT when the
 * frame holds more). On failure @plain may be half filled. */
gboolean pv_frame_decode (PvFrameCodec *self, const guint8 *data, gsize size, PvFrameInfo *info, guint8 *plain,
                          gsize plain_room, GError **error);

/* Appends to @out the frame, exactly @size bytes at @data as pv_frame_encode() made them, encrypted with @seal. */
gboolean pv_frame_encrypt (const PvSeal *seal, const guint8 *data, gsize size, GByteArray *out, GError **error);
/* Like pv_frame_decode(), of a frame that was encrypted with the very same @seal: PV_ERROR_CORRUPT for every other, and
 * for one that is not encrypted. @seal NULL: as pv_frame_decode(), for which an encrypted frame is PV_ERROR_DENIED. */
gboolean pv_frame_decrypt (PvFrameCodec *self, const PvSeal *seal, const guint8 *data, gsize size, PvFrameInfo *info,
                           guint8 *plain, gsize plain_room, GError **error);

/* Checks header and checksum of one whole frame, exactly @size bytes at @data, without decompressing it. @info: (out)
 * (optional). */
gboolean pv_frame_check (const guint8 *data, gsize size, PvFrameInfo *info, GError **error);

G_END_DECLS
