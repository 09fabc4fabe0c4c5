/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvVolumeReader: the bytes of one volume of a snapshot, at random, each chunk checked against its name.
 *
 * Decoded frames and nodes are kept in a cache of bounded size that all readers of one store share. Any thread may
 * read.
 */
#pragma once

#include "store/object-reader.h"
#include "store/store.h"

G_BEGIN_DECLS

typedef struct _PvVolumeReader PvVolumeReader;

PvVolumeReader *pv_volume_reader_new (PvStore *store, const PvVolume *volume, GError **error);
void pv_volume_reader_free (PvVolumeReader *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvVolumeReader, pv_volume_reader_free)

guint64 pv_volume_reader_size (const PvVolumeReader *self);

/* Reads @size bytes at @offset (any alignment, offset + size <= volume size) into @data: wholly filled, or an error
 * that names the pack (PV_ERROR_CORRUPT, NOT_FOUND). Holes read as zeros. */
gboolean pv_volume_reader_read (PvVolumeReader *self, guint64 offset, gsize size, guint8 *data, GError **error);

/* Reads chunk number @chunk, all of its PV_CHUNK_SIZE bytes, into @data; @zero: (out): it is a hole, and @data is not
 * touched. @place: (inout): where the last one was found, or { 0 }: becomes this one's place unless it is a hole. */
gboolean pv_volume_reader_chunk (PvVolumeReader *self, guint64 chunk, PvObject *place, guint8 *data, gboolean *zero,
                                 GError **error);
/* Likewise, when the chunk has data and lies in the frame of @place, which costs next to nothing; else FALSE. */
gboolean pv_volume_reader_chunk_near (PvVolumeReader *self, guint64 chunk, PvObject *place, guint8 *data);

/* The extent that starts at @offset: its length in bytes (up to a chunk's end or the volume's) and whether it is all
 * zero. A zero extent is as long as it can be; a data extent may be followed by another one. */
gboolean pv_volume_reader_extent (PvVolumeReader *self, guint64 offset, guint64 *length, gboolean *zero,
                                  GError **error);

/* Names of the @n chunks from chunk number @first on: equal names are equal bytes. */
gboolean pv_volume_reader_names (PvVolumeReader *self, guint64 first, guint n, PvName *names, GError **error);

/* (transfer full): the whole volume, at most @max bytes (larger: PV_ERROR_INVALID): for blobs. */
GBytes *pv_volume_reader_read_all (PvVolumeReader *self, gsize max, GError **error);

G_END_DECLS
