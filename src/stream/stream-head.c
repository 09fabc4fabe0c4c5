/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/stream-head.h"

#include <string.h>

#include "stream/stream-configuration.h"
#include "stream/stream-format.h"
#include "util/cursor.h"
#include "util/error.h"

#define HEAD_MAGIC 0x48535650u /* "PVSH" */
#define HEAD_LAYOUT 1u

enum
{
  HEAD_FLAG_CONFIGURATION = 1 << 0,
  HEAD_FLAG_FOOTERS = 1 << 1,
  HEAD_FLAGS_KNOWN = HEAD_FLAG_CONFIGURATION | HEAD_FLAG_FOOTERS,
};

PvStreamHead *
pv_stream_head_new (void)
{
  PvStreamHead *self = g_new0 (PvStreamHead, 1);

  self->version = PV_STREAM_VERSION;
  self->page_size = PV_RAM_PAGE_MIN;
  self->footers = TRUE;
  self->ram_version = PV_STREAM_RAM_VERSION;
  self->blocks = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_ram_block_free);
  self->ref_count = 1;
  return self;
}

PvStreamHead *
pv_stream_head_ref (PvStreamHead *self)
{
  g_return_val_if_fail (self != NULL, NULL);

  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
pv_stream_head_unref (PvStreamHead *self)
{
  if (self == NULL || !g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_clear_pointer (&self->configuration, g_byte_array_unref);
  g_free (self->machine);
  g_ptr_array_unref (self->blocks);
  g_free (self);
}

guint64
pv_stream_head_total (const PvStreamHead *self)
{
  guint64 total = 0;

  for (guint i = 0; i < self->blocks->len; i++)
    total += ((const PvRamBlock *) self->blocks->pdata[i])->size;
  return total;
}

int
pv_stream_head_find_block (const PvStreamHead *self, const char *name)
{
  for (guint i = 0; i < self->blocks->len; i++)
    if (g_str_equal (((const PvRamBlock *) self->blocks->pdata[i])->name, name))
      return (int) i;
  return -1;
}

static void
append_name (GByteArray *out, const char *name)
{
  pv_append_u8 (out, strlen (name));
  g_byte_array_append (out, (const guint8 *) name, strlen (name));
}

GBytes *
pv_stream_head_serialize (const PvStreamHead *self)
{
  GByteArray *out = g_byte_array_new ();
  guint32 flags = (self->configuration != NULL ? HEAD_FLAG_CONFIGURATION : 0) | (self->footers ? HEAD_FLAG_FOOTERS : 0);

  pv_append_le32 (out, HEAD_MAGIC);
  pv_append_le32 (out, HEAD_LAYOUT);
  pv_append_le32 (out, self->version);
  pv_append_le32 (out, flags);
  pv_append_le32 (out, self->ram_section_id);
  pv_append_le32 (out, self->ram_instance_id);
  pv_append_le32 (out, self->ram_version);
  pv_append_le32 (out, self->configuration != NULL ? self->configuration->len : 0);
  if (self->configuration != NULL)
    g_byte_array_append (out, self->configuration->data, self->configuration->len);
  pv_append_le32 (out, self->blocks->len);
  for (guint i = 0; i < self->blocks->len; i++)
    {
      const PvRamBlock *block = self->blocks->pdata[i];

      append_name (out, block->name);
      pv_append_le64 (out, block->size);
      pv_append_le64 (out, block->address);
    }
  return g_byte_array_free_to_bytes (out);
}

static gboolean
parse_configuration (PvStreamHead *self, PvCursor *outer, guint32 size, GError **error)
{
  const guint8 *bytes;
  PvStreamCarriage carriage = { 0 };
  PvCursor cursor;

  if (size > PV_STREAM_CONFIGURATION_MAX)
    return pv_corrupt (error, "the configuration is %u bytes long (at most %u)", size, PV_STREAM_CONFIGURATION_MAX);
  bytes = pv_cursor_bytes (outer, size);
  if (bytes == NULL)
    return pv_cursor_ok (outer, error);
  cursor = (PvCursor) PV_CURSOR_INIT (bytes, size);
  if (!pv_stream_configuration_read_machine (self, &cursor, error))
    return FALSE;
  while (pv_cursor_left (&cursor) > 0)
    {
      if (pv_cursor_u8 (&cursor) != PV_SECTION_SUBSECTION)
        return pv_corrupt (error, "something other than a subsection is in the configuration");
      if (!pv_stream_configuration_read_subsection (self, &carriage, &cursor, error))
        return FALSE;
    }
  if (!pv_cursor_end (&cursor, error))
    return FALSE;
  if (self->configuration->len != size || memcmp (self->configuration->data, bytes, size) != 0)
    return pv_corrupt (error, "the configuration says how an old stream was carried");
  return TRUE;
}

static gboolean
parse_blocks (PvStreamHead *self, PvCursor *cursor, GError **error)
{
  guint32 n_blocks = pv_cursor_le32 (cursor);
  guint64 total = 0;
  g_autoptr(GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);

  if (n_blocks > PV_RAM_BLOCKS_MAX)
    return pv_corrupt (error, "%u RAM blocks (at most %u)", n_blocks, PV_RAM_BLOCKS_MAX);
  for (guint32 i = 0; i < n_blocks; i++)
    {
      guint8 len = pv_cursor_u8 (cursor);
      const char *bytes = (const char *) pv_cursor_bytes (cursor, len);
      guint64 size = pv_cursor_le64 (cursor), address = pv_cursor_le64 (cursor);
      g_autofree char *name = NULL;

      if (!pv_cursor_ok (cursor, error))
        return FALSE;
      if (!pv_ram_block_name_ok (bytes, len))
        return pv_corrupt (error, "RAM block %u has no printable name", i);
      name = g_strndup (bytes, len);
      if (size == 0 || size % self->page_size != 0 || size > PV_RAM_TOTAL_MAX - total)
        return pv_corrupt (error, "RAM block %s: impossible size %" G_GUINT64_FORMAT, name, size);
      if (g_hash_table_contains (names, name))
        return pv_corrupt (error, "RAM block %s comes twice", name);
      total += size;
      g_ptr_array_add (self->blocks, pv_ram_block_new (name, size, address));
      g_hash_table_add (names, ((PvRamBlock *) self->blocks->pdata[i])->name);
    }
  return TRUE;
}

static gboolean
parse (PvStreamHead *self, PvCursor *cursor, GError **error)
{
  guint32 magic = pv_cursor_le32 (cursor), layout = pv_cursor_le32 (cursor);
  guint32 flags, size;

  if (!pv_cursor_ok (cursor, error))
    return FALSE;
  if (magic != HEAD_MAGIC)
    return pv_corrupt (error, "not a stream head");
  if (layout != HEAD_LAYOUT)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "layout %u is from a later version of pagevault", layout);
  self->version = pv_cursor_le32 (cursor);
  flags = pv_cursor_le32 (cursor);
  self->ram_section_id = pv_cursor_le32 (cursor);
  self->ram_instance_id = pv_cursor_le32 (cursor);
  self->ram_version = pv_cursor_le32 (cursor);
  size = pv_cursor_le32 (cursor);
  if (!pv_cursor_ok (cursor, error))
    return FALSE;
  if (self->version != PV_STREAM_VERSION || self->ram_version != PV_STREAM_RAM_VERSION)
    return pv_corrupt (error, "stream version %u with RAM version %u", self->version, self->ram_version);
  if ((flags & ~HEAD_FLAGS_KNOWN) != 0)
    return pv_corrupt (error, "unknown flags 0x%x", flags);
  self->footers = (flags & HEAD_FLAG_FOOTERS) != 0;
  if ((flags & HEAD_FLAG_CONFIGURATION) != 0 && !parse_configuration (self, cursor, size, error))
    return FALSE;
  if ((flags & HEAD_FLAG_CONFIGURATION) == 0 && size != 0)
    return pv_corrupt (error, "a configuration of %u bytes where none should be", size);
  return parse_blocks (self, cursor, error) && pv_cursor_end (cursor, error);
}

PvStreamHead *
pv_stream_head_parse (const guint8 *data, gsize size, GError **error)
{
  g_autoptr(PvStreamHead) self = pv_stream_head_new ();
  PvCursor cursor = PV_CURSOR_INIT (data, size);

  if (size > PV_STREAM_HEAD_MAX)
    {
      pv_corrupt (error, "stream head: %" G_GSIZE_FORMAT " bytes (at most %u)", size, PV_STREAM_HEAD_MAX);
      return NULL;
    }
  if (!parse (self, &cursor, error))
    {
      g_prefix_error (error, "stream head: ");
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
pv_stream_head_append_start (const PvStreamHead *self, GByteArray *out)
{
  pv_append_be32 (out, PV_STREAM_MAGIC);
  pv_append_be32 (out, self->version);
  if (self->configuration != NULL)
    {
      pv_append_u8 (out, PV_SECTION_CONFIGURATION);
      g_byte_array_append (out, self->configuration->data, self->configuration->len);
    }
}

void
pv_stream_head_append_footer (const PvStreamHead *self, GByteArray *out)
{
  if (!self->footers)
    return;
  pv_append_u8 (out, PV_SECTION_FOOTER);
  pv_append_be32 (out, self->ram_section_id);
}

void
pv_stream_head_append_ram_setup (const PvStreamHead *self, GByteArray *out)
{
  pv_append_u8 (out, PV_SECTION_START);
  pv_append_be32 (out, self->ram_section_id);
  append_name (out, PV_STREAM_RAM_NAME);
  pv_append_be32 (out, self->ram_instance_id);
  pv_append_be32 (out, self->ram_version);
  pv_append_be64 (out, pv_stream_head_total (self) | PV_RAM_MEM_SIZE);
  for (guint i = 0; i < self->blocks->len; i++)
    {
      const PvRamBlock *block = self->blocks->pdata[i];

      append_name (out, block->name);
      pv_append_be64 (out, block->size);
      if (self->ignore_shared)
        pv_append_be64 (out, block->address);
    }
  pv_append_be64 (out, PV_RAM_EOS);
  pv_stream_head_append_footer (self, out);
}
