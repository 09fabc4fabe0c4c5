/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/stream-encoder.h"

#include <string.h>

#include "stream/stream-format.h"
#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"

#define BUFFER_SIZE (1u << 20) /* bytes collected before the write function is called */

struct _PvStreamEncoder
{
  PvStreamHead *head;      /* owned */
  PvStreamWriteFunc write;
  gpointer data;           /* (not owned) */
  GByteArray *buffer;      /* owned: not written yet */
  guint64 n_flushed;       /* bytes given to write */
  gboolean failed;         /* write said no */
  gboolean finished;
};

static inline const PvRamBlock *
block_at (const PvStreamHead *head, guint index)
{
  return g_ptr_array_index (head->blocks, index);
}

void
pv_stream_append_part_start (const PvStreamHead *head, GByteArray *out)
{
  pv_append_u8 (out, PV_SECTION_PART);
  pv_append_be32 (out, head->ram_section_id);
}

static void
append_record_header (const PvStreamHead *head, guint block_index, guint64 offset, guint64 flags, GByteArray *out)
{
  const char *name = block_at (head, block_index)->name;
  gsize len = strlen (name);
  guint8 header[8 + 1 + PV_RAM_BLOCK_NAME_MAX];
  guint64 word = GUINT64_TO_BE (offset | flags);

  memcpy (header, &word, 8);
  header[8] = len;
  memcpy (header + 9, name, len);
  g_byte_array_append (out, header, 9 + len);
}

void
pv_stream_append_page_header (const PvStreamHead *head, guint block_index, guint64 offset, GByteArray *out)
{
  append_record_header (head, block_index, offset, PV_RAM_PAGE, out);
}

void
pv_stream_append_zero_record (const PvStreamHead *head, guint block_index, guint64 offset, GByteArray *out)
{
  append_record_header (head, block_index, offset, PV_RAM_ZERO, out);
  pv_append_u8 (out, 0);
}

void
pv_stream_append_section_end (const PvStreamHead *head, GByteArray *out)
{
  pv_append_be64 (out, PV_RAM_EOS);
  pv_stream_head_append_footer (head, out);
}

void
pv_stream_append_ram_end (const PvStreamHead *head, GByteArray *out)
{
  pv_append_u8 (out, PV_SECTION_END);
  pv_append_be32 (out, head->ram_section_id);
  pv_stream_append_section_end (head, out);
}

gsize
pv_stream_start_size (const PvStreamHead *head)
{
  g_autoptr(GByteArray) start = g_byte_array_new ();

  pv_stream_head_append_start (head, start);
  pv_stream_head_append_ram_setup (head, start);
  return start->len + PV_STREAM_SECTION_HEADER_SIZE;
}

gsize
pv_stream_page_record_size (const PvStreamHead *head, guint block_index)
{
  return 8 + 1 + strlen (block_at (head, block_index)->name) + head->page_size;
}

gsize
pv_stream_zero_record_size (const PvStreamHead *head, guint block_index)
{
  return 8 + 1 + strlen (block_at (head, block_index)->name) + 1;
}

gsize
pv_stream_tail_size (const PvStreamHead *head)
{
  gsize section_end = PV_STREAM_EOS_SIZE + (head->footers ? PV_STREAM_FOOTER_SIZE : 0);

  return section_end + PV_STREAM_SECTION_HEADER_SIZE + section_end;
}

PvStreamEncoder *
pv_stream_encoder_new (PvStreamHead *head, PvStreamWriteFunc write, gpointer data)
{
  PvStreamEncoder *self;

  g_return_val_if_fail (head != NULL && head->blocks->len > 0 && write != NULL, NULL);

  self = g_new0 (PvStreamEncoder, 1);
  self->head = pv_stream_head_ref (head);
  self->write = write;
  self->data = data;
  self->buffer = g_byte_array_sized_new (BUFFER_SIZE + PV_RAM_PAGE_MAX + 512);
  pv_stream_head_append_start (head, self->buffer);
  pv_stream_head_append_ram_setup (head, self->buffer);
  pv_stream_append_part_start (head, self->buffer);
  return self;
}

void
pv_stream_encoder_free (PvStreamEncoder *self)
{
  if (self == NULL)
    return;
  pv_stream_head_unref (self->head);
  g_byte_array_unref (self->buffer);
  g_free (self);
}

guint64
pv_stream_encoder_n_bytes (const PvStreamEncoder *self)
{
  return self->n_flushed + self->buffer->len;
}

static gboolean
put (PvStreamEncoder *self, const guint8 *bytes, gsize n, GError **error)
{
  if (n > 0 && !self->write (bytes, n, self->data, error))
    {
      self->failed = TRUE;
      return FALSE;
    }
  self->n_flushed += n;
  return TRUE;
}

static gboolean
flush (PvStreamEncoder *self, GError **error)
{
  if (!put (self, self->buffer->data, self->buffer->len, error))
    return FALSE;
  g_byte_array_set_size (self->buffer, 0);
  return TRUE;
}

static gboolean
check_usable (PvStreamEncoder *self, GError **error)
{
  if (self->failed)
    return pv_throw (error, PV_ERROR_FAILED, "the stream could not be written earlier");
  return self->buffer->len < BUFFER_SIZE || flush (self, error);
}

static gboolean
address_ok (const PvStreamEncoder *self, guint block_index, guint64 offset)
{
  return !self->finished && block_index < self->head->blocks->len && offset % self->head->page_size == 0
         && offset < block_at (self->head, block_index)->size;
}

gboolean
pv_stream_encoder_page (PvStreamEncoder *self, guint block_index, guint64 offset, const guint8 *bytes, GError **error)
{
  g_return_val_if_fail (address_ok (self, block_index, offset), FALSE);

  if (!check_usable (self, error))
    return FALSE;
  pv_stream_append_page_header (self->head, block_index, offset, self->buffer);
  g_byte_array_append (self->buffer, bytes, self->head->page_size);
  return TRUE;
}

gboolean
pv_stream_encoder_zero (PvStreamEncoder *self, guint block_index, guint64 offset, GError **error)
{
  g_return_val_if_fail (address_ok (self, block_index, offset), FALSE);

  if (!check_usable (self, error))
    return FALSE;
  pv_stream_append_zero_record (self->head, block_index, offset, self->buffer);
  return TRUE;
}

gboolean
pv_stream_encoder_finish (PvStreamEncoder *self, GBytes *devices, GError **error)
{
  gsize size;
  const guint8 *bytes = g_bytes_get_data (devices, &size);

  g_return_val_if_fail (!self->finished, FALSE);

  if (!check_usable (self, error))
    return FALSE;
  pv_stream_append_section_end (self->head, self->buffer);
  pv_stream_append_ram_end (self->head, self->buffer);
  self->finished = TRUE;
  return flush (self, error) && put (self, bytes, size, error);
}

gboolean
pv_stream_write_fd (const guint8 *bytes, gsize n, gpointer fd, GError **error)
{
  return pv_write_all (GPOINTER_TO_INT (fd), bytes, n, "memory stream", error);
}

gboolean
pv_stream_write_output (const guint8 *bytes, gsize n, gpointer output_stream, GError **error)
{
  return g_output_stream_write_all (output_stream, bytes, n, NULL, NULL, error);
}
