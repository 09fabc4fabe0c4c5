/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-table.h"

#include <string.h>

#include "chunk/node.h"
#include "pack/pack-layout.h"
#include "util/cursor.h"
#include "util/error.h"

const guint8 pv_pack_header[PV_PACK_HEADER_SIZE] = PV_PACK_HEADER_BYTES;

typedef struct
{
  guint64 checksum;
  guint32 offset;       /* bytes into the pack */
  guint32 stored_size;  /* bytes */
  guint32 plain_size;   /* bytes */
  guint32 first_object; /* number of the object in slot 0 */
  guint32 first_size;   /* of a NODES frame: where the sizes of its items begin */
  guint16 n_slots;
  guint8 kind;
} Entry;

struct _PvPackTable
{
  gatomicrefcount ref_count;
  PvName name;
  guint32 n_frames;
  guint32 n_objects;
  Entry *entries;      /* (owned): n_frames of them */
  const PvName *names; /* in bytes */
  guint32 *sizes;      /* (owned): of all items of NODES frames */
  GBytes *bytes;       /* (owned) */
  PvPackFooter footer; /* where it was found */
  PvStoreKey *key;     /* (owned) (nullable): of an encrypted pack that was unlocked */
  const guint8 *salt;  /* (nullable): of an encrypted pack; in bytes */
};

gboolean
pv_pack_header_check (const guint8 *data, gsize size, GError **error)
{
  if (size < PV_PACK_HEADER_SIZE || memcmp (data, pv_pack_header, PV_PACK_MAGIC_SIZE) != 0)
    return pv_corrupt (error, "not a pack");
  if (memcmp (data, pv_pack_header, PV_PACK_HEADER_SIZE) != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "pack header of an unknown version");
  return TRUE;
}

void
pv_pack_footer_append_head (const PvPackFooter *footer, GByteArray *out)
{
  g_byte_array_append (out, (const guint8 *) PV_PACK_FOOTER_MAGIC, PV_PACK_MAGIC_SIZE);
  pv_append_le16 (out, PV_PACK_VERSION);
  pv_append_le16 (out, footer->encrypted ? PV_PACK_FLAG_ENCRYPTED : 0);
  pv_append_le32 (out, footer->n_frames);
  pv_append_le64 (out, footer->table_offset);
  pv_append_le64 (out, footer->table_size);
  pv_append_le32 (out, footer->n_objects);
  pv_append_le32 (out, 0);
}

static gboolean
check_footer (const PvPackFooter *footer, guint64 pack_size, GError **error)
{
  if (footer->n_frames == 0 || footer->n_frames > PV_PACK_FRAMES_MAX)
    return pv_corrupt (error, "pack footer with %u frames", footer->n_frames);
  if (footer->n_objects < footer->n_frames || footer->n_objects / PV_FRAME_NODES > footer->n_frames)
    return pv_corrupt (error, "pack footer with %u objects in %u frames", footer->n_objects, footer->n_frames);
  if (pack_size > PV_PACK_SIZE_MAX || footer->table_size > PV_PACK_TABLE_MAX || footer->table_offset > pack_size
      || footer->table_offset + footer->table_size + PV_PACK_FOOTER_SIZE != pack_size)
    return pv_corrupt (error, "pack of %" G_GUINT64_FORMAT " bytes whose table of %" G_GUINT64_FORMAT
                              " bytes would lie at %" G_GUINT64_FORMAT,
                       pack_size, footer->table_size, footer->table_offset);
  return TRUE;
}

gboolean
pv_pack_footer_parse (const guint8 *data, guint64 pack_size, PvPackFooter *footer, GError **error)
{
  PvCursor cursor = PV_CURSOR_INIT (data, PV_PACK_FOOTER_SIZE);
  const guint8 *magic = pv_cursor_bytes (&cursor, PV_PACK_MAGIC_SIZE);
  guint16 version = pv_cursor_le16 (&cursor), flags = pv_cursor_le16 (&cursor);
  guint32 reserved;

  footer->n_frames = pv_cursor_le32 (&cursor);
  footer->table_offset = pv_cursor_le64 (&cursor);
  footer->table_size = pv_cursor_le64 (&cursor);
  footer->n_objects = pv_cursor_le32 (&cursor);
  reserved = pv_cursor_le32 (&cursor);
  pv_cursor_copy (&cursor, footer->name.bytes, PV_NAME_SIZE);
  if (memcmp (magic, PV_PACK_FOOTER_MAGIC, PV_PACK_MAGIC_SIZE) != 0)
    return pv_corrupt (error, "the pack has no footer: its end is missing or damaged");
  if (pv_cursor_le64 (&cursor) != pv_checksum (data, PV_PACK_FOOTER_CHECKSUM))
    return pv_corrupt (error, "pack footer checksum mismatch");
  if (version != PV_PACK_VERSION || (flags & ~PV_PACK_FLAG_ENCRYPTED) != 0 || reserved != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "pack of version %u with flags %x, made by a newer pagevault",
                     version, flags);
  footer->encrypted = (flags & PV_PACK_FLAG_ENCRYPTED) != 0;
  return check_footer (footer, pack_size, error);
}

static gboolean
check_entry (const Entry *entry, guint64 offset, GError **error)
{
  guint max_slots = entry->kind == PV_FRAME_KIND_CHUNKS ? PV_FRAME_CHUNKS : PV_FRAME_NODES;

  if (entry->kind != PV_FRAME_KIND_CHUNKS && entry->kind != PV_FRAME_KIND_NODES)
    return pv_corrupt (error, "unknown kind %u", entry->kind);
  if (entry->n_slots == 0 || entry->n_slots > max_slots)
    return pv_corrupt (error, "%u slots", entry->n_slots);
  if (entry->offset != offset)
    return pv_corrupt (error, "at %u instead of %" G_GUINT64_FORMAT, entry->offset, offset);
  if (entry->stored_size <= PV_FRAME_HEADER_SIZE || entry->stored_size > PV_FRAME_STORED_MAX)
    return pv_corrupt (error, "of %u bytes", entry->stored_size);
  return TRUE;
}

/* Fills the entries; *n_sizes is the number of le32 sizes that follow the names. */
static gboolean
parse_entries (PvPackTable *self, PvCursor *cursor, const PvPackFooter *footer, guint32 *n_sizes, GError **error)
{
  guint64 offset = PV_PACK_HEADER_SIZE, n_objects = 0;

  *n_sizes = 0;
  for (guint32 i = 0; i < self->n_frames; i++)
    {
      Entry *entry = &self->entries[i];
      guint8 flags;

      entry->offset = pv_cursor_le32 (cursor);
      entry->stored_size = pv_cursor_le32 (cursor);
      entry->checksum = pv_cursor_le64 (cursor);
      entry->kind = pv_cursor_u8 (cursor);
      flags = pv_cursor_u8 (cursor);
      entry->n_slots = pv_cursor_le16 (cursor);
      if (pv_cursor_le32 (cursor) != 0 || flags != 0)
        return pv_throw (error, PV_ERROR_UNSUPPORTED, "pack table: frame %u has reserved bits set", i);
      if (!check_entry (entry, offset, error))
        {
          g_prefix_error (error, "pack table: frame %u: ", i);
          return FALSE;
        }
      offset += entry->stored_size;
      entry->first_object = (guint32) n_objects;
      entry->first_size = *n_sizes;
      entry->plain_size = entry->n_slots * PV_CHUNK_SIZE;
      n_objects += entry->n_slots;
      if (entry->kind == PV_FRAME_KIND_NODES)
        *n_sizes += entry->n_slots;
    }
  if (offset != footer->table_offset)
    return pv_corrupt (error, "pack table: the frames end at %" G_GUINT64_FORMAT ", the table begins at %"
                              G_GUINT64_FORMAT,
                       offset, footer->table_offset);
  if (n_objects != footer->n_objects)
    return pv_corrupt (error, "pack table: %" G_GUINT64_FORMAT " slots for %u objects", n_objects, footer->n_objects);
  return TRUE;
}

static gboolean
parse_sizes (PvPackTable *self, PvCursor *cursor, guint32 n_sizes, GError **error)
{
  self->sizes = g_new (guint32, n_sizes);
  for (guint32 i = 0; i < n_sizes; i++)
    {
      self->sizes[i] = pv_cursor_le32 (cursor);
      if (self->sizes[i] < PV_NODE_STORED_MIN || self->sizes[i] > PV_NODE_STORED_MAX)
        return pv_corrupt (error, "pack table: node of %u bytes", self->sizes[i]);
    }
  for (guint32 i = 0; i < self->n_frames; i++)
    {
      Entry *entry = &self->entries[i];

      if (entry->kind != PV_FRAME_KIND_NODES)
        continue;
      entry->plain_size = 0;
      for (guint32 slot = 0; slot < entry->n_slots; slot++)
        entry->plain_size += self->sizes[entry->first_size + slot];
      if (entry->plain_size > PV_FRAME_PLAIN_MAX)
        return pv_corrupt (error, "pack table: frame %u holds %u bytes", i, entry->plain_size);
    }
  return TRUE;
}

static gboolean
parse_table (PvPackTable *self, const PvPackFooter *footer, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (self->bytes, &size);
  PvCursor cursor = PV_CURSOR_INIT (data, size);
  guint32 n_sizes;
  PvName digest;

  pv_digest (data, size, &digest);
  if (size != footer->table_size || !pv_name_equal (&digest, &footer->name))
    return pv_corrupt (error, "pack table digest mismatch");
  /* Both are within the bytes at hand before memory is asked for. */
  if ((guint64) footer->n_frames * PV_PACK_ENTRY_SIZE + (guint64) footer->n_objects * PV_NAME_SIZE > size)
    return pv_corrupt (error, "pack table of %" G_GSIZE_FORMAT " bytes for %u frames and %u objects", size,
                       footer->n_frames, footer->n_objects);
  self->entries = g_new0 (Entry, footer->n_frames);
  if (!parse_entries (self, &cursor, footer, &n_sizes, error))
    return FALSE;
  self->names = (const PvName *) pv_cursor_bytes (&cursor, (gsize) footer->n_objects * PV_NAME_SIZE);
  for (guint32 i = 0; self->names != NULL && i < footer->n_objects; i++)
    if (pv_name_is_zero (&self->names[i]))
      return pv_corrupt (error, "pack table: object %u has no name", i);
  if (pv_cursor_left (&cursor) != (gsize) n_sizes * sizeof (guint32) + (footer->encrypted ? PV_PACK_SEAL_SIZE : 0))
    return pv_corrupt (error, "pack table with %" G_GSIZE_FORMAT " bytes for %u sizes", pv_cursor_left (&cursor),
                       n_sizes);
  if (!parse_sizes (self, &cursor, n_sizes, error))
    return FALSE;
  if (footer->encrypted)
    {
      self->salt = pv_cursor_bytes (&cursor, PV_SALT_SIZE);
      pv_cursor_bytes (&cursor, PV_SEAL_TAG_SIZE);
    }
  return pv_cursor_end (&cursor, error);
}

PvPackTable *
pv_pack_table_parse (const PvPackFooter *footer, GBytes *bytes, GError **error)
{
  g_autoptr(PvPackTable) self = g_new0 (PvPackTable, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->name = footer->name;
  self->n_frames = footer->n_frames;
  self->n_objects = footer->n_objects;
  self->bytes = g_bytes_ref (bytes);
  self->footer = *footer;
  return parse_table (self, footer, error) ? g_steal_pointer (&self) : NULL;
}

PvPackTable *
pv_pack_table_ref (PvPackTable *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
pv_pack_table_unref (PvPackTable *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  g_free (self->entries);
  g_free (self->sizes);
  g_bytes_unref (self->bytes);
  pv_store_key_unref (self->key);
  g_free (self);
}

const PvName *
pv_pack_table_name (const PvPackTable *self)
{
  return &self->name;
}

gsize
pv_pack_table_size (const PvPackTable *self)
{
  return g_bytes_get_size (self->bytes);
}

guint32
pv_pack_table_n_frames (const PvPackTable *self)
{
  return self->n_frames;
}

guint32
pv_pack_table_n_objects (const PvPackTable *self)
{
  return self->n_objects;
}

gboolean
pv_pack_table_is_encrypted (const PvPackTable *self)
{
  return self->salt != NULL;
}

const PvSeal *
pv_pack_table_seal (const PvPackTable *self, guint32 frame, PvSeal *seal)
{
  *seal = (PvSeal){ self->key, PV_SEAL_PACK, self->salt, frame };
  return self->key != NULL ? seal : NULL;
}

gboolean
pv_pack_table_unlock (PvPackTable *self, PvStoreKey *key, GError **error)
{
  const PvSeal seal = { key, PV_SEAL_PACK, self->salt, PV_SEAL_TABLE };
  g_autoptr(GByteArray) covered = NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (self->bytes, &size);

  if (key == NULL && self->salt == NULL)
    return TRUE;
  if (key == NULL)
    return pv_throw (error, PV_ERROR_DENIED, "the pack is encrypted: the key of its store is needed");
  if (self->salt == NULL)
    return pv_corrupt (error, "the pack is not encrypted, but its store is: somebody else has put it there");
  covered = g_byte_array_sized_new (PV_PACK_FOOTER_NAME + (guint) size);
  pv_pack_footer_append_head (&self->footer, covered);
  g_byte_array_append (covered, data, (guint) size - PV_SEAL_TAG_SIZE);
  if (!pv_seal_open (&seal, covered->data, covered->len, NULL, 0, data + size - PV_SEAL_TAG_SIZE, NULL))
    return pv_corrupt (error, "pack table that was tampered with, or is of another key");
  if (self->key == NULL)
    self->key = pv_store_key_ref (key);
  return TRUE;
}

gboolean
pv_pack_table_frame (const PvPackTable *self, guint32 frame, PvPackFrame *out, GError **error)
{
  const Entry *entry;

  if (frame >= self->n_frames)
    return pv_corrupt (error, "frame %u is referred to, but there are only %u", frame, self->n_frames);
  entry = &self->entries[frame];
  out->kind = (PvFrameKind) entry->kind;
  out->offset = entry->offset;
  out->stored_size = entry->stored_size;
  out->n_slots = entry->n_slots;
  out->plain_size = entry->plain_size;
  out->checksum = entry->checksum;
  out->names = self->names + entry->first_object;
  out->sizes = entry->kind == PV_FRAME_KIND_NODES ? self->sizes + entry->first_size : NULL;
  return TRUE;
}

gboolean
pv_pack_frame_check (const PvPackFrame *frame, const PvFrameInfo *info, GError **error)
{
  if (info->kind != frame->kind || info->n_slots != frame->n_slots || info->plain_size != frame->plain_size
      || info->stored_size != frame->stored_size || info->checksum != frame->checksum)
    return pv_corrupt (error, "frame is not the one that the pack's table lists");
  return TRUE;
}

guint32
pv_pack_frame_slot (const PvPackFrame *frame, guint32 slot, guint32 *size)
{
  guint32 offset = 0;

  g_return_val_if_fail (slot < frame->n_slots, 0);

  if (size != NULL)
    *size = frame->sizes != NULL ? frame->sizes[slot] : PV_CHUNK_SIZE;
  if (frame->sizes == NULL)
    return slot * PV_CHUNK_SIZE;
  for (guint32 i = 0; i < slot; i++)
    offset += frame->sizes[i];
  return offset;
}
