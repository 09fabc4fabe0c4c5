/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvVolumeOrder: the chunks of a volume in the order in which they lie in packs.
 *
 * Who needs a whole volume, and in no particular order, reads it fastest like this: every frame is then read and
 * decoded once, and packs from their start to their end, which disks and object stores read ahead.
 *
 *   new -> next, next, … -> for each chunk number: pv_volume_reader_read (reader, chunk * PV_CHUNK_SIZE, …) -> free
 *
 * One thread at a time. 16 bytes of memory for each chunk that is not a hole.
 */
#pragma once

#include "store/volume-reader.h"

G_BEGIN_DECLS

typedef struct _PvVolumeOrder PvVolumeOrder;

/* Goes through the volume's leaves and looks up where its chunks are; blocks on disk. An object that the index does not
 * know comes last: reading it says what is wrong. */
PvVolumeOrder *pv_volume_order_new (PvStore *store, const PvVolume *volume, GError **error);
void pv_volume_order_free (PvVolumeOrder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvVolumeOrder, pv_volume_order_free)

/* How many chunks there are in all: those that are not holes. */
guint64 pv_volume_order_n_chunks (const PvVolumeOrder *self);

/* The next chunks, at most @max and all of one frame, so that a reader of them decodes one frame. @chunks: (out): their
 * numbers. Returns how many; 0 after the last. */
guint pv_volume_order_next (PvVolumeOrder *self, guint64 *chunks, guint max);

G_END_DECLS
