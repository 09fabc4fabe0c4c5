/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackTableBuilder: gathers what the table of a pack says while its frames are written.
 *
 * new -> add (each frame, in order) -> finish (table and footer as bytes, and with them the name of the pack). It keeps
 * about 33 bytes for each object. For one thread.
 */
#pragma once

#include "pack/pack-table.h"

G_BEGIN_DECLS

typedef struct _PvPackTableBuilder PvPackTableBuilder;

PvPackTableBuilder *pv_pack_table_builder_new (void);
/* Of an encrypted pack, whose frames are encrypted with @key, which is kept by reference, and the PV_SALT_SIZE random
 * bytes at @salt. */
PvPackTableBuilder *pv_pack_table_builder_new_encrypted (PvStoreKey *key, const guint8 *salt);
void pv_pack_table_builder_free (PvPackTableBuilder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackTableBuilder, pv_pack_table_builder_free)

/* Adds the frame @info behind those added before. @names: one for each slot, none zero. @sizes: of a NODES frame, bytes
 * of each slot, together info->plain_size; ignored for CHUNKS. PV_ERROR_FAILED when the pack would become too large:
 * nothing was added then. */
gboolean pv_pack_table_builder_add (PvPackTableBuilder *self, const PvFrameInfo *info, const PvName *names,
                                    const guint32 *sizes, GError **error);
guint32 pv_pack_table_builder_n_frames (const PvPackTableBuilder *self);
guint32 pv_pack_table_builder_n_objects (const PvPackTableBuilder *self);
/* Bytes of header and frames added: where the table will begin. */
guint64 pv_pack_table_builder_offset (const PvPackTableBuilder *self);
/* Bytes of table and footer as they would be now. */
guint64 pv_pack_table_builder_tail_size (const PvPackTableBuilder *self);
/* Appends table and footer to @out. At least one frame must have been added. */
void pv_pack_table_builder_finish (PvPackTableBuilder *self, GByteArray *out, PvName *pack_name);

G_END_DECLS
