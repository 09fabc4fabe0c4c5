/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The pieces of the RAM section: the list of blocks, and page records. */
#include "config.h"

#include <string.h>

#include "stream/stream-decoder-private.h"
#include "stream/stream-format.h"
#include "util/error.h"

#define MAPPED_VERSION 1u

PvStep
pv_stream_step_setup_total (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint64 word = pv_cursor_be64 (cursor), mask = self->head->page_size - 1;

  if (cursor->overrun)
    return PV_STEP_MORE;
  if ((word & mask) != PV_RAM_MEM_SIZE)
    return pv_corrupt (error, "the RAM section does not start with its size");
  self->setup_left = word & ~mask;
  if (self->setup_left == 0 || self->setup_left > PV_RAM_TOTAL_MAX)
    return pv_corrupt (error, "impossible RAM size %" G_GUINT64_FORMAT, self->setup_left);
  self->state = PV_STATE_SETUP_BLOCK;
  return PV_STEP_DONE;
}

/* A page size is told only for blocks whose page size is unusual. It takes the place where the next block's name, or
 * the EOS word would be: a power of two of at least 4096 is neither, for its first byte is 0 and it is no set of
 * flags. */
static void
skip_page_size (const PvStreamDecoder *self, PvCursor *cursor)
{
  PvCursor ahead = *cursor;
  guint64 word = pv_cursor_be64 (&ahead);

  if (ahead.overrun || (word >= PV_RAM_PAGE_MIN && word >> 56 == 0))
    *cursor = ahead;
}

/* @position: bytes in the file, just behind the header. */
static gboolean
check_mapped (const PvStreamDecoder *self, const PvMappedBlock *mapped, guint64 size, guint64 position, GError **error)
{
  guint64 bitmap_size = (size / self->head->page_size + 63) / 64 * 8;

  if (mapped->bitmap_offset == 0 && mapped->pages_offset == 0)
    return TRUE;
  if (mapped->bitmap_offset < position || mapped->bitmap_offset > G_MAXINT64 - bitmap_size
      || mapped->pages_offset < mapped->bitmap_offset + bitmap_size
      || mapped->pages_offset > G_MAXINT64 - size)
    return pv_corrupt (error,
                       "impossible place in the file (bitmap at %" G_GUINT64_FORMAT ", pages at %" G_GUINT64_FORMAT ")",
                       mapped->bitmap_offset, mapped->pages_offset);
  return TRUE;
}

static PvStep
read_mapped (PvStreamDecoder *self, PvCursor *cursor, guint64 size, PvMappedBlock *mapped, GError **error)
{
  guint32 version = pv_cursor_be32 (cursor);
  guint64 page_size = pv_cursor_be64 (cursor);

  mapped->bitmap_offset = pv_cursor_be64 (cursor);
  mapped->pages_offset = pv_cursor_be64 (cursor);
  if (cursor->overrun)
    return PV_STEP_MORE;
  if (version != MAPPED_VERSION)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "mapped-ram version %u is not supported (only %u)", version,
                     MAPPED_VERSION);
  if (page_size != self->head->page_size)
    return pv_corrupt (error, "mapped pages of %" G_GUINT64_FORMAT " bytes in a guest with pages of %u", page_size,
                       self->head->page_size);
  if (!check_mapped (self, mapped, size, self->stream_offset + self->n_parsed + cursor->offset, error))
    return PV_STEP_FAILED;
  return PV_STEP_DONE;
}

static gboolean
check_block (const PvStreamDecoder *self, const char *bytes, guint8 len, guint64 size, char **name, GError **error)
{
  if (!pv_ram_block_name_ok (bytes, len))
    return pv_corrupt (error, "RAM block %u has no printable name", self->head->blocks->len);
  if (self->head->blocks->len == PV_RAM_BLOCKS_MAX)
    return pv_corrupt (error, "more than %u RAM blocks", PV_RAM_BLOCKS_MAX);
  *name = g_strndup (bytes, len);
  if (g_hash_table_contains (self->names, *name))
    return pv_corrupt (error, "RAM block %s comes twice", *name);
  if (size == 0 || size % self->head->page_size != 0 || size > self->setup_left)
    return pv_corrupt (error, "RAM block %s: impossible size %" G_GUINT64_FORMAT, *name, size);
  return TRUE;
}

PvStep
pv_stream_step_setup_block (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint8 len = pv_cursor_u8 (cursor);
  const char *bytes = (const char *) pv_cursor_bytes (cursor, len);
  guint64 size = pv_cursor_be64 (cursor), address = 0;
  g_autofree char *name = NULL;
  PvMappedBlock mapped = { 0 };

  if (cursor->overrun)
    return PV_STEP_MORE;
  if (!check_block (self, bytes, len, size, &name, error))
    return PV_STEP_FAILED;
  if (self->advised)
    skip_page_size (self, cursor);
  if (self->head->ignore_shared)
    address = pv_cursor_be64 (cursor);
  if (self->carriage.mapped_ram)
    {
      PvStep step = read_mapped (self, cursor, size, &mapped, error);

      if (step == PV_STEP_FAILED)
        g_prefix_error (error, "RAM block %s: ", name);
      if (step != PV_STEP_DONE)
        return step;
    }
  if (cursor->overrun)
    return PV_STEP_MORE;

  g_ptr_array_add (self->head->blocks, pv_ram_block_new (name, size, address));
  g_array_append_val (self->mapped, mapped);
  g_hash_table_insert (self->names, pv_stream_block_at (self, self->head->blocks->len - 1)->name,
                       GUINT_TO_POINTER (self->head->blocks->len));
  self->setup_left -= size;
  self->block = self->head->blocks->len;
  self->state = self->setup_left > 0 ? PV_STATE_SETUP_BLOCK : PV_STATE_SETUP_END;
  if (mapped.pages_offset > 0)
    {
      self->gap_left = mapped.pages_offset + size - (self->stream_offset + self->n_parsed + cursor->offset);
      self->state = PV_STATE_GAP;
    }
  return PV_STEP_DONE;
}

static gboolean
refuse_record (guint64 flags, GError **error)
{
  switch (flags)
    {
    case PV_RAM_XBZRLE:
      return pv_throw (error, PV_ERROR_UNSUPPORTED, "pages are XBZRLE deltas: save without the capability xbzrle");
    case PV_RAM_COMPRESS_PAGE:
      return pv_throw (error, PV_ERROR_UNSUPPORTED, "pages are compressed: save without the capability compress");
    case PV_RAM_MULTIFD_FLUSH:
      return pv_throw (error, PV_ERROR_UNSUPPORTED,
                       "pages went through other channels: save without the capability multifd");
    case PV_RAM_HOOK:
      return pv_throw (error, PV_ERROR_UNSUPPORTED, "pages went through RDMA: save to a file or a socket");
    case PV_RAM_MEM_SIZE:
      return pv_corrupt (error, "the list of RAM blocks comes twice");
    default:
      return pv_corrupt (error, "a RAM record with unknown flags 0x%x", (guint) flags);
    }
}

PvStep
pv_stream_step_setup_end (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint64 word = pv_cursor_be64 (cursor);

  if (cursor->overrun)
    return PV_STEP_MORE;
  if (word == PV_RAM_PAGE || word == PV_RAM_ZERO)
    return pv_corrupt (error, "a page before the list of RAM blocks has ended");
  if (word != PV_RAM_EOS)
    return refuse_record (word & (self->head->page_size - 1), error);
  self->footer_due = TRUE;
  self->state = PV_STATE_TYPE;
  return PV_STEP_DONE;
}

/* The block that a record names. */
static gboolean
find_block (PvStreamDecoder *self, const char *bytes, guint8 len, GError **error)
{
  char name[PV_RAM_BLOCK_NAME_MAX + 1];
  guint index;

  if (len > 0 && len == self->block_name_len && memcmp (pv_stream_block_at (self, self->block)->name, bytes, len) == 0)
    return TRUE;
  memcpy (name, bytes, len);
  name[len] = '\0';
  index = GPOINTER_TO_UINT (g_hash_table_lookup (self->names, name));
  if (index == 0 || strlen (name) != len)
    return pv_corrupt (error, "a page of a RAM block that is not listed");
  self->block = index - 1;
  self->block_name_len = len;
  return TRUE;
}

gboolean
pv_stream_decoder_emit_pages (PvStreamDecoder *self, guint block_index, guint64 offset, const guint8 *bytes,
                              guint n_bytes, GError **error)
{
  self->n_pages += n_bytes / self->head->page_size;
  return self->handler.pages == NULL || self->handler.pages (block_index, offset, bytes, n_bytes, self->data, error);
}

static gboolean
emit_zero (PvStreamDecoder *self, guint64 offset, guint8 fill, GError **error)
{
  if (fill != 0)
    return pv_corrupt (error, "a zero page filled with 0x%02x", fill);
  self->n_zero++;
  return self->handler.zero == NULL
         || self->handler.zero (self->block, offset, self->head->page_size, self->data, error);
}

/* One record of a RAM section. */
PvStep
pv_stream_step_record (PvStreamDecoder *self, PvCursor *cursor, GError **error)
{
  guint32 page_size = self->head->page_size;
  guint64 word = pv_cursor_be64 (cursor), flags = word & (page_size - 1), offset = word & ~(guint64) (page_size - 1);
  guint64 kind = flags & ~(guint64) PV_RAM_CONTINUE;
  const guint8 *name = NULL, *payload;
  guint8 len = 0;

  if (cursor->overrun)
    return PV_STEP_MORE;
  if (word == PV_RAM_EOS)
    {
      self->footer_due = TRUE;
      self->state = PV_STATE_TYPE;
      return PV_STEP_DONE;
    }
  if (kind != PV_RAM_PAGE && kind != PV_RAM_ZERO)
    return refuse_record (kind, error);
  if (self->carriage.mapped_ram)
    return pv_corrupt (error, "a page in the stream of a mapped-ram file");
  if (kind == flags)
    {
      len = pv_cursor_u8 (cursor);
      name = pv_cursor_bytes (cursor, len);
    }
  payload = pv_cursor_bytes (cursor, kind == PV_RAM_PAGE ? page_size : 1);
  if (cursor->overrun)
    return PV_STEP_MORE;
  if (name != NULL && !find_block (self, (const char *) name, len, error))
    return PV_STEP_FAILED;
  if (self->block >= self->head->blocks->len)
    return pv_corrupt (error, "a page of no RAM block");
  if (offset >= pv_stream_block_at (self, self->block)->size)
    return pv_corrupt (error, "a page at %" G_GUINT64_FORMAT ", behind the end of RAM block %s", offset,
                       pv_stream_block_at (self, self->block)->name);
  self->page_position = self->n_parsed + cursor->offset - page_size;
  if (kind == PV_RAM_PAGE)
    return pv_stream_decoder_emit_pages (self, self->block, offset, payload, page_size, error) ? PV_STEP_DONE
                                                                                               : PV_STEP_FAILED;
  return emit_zero (self, offset, payload[0], error) ? PV_STEP_DONE : PV_STEP_FAILED;
}
