/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackWriter: makes one pack file.
 *
 * new (a file in the transaction's own directory) -> append (many frames) -> seal (chunk table and footer behind the
 * frames, fsync) -> the store renames the file into place. Dropped before seal: the file is removed. A pack is called
 * by the SHA-256 of its table, which names every object and every frame checksum in it; the same frames always give the
 * same name, unless they are encrypted: then key and IV of a frame come from a random salt that only this writer has
 * and from the frame's number, and never come again. Large packs are written behind the caller's back and past the page
 * cache (PvPackOutput), so that appending is short and so is the fsync at the end. Not shareable between threads: the
 * store serializes appends.
 */
#pragma once

#include <glib.h>

#include "pack/pack-table.h"

G_BEGIN_DECLS

#define PV_PACK_TARGET (64u << 20)       /* bytes at which the store seals a pack and begins the next */

typedef struct _PvPackWriter PvPackWriter;

/* Creates @path, mode 0600; PV_ERROR_EXISTS when there is such a file. Fault point: pack.create. */
PvPackWriter *pv_pack_writer_new (const char *path, GError **error);
/* Likewise, of a pack whose frames are encrypted as they are appended; @key: (nullable): NULL as above. */
PvPackWriter *pv_pack_writer_new_encrypted (const char *path, PvStoreKey *key, GError **error);
/* Aborts when not sealed: closes and removes the file. */
void pv_pack_writer_free (PvPackWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackWriter, pv_pack_writer_free)

/* Appends an encoded frame (pv_frame_encode) with the names of its slots; @sizes (nullable for CHUNKS): bytes of each
 * item. @frame: (out): its number in the pack. After a failed write the pack can only be freed. */
gboolean pv_pack_writer_append (PvPackWriter *self, const guint8 *frame_bytes, gsize frame_size, const PvName *names,
                                const guint32 *sizes, guint n_slots, guint32 *frame, GError **error);

/* Bytes that the file would have if it were sealed now, table and footer included. */
guint64 pv_pack_writer_size (const PvPackWriter *self);
guint64 pv_pack_writer_n_objects (const PvPackWriter *self);

/* Writes table and footer and syncs the file; at least one frame must have been appended. Afterwards only
 * pv_pack_writer_free() may be called, which then keeps the file. @size: (out): bytes of the file. Fault point:
 * pack.seal. */
gboolean pv_pack_writer_seal (PvPackWriter *self, PvName *pack_name, guint64 *size, GError **error);

G_END_DECLS
