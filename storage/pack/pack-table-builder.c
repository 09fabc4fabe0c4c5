/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-table-builder.h"

#include <string.h>

#include "chunk/node.h"
#include "pack/pack-layout.h"
#include "util/cursor.h"
#include "util/error.h"

struct _PvPackTableBuilder
{
  GByteArray *entries; /* (owned): as on disk */
  GByteArray *names;   /* (owned) */
  GByteArray *sizes;   /* (owned) */
  guint64 offset;      /* bytes of header and frames */
  PvStoreKey *key;     /* (owned) (nullable): of an encrypted pack */
  guint8 salt[PV_SALT_SIZE];
};

PvPackTableBuilder *
pv_pack_table_builder_new (void)
{
  PvPackTableBuilder *self = g_new0 (PvPackTableBuilder, 1);

  self->entries = g_byte_array_new ();
  self->names = g_byte_array_new ();
  self->sizes = g_byte_array_new ();
  self->offset = PV_PACK_HEADER_SIZE;
  return self;
}

PvPackTableBuilder *
pv_pack_table_builder_new_encrypted (PvStoreKey *key, const guint8 *salt)
{
  PvPackTableBuilder *self = pv_pack_table_builder_new ();

  self->key = pv_store_key_ref (key);
  memcpy (self->salt, salt, sizeof self->salt);
  return self;
}

void
pv_pack_table_builder_free (PvPackTableBuilder *self)
{
  if (self == NULL)
    return;
  g_byte_array_unref (self->entries);
  g_byte_array_unref (self->names);
  g_byte_array_unref (self->sizes);
  pv_store_key_unref (self->key);
  g_free (self);
}

static gboolean
sizes_match (const PvFrameInfo *info, const guint32 *sizes)
{
  gsize sum = 0;

  if (sizes == NULL)
    return FALSE;
  for (guint i = 0; i < info->n_slots; i++)
    {
      if (sizes[i] < PV_NODE_STORED_MIN || sizes[i] > PV_NODE_STORED_MAX)
        return FALSE;
      sum += sizes[i];
    }
  return sum == info->plain_size;
}

gboolean
pv_pack_table_builder_add (PvPackTableBuilder *self, const PvFrameInfo *info, const PvName *names,
                           const guint32 *sizes, GError **error)
{
  guint64 growth = info->stored_size + PV_PACK_ENTRY_SIZE + info->n_slots * (PV_NAME_SIZE + sizeof (guint32));
  guint64 tail_size = pv_pack_table_builder_tail_size (self);

  g_return_val_if_fail (info->kind == PV_FRAME_KIND_CHUNKS || sizes_match (info, sizes), FALSE);

  if (pv_pack_table_builder_n_frames (self) >= PV_PACK_FRAMES_MAX || tail_size + growth > PV_PACK_TABLE_MAX
      || self->offset + tail_size + growth > PV_PACK_SIZE_MAX)
    return pv_throw (error, PV_ERROR_FAILED, "the pack is full");

  for (guint i = 0; i < info->n_slots; i++)
    g_return_val_if_fail (!pv_name_is_zero (&names[i]), FALSE);
  pv_append_le32 (self->entries, (guint32) self->offset);
  pv_append_le32 (self->entries, (guint32) info->stored_size);
  pv_append_le64 (self->entries, info->checksum);
  pv_append_u8 (self->entries, (guint8) info->kind);
  pv_append_u8 (self->entries, 0);
  pv_append_le16 (self->entries, (guint16) info->n_slots);
  pv_append_le32 (self->entries, 0);
  g_byte_array_append (self->names, names[0].bytes, info->n_slots * PV_NAME_SIZE);
  if (info->kind == PV_FRAME_KIND_NODES)
    for (guint i = 0; i < info->n_slots; i++)
      pv_append_le32 (self->sizes, sizes[i]);
  self->offset += info->stored_size;
  return TRUE;
}

guint32
pv_pack_table_builder_n_frames (const PvPackTableBuilder *self)
{
  return self->entries->len / PV_PACK_ENTRY_SIZE;
}

guint32
pv_pack_table_builder_n_objects (const PvPackTableBuilder *self)
{
  return self->names->len / PV_NAME_SIZE;
}

guint64
pv_pack_table_builder_offset (const PvPackTableBuilder *self)
{
  return self->offset;
}

guint64
pv_pack_table_builder_tail_size (const PvPackTableBuilder *self)
{
  return (guint64) self->entries->len + self->names->len + self->sizes->len
         + (self->key != NULL ? PV_PACK_SEAL_SIZE : 0) + PV_PACK_FOOTER_SIZE;
}

/* Salt and tag behind the table so far, which begins at @table_start. */
static void
append_seal (PvPackTableBuilder *self, const PvPackFooter *footer, GByteArray *out, guint table_start)
{
  const PvSeal seal = { self->key, PV_SEAL_PACK, self->salt, PV_SEAL_TABLE };
  g_autoptr(GByteArray) covered = g_byte_array_sized_new (PV_PACK_FOOTER_NAME + (guint) footer->table_size);
  guint8 tag[PV_SEAL_TAG_SIZE];

  g_byte_array_append (out, self->salt, sizeof self->salt);
  pv_pack_footer_append_head (footer, covered);
  g_byte_array_append (covered, out->data + table_start, out->len - table_start);
  pv_seal_close (&seal, covered->data, covered->len, NULL, 0, tag);
  g_byte_array_append (out, tag, sizeof tag);
}

void
pv_pack_table_builder_finish (PvPackTableBuilder *self, GByteArray *out, PvName *pack_name)
{
  guint table_start = out->len, footer_start;
  PvPackFooter footer = {
    .n_frames = pv_pack_table_builder_n_frames (self),
    .n_objects = pv_pack_table_builder_n_objects (self),
    .table_offset = self->offset,
    .table_size = pv_pack_table_builder_tail_size (self) - PV_PACK_FOOTER_SIZE,
    .encrypted = self->key != NULL,
  };

  g_return_if_fail (self->entries->len > 0);

  g_byte_array_append (out, self->entries->data, self->entries->len);
  g_byte_array_append (out, self->names->data, self->names->len);
  if (self->sizes->len > 0)
    g_byte_array_append (out, self->sizes->data, self->sizes->len);
  if (self->key != NULL)
    append_seal (self, &footer, out, table_start);
  footer_start = out->len;
  g_assert (footer_start - table_start == footer.table_size);
  pv_digest (out->data + table_start, footer.table_size, pack_name);
  pv_pack_footer_append_head (&footer, out);
  g_byte_array_append (out, pack_name->bytes, PV_NAME_SIZE);
  pv_append_le64 (out, pv_checksum (out->data + footer_start, PV_PACK_FOOTER_CHECKSUM));
}
