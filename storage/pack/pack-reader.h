/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackReader: one sealed pack file, read at random.
 *
 * open reads and checks the footer and the table (its digest must be @pack_name when given); the frames are read on
 * demand with pread, so a reader may be shared between threads, each with its own PvFrameCodec.
 */
#pragma once

#include <glib.h>

#include "chunk/frame.h"

G_BEGIN_DECLS

typedef struct _PvPackReader PvPackReader; /* reference counted, any thread */

PvPackReader *pv_pack_reader_open (const char *path, const PvName *pack_name, GError **error);
PvPackReader *pv_pack_reader_ref (PvPackReader *self);
void pv_pack_reader_unref (PvPackReader *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackReader, pv_pack_reader_unref)

const PvName *pv_pack_reader_name (const PvPackReader *self);
guint64 pv_pack_reader_size (const PvPackReader *self); /* bytes of the file */
guint32 pv_pack_reader_n_frames (const PvPackReader *self);
guint64 pv_pack_reader_n_objects (const PvPackReader *self);

typedef struct
{
  PvFrameKind kind;
  guint64 offset;       /* bytes into the pack */
  guint32 stored_size;  /* bytes on disk */
  guint32 n_slots;
  const PvName *names;  /* n_slots of them, as long as the reader lives */
  const guint32 *sizes; /* (nullable) bytes of each item; NULL: PV_CHUNK_SIZE each */
} PvPackFrame;

/* Describes frame @frame (< n_frames). */
gboolean pv_pack_reader_frame (const PvPackReader *self, guint32 frame, PvPackFrame *out, GError **error);

/* Reads and decodes frame @frame into @plain (room PV_FRAME_PLAIN_MAX). Names are not checked here. Blocks on disk. */
gboolean pv_pack_reader_read (PvPackReader *self, PvFrameCodec *codec, guint32 frame, guint8 *plain, PvFrameInfo *info,
                              GError **error);

/* Reads every byte and checks footer, table, frame checksums, and (with @namer) the name of every object. Calls
 * @damaged for each object that cannot be had back; FALSE with an error only when the pack as a whole is not readable. */
typedef void (*PvPackDamageFunc) (const PvName *object, guint32 frame, const char *why, gpointer data);
gboolean pv_pack_reader_verify (PvPackReader *self, PvNamer *namer, PvPackDamageFunc damaged, gpointer data,
                                GError **error);

G_END_DECLS
