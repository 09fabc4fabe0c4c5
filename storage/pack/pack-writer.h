/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackWriter: makes one pack file.
 *
 * new (a file in the transaction's own directory) -> append (many frames) -> seal (chunk table and footer behind the
 * frames, fsync) -> the store renames the file into place. Dropped before seal: the file is removed. A pack is called by the SHA-256
 * of its table, which names every object and every frame checksum in it; the same frames always give the same name.
 * Not shareable between threads: the store serializes appends.
 */
#pragma once

#include <glib.h>

#include "chunk/frame.h"

G_BEGIN_DECLS

#define PV_PACK_TARGET (64u << 20)       /* bytes at which the store seals a pack and begins the next */
#define PV_PACK_FRAMES_MAX (1u << 20)    /* frames in a pack */
#define PV_PACK_SIZE_MAX (1ull << 32)    /* bytes of a pack file */

typedef struct _PvPackWriter PvPackWriter;

PvPackWriter *pv_pack_writer_new (const char *path, GError **error);
/* Aborts when not sealed: closes and removes the file. */
void pv_pack_writer_free (PvPackWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackWriter, pv_pack_writer_free)

/* Appends an encoded frame (pv_frame_encode) with the names of its slots; @sizes (nullable for CHUNKS): bytes of each
 * item. @frame: (out): its number in the pack. */
gboolean pv_pack_writer_append (PvPackWriter *self, const guint8 *frame_bytes, gsize frame_size, const PvName *names,
                                const guint32 *sizes, guint n_slots, guint32 *frame, GError **error);

guint64 pv_pack_writer_size (const PvPackWriter *self);     /* bytes written so far */
guint64 pv_pack_writer_n_objects (const PvPackWriter *self);

/* Writes table and footer and syncs the file. Afterwards only pv_pack_writer_free() may be called. */
gboolean pv_pack_writer_seal (PvPackWriter *self, PvName *pack_name, guint64 *size, GError **error);

G_END_DECLS
