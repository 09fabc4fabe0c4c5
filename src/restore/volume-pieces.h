/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvVolumePieces: a volume from front to back in pieces of up to 1 MiB, read ahead by several threads.
 *
 * Each piece is data, or a stretch of zeros of any length. One thread at a time.
 */
#pragma once

#include <gio/gio.h>

#include "store/volume-reader.h"

G_BEGIN_DECLS

typedef struct _PvVolumePieces PvVolumePieces;

/* @reader must outlive it. Pieces start and end at multiples of @align (a power of two, PV_CHUNK_SIZE to 1 MiB), but
 * for the volume's end. */
PvVolumePieces *pv_volume_pieces_new (PvVolumeReader *reader, guint align, GCancellable *cancellable);
void pv_volume_pieces_free (PvVolumePieces *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvVolumePieces, pv_volume_pieces_free)

typedef struct
{
  guint64 offset;     /* bytes into the volume */
  guint64 size;       /* bytes; 0 behind the last piece */
  const guint8 *data; /* (nullable): NULL for zeros; valid until the next call */
} PvPiece;

/* The next piece. PV_ERROR_CANCELLED when cancelled. */
gboolean pv_volume_pieces_next (PvVolumePieces *self, PvPiece *piece, GError **error);

G_END_DECLS
