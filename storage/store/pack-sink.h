/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackSink: where the frames of a transaction go: packs in its own directory, sealed one after the other.
 *
 * new -> append (any threads) -> finish -> publish. Packs are sealed (synced) and their objects given to the index
 * writer behind the appending threads' backs; append() waits when two packs are waiting for that. After an error every
 * later call fails with the same one. Letting go of it at any time leaves only files in the directory.
 */
#pragma once

#include "chunk/frame.h"
#include "index/index.h"
#include "store/claim-set.h"

G_BEGIN_DECLS

#define PV_PACK_OBJECTS_TARGET (128u << 10) /* objects at which a pack is sealed: bounds tables and the claim set */

typedef struct _PvPackSink PvPackSink;

/* @directory: for the pack files. @key: (nullable): frames are encrypted with it. @claims: (nullable): names are
 * released from it when the index writer has them. The arguments must outlive the sink; the sink calls the index writer
 * from one thread at a time. */
PvPackSink *pv_pack_sink_new (const char *directory, PvStoreKey *key, PvIndexWriter *writer, PvClaimSet *claims,
                              GError **error);
void pv_pack_sink_free (PvPackSink *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackSink, pv_pack_sink_free)

/* Appends an encoded frame; as pv_pack_writer_append(). */
gboolean pv_pack_sink_append (PvPackSink *self, const guint8 *frame, gsize frame_size, const PvName *names,
                              const guint32 *sizes, guint n_slots, GError **error);

/* Seals what is open and waits until every pack is sealed and given to the index writer. */
gboolean pv_pack_sink_finish (PvPackSink *self, GError **error);

/* Bytes of all packs so far; after finish exactly their files. Any thread. */
guint64 pv_pack_sink_size (PvPackSink *self);

typedef struct
{
  PvName name;
  char *path; /* (owned): the sealed file */
} PvSealedPack;
/* After finish: (element-type PvSealedPack) (transfer none). */
GArray *pv_pack_sink_packs (PvPackSink *self);

G_END_DECLS
