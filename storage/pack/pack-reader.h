/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackReader: one sealed pack file, read at random.
 *
 * open reads and checks the footer and the table (its digest must be @pack_name when given); the frames are read on
 * demand with pread, so a reader may be shared between threads, each with its own PvFrameCodec.
 */
#pragma once

#include <glib.h>

#include "chunk/node.h"
#include "pack/pack-table.h"

G_BEGIN_DECLS

typedef struct _PvPackReader PvPackReader; /* reference counted, any thread */

/* @pack_name: (nullable): what the pack must be called. PV_ERROR_CORRUPT, UNSUPPORTED, NOT_FOUND. */
PvPackReader *pv_pack_reader_open (const char *path, const PvName *pack_name, GError **error);
/* Likewise for a pack in memory; @bytes is kept by reference. */
PvPackReader *pv_pack_reader_new_from_bytes (GBytes *bytes, const PvName *pack_name, GError **error);
/* As pv_pack_table_unlock(): needed before pv_pack_reader_read(), and pv_pack_reader_verify() with a namer, of an
 * encrypted pack; to be called before others have the reader. */
gboolean pv_pack_reader_unlock (PvPackReader *self, PvStoreKey *key, GError **error);
PvPackReader *pv_pack_reader_ref (PvPackReader *self);
void pv_pack_reader_unref (PvPackReader *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackReader, pv_pack_reader_unref)

const PvName *pv_pack_reader_name (const PvPackReader *self);
guint64 pv_pack_reader_size (const PvPackReader *self); /* bytes of the file */
PvPackTable *pv_pack_reader_table (const PvPackReader *self); /* (transfer none) */
guint32 pv_pack_reader_n_frames (const PvPackReader *self);
guint64 pv_pack_reader_n_objects (const PvPackReader *self);

/* Describes frame @frame; its pointers are valid as long as the reader. PV_ERROR_CORRUPT when there is none. */
gboolean pv_pack_reader_frame (const PvPackReader *self, guint32 frame, PvPackFrame *out, GError **error);

/* Reads and decodes frame @frame into @plain (room PV_FRAME_PLAIN_MAX). Names are not checked here. Blocks on disk. */
gboolean pv_pack_reader_read (PvPackReader *self, PvFrameCodec *codec, guint32 frame, guint8 *plain, PvFrameInfo *info,
                              GError **error);

/* An object that cannot be had back, in a sentence that can follow "because". */
typedef void (*PvPackDamageFunc) (const PvName *object, guint32 frame, const char *why, gpointer data);
/* Fills @node with the FULL node @name, wherever it is stored; FALSE when it cannot be had. */
typedef gboolean (*PvPackBaseFunc) (const PvName *name, PvNode *node, gpointer data);

/* Reads every byte of the pack, from disk if the kernel can be brought to it, and checks header, footer, table and
 * frame checksums, and with @namer: (nullable) also decodes every frame and checks the name of every object. The name
 * of a DELTA node needs its base: @base: (nullable) gives it; without it the shape of a DELTA is checked, not its name.
 * Calls @damaged for each object that cannot be had back. FALSE with an error only when the pack as a whole is not
 * readable. Nothing of it needs a lock; the callbacks run in this thread. */
gboolean pv_pack_reader_verify (PvPackReader *self, PvNamer *namer, PvPackBaseFunc base, PvPackDamageFunc damaged,
                                gpointer data, GError **error);

G_END_DECLS
