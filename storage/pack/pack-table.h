/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackTable: what is in a pack: its frames, and the names of all objects in them.
 *
 * The table lies behind the frames, the footer behind the table (docs/format-store.md, "Pack"). Whoever has the last
 * bytes of a pack has its table, so packs in object storage need one range request:
 *
 *   pv_pack_footer_parse (last PV_PACK_FOOTER_SIZE bytes) -> offset and size of the table -> pv_pack_table_parse ()
 *
 * A parsed table, once unlocked if need be, is immutable: any thread. PvPackTableBuilder is the writing side.
 */
#pragma once

#include <glib.h>

#include "chunk/frame.h"

G_BEGIN_DECLS

#define PV_PACK_HEADER_SIZE 16u          /* bytes before the first frame */
#define PV_PACK_FOOTER_SIZE 80u          /* bytes at the end of the file */
#define PV_PACK_ENTRY_SIZE 24u           /* bytes of a frame's entry in the table */
#define PV_PACK_FRAMES_MAX (1u << 20)    /* frames in a pack */
#define PV_PACK_TABLE_MAX (256u << 20)   /* bytes of a table */
#define PV_PACK_SIZE_MAX (1ull << 32)    /* bytes of a pack file */

/* The PV_PACK_HEADER_SIZE bytes that every pack begins with. */
extern const guint8 pv_pack_header[PV_PACK_HEADER_SIZE];
/* PV_ERROR_CORRUPT unless the @size bytes at @data begin as a pack does, UNSUPPORTED for a later version. */
gboolean pv_pack_header_check (const guint8 *data, gsize size, GError **error);

typedef struct
{
  guint32 n_frames;     /* 1 to PV_PACK_FRAMES_MAX */
  guint32 n_objects;
  guint64 table_offset; /* bytes into the pack */
  guint64 table_size;   /* bytes, <= PV_PACK_TABLE_MAX */
  PvName name;          /* of the pack: SHA-256 of the table */
  gboolean encrypted;   /* frames can be read with the key of their store only */
} PvPackFooter;

/* Reads the footer, exactly PV_PACK_FOOTER_SIZE bytes at @data, of a pack of @pack_size bytes. PV_ERROR_CORRUPT,
 * UNSUPPORTED for a later version. What it says fits into @pack_size. */
gboolean pv_pack_footer_parse (const guint8 *data, guint64 pack_size, PvPackFooter *footer, GError **error);

typedef struct
{
  PvFrameKind kind;
  guint64 offset;       /* bytes into the pack */
  guint32 stored_size;  /* bytes on disk */
  guint32 n_slots;
  guint32 plain_size;   /* bytes */
  guint64 checksum;     /* XXH3-64, as in the frame's header */
  const PvName *names;  /* n_slots of them, as long as the table lives */
  const guint32 *sizes; /* (nullable): bytes of each item; NULL: PV_CHUNK_SIZE each */
} PvPackFrame;

typedef struct _PvPackTable PvPackTable; /* reference counted */

/* Reads the table that @footer describes: @bytes is footer->table_size bytes, kept by reference. */
PvPackTable *pv_pack_table_parse (const PvPackFooter *footer, GBytes *bytes, GError **error);
PvPackTable *pv_pack_table_ref (PvPackTable *self);
void pv_pack_table_unref (PvPackTable *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackTable, pv_pack_table_unref)

const PvName *pv_pack_table_name (const PvPackTable *self);
gsize pv_pack_table_size (const PvPackTable *self); /* bytes of the table in the pack, without the footer */
guint32 pv_pack_table_n_frames (const PvPackTable *self);
guint32 pv_pack_table_n_objects (const PvPackTable *self);
gboolean pv_pack_table_is_encrypted (const PvPackTable *self);
/* Makes the frames readable: checks that the table of an encrypted pack was made with @key, and keeps a reference. To
 * be called before others have the table. @key: (nullable): that of the store, NULL when it is not encrypted.
 * PV_ERROR_CORRUPT for a table that was tampered with or is of another key, and for a pack that is not encrypted though
 * there is a key; DENIED for an encrypted one without. */
gboolean pv_pack_table_unlock (PvPackTable *self, PvStoreKey *key, GError **error);
/* (nullable): fills and returns @seal, for pv_frame_decrypt() of frame @frame, as long as the table lives; NULL when
 * the pack is not encrypted, or not unlocked. */
const PvSeal *pv_pack_table_seal (const PvPackTable *self, guint32 frame, PvSeal *seal);
/* Describes frame @frame. PV_ERROR_CORRUPT when there is no such frame: whoever refers to it is wrong. */
gboolean pv_pack_table_frame (const PvPackTable *self, guint32 frame, PvPackFrame *out, GError **error);
/* Checks that the frame whose header was read as @info is the one that the table means by @frame. */
gboolean pv_pack_frame_check (const PvPackFrame *frame, const PvFrameInfo *info, GError **error);
/* Bytes into the decoded frame at which @slot (< n_slots) begins; @size: (out) (optional): its bytes. */
guint32 pv_pack_frame_slot (const PvPackFrame *frame, guint32 slot, guint32 *size);

G_END_DECLS
