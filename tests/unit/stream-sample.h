/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Synthetic streams for the tests of src/stream, written by hand and not by the encoder under test; and a handler that
 * writes down what a decoder reports. */
#pragma once

#include <gio/gio.h>
#include <string.h>

#include "stream/stream-decoder.h"
#include "stream/stream-format.h"
#include "util/cursor.h"
#include "util/error.h"

#define SAMPLE_PAGE 4096u
#define SAMPLE_RAM_ID 2u
#define SAMPLE_MACHINE "pc-test-1.0"

static inline void
sample_name (GByteArray *out, const char *name)
{
  pv_append_u8 (out, strlen (name));
  g_byte_array_append (out, (const guint8 *) name, strlen (name));
}

static inline void
sample_start (GByteArray *out, const char *machine)
{
  pv_append_be32 (out, PV_STREAM_MAGIC);
  pv_append_be32 (out, 3);
  if (machine == NULL)
    return;
  pv_append_u8 (out, PV_SECTION_CONFIGURATION);
  pv_append_be32 (out, strlen (machine));
  g_byte_array_append (out, (const guint8 *) machine, strlen (machine));
}

/* Capabilities, ended by NULL. */
static inline void
sample_capabilities (GByteArray *out, const char *first, ...)
{
  const char *names[8] = { first };
  guint n = 1;
  va_list args;

  va_start (args, first);
  while ((names[n] = va_arg (args, const char *)) != NULL)
    n++;
  va_end (args);
  pv_append_u8 (out, PV_SECTION_SUBSECTION);
  sample_name (out, "configuration/capabilities");
  pv_append_be32 (out, 1);
  pv_append_be32 (out, n);
  for (guint i = 0; i < n; i++)
    sample_name (out, names[i]);
}

static inline void
sample_footer (GByteArray *out)
{
  pv_append_u8 (out, PV_SECTION_FOOTER);
  pv_append_be32 (out, SAMPLE_RAM_ID);
}

/* The RAM section's header and total; blocks are to follow. */
static inline void
sample_ram_start (GByteArray *out, guint64 total)
{
  pv_append_u8 (out, PV_SECTION_START);
  pv_append_be32 (out, SAMPLE_RAM_ID);
  sample_name (out, "ram");
  pv_append_be32 (out, 0);
  pv_append_be32 (out, 4);
  pv_append_be64 (out, total | PV_RAM_MEM_SIZE);
}

static inline void
sample_block (GByteArray *out, const char *name, guint64 size)
{
  sample_name (out, name);
  pv_append_be64 (out, size);
}

static inline void
sample_eos (GByteArray *out)
{
  pv_append_be64 (out, PV_RAM_EOS);
}

static inline void
sample_part (GByteArray *out, guint8 type)
{
  pv_append_u8 (out, type);
  pv_append_be32 (out, SAMPLE_RAM_ID);
}

/* @block: NULL for "the same as before". */
static inline void
sample_page (GByteArray *out, const char *block, guint64 offset, guint8 fill)
{
  pv_append_be64 (out, offset | PV_RAM_PAGE | (block == NULL ? PV_RAM_CONTINUE : 0));
  if (block != NULL)
    sample_name (out, block);
  pv_append_zeros (out, SAMPLE_PAGE);
  memset (out->data + out->len - SAMPLE_PAGE, fill, SAMPLE_PAGE);
}

static inline void
sample_zero (GByteArray *out, const char *block, guint64 offset)
{
  pv_append_be64 (out, offset | PV_RAM_ZERO | (block == NULL ? PV_RAM_CONTINUE : 0));
  if (block != NULL)
    sample_name (out, block);
  pv_append_u8 (out, 0);
}

static inline void
sample_devices (GByteArray *out, gboolean footer)
{
  static const char description[] = "{\"devices\":[]}";

  pv_append_u8 (out, PV_SECTION_FULL);
  pv_append_be32 (out, 9);
  sample_name (out, "timer");
  pv_append_be32 (out, 0);
  pv_append_be32 (out, 2);
  pv_append_be64 (out, 0x1234567890abcdef);
  if (footer)
    {
      pv_append_u8 (out, PV_SECTION_FOOTER);
      pv_append_be32 (out, 9);
    }
  pv_append_u8 (out, PV_SECTION_EOF);
  pv_append_u8 (out, PV_SECTION_VMDESCRIPTION);
  pv_append_be32 (out, strlen (description));
  g_byte_array_append (out, (const guint8 *) description, strlen (description));
}

/* A whole small background-snapshot stream: blocks "pc.ram" (4 pages) and "rom" (1 page); pc.ram page 0 is 11, 1 zero,
 * 2 is 22; rom is 33. */
static inline GByteArray *
sample_background (void)
{
  GByteArray *out = g_byte_array_new ();

  sample_start (out, SAMPLE_MACHINE);
  sample_ram_start (out, 5 * SAMPLE_PAGE);
  sample_block (out, "pc.ram", 4 * SAMPLE_PAGE);
  sample_block (out, "rom", SAMPLE_PAGE);
  sample_eos (out);
  sample_footer (out);
  sample_part (out, PV_SECTION_PART);
  sample_page (out, "pc.ram", 0, 0x11);
  sample_zero (out, NULL, SAMPLE_PAGE);
  sample_page (out, NULL, 2 * SAMPLE_PAGE, 0x22);
  sample_eos (out);
  sample_footer (out);
  sample_part (out, PV_SECTION_PART);
  sample_page (out, "rom", 0, 0x33);
  sample_eos (out);
  sample_footer (out);
  sample_devices (out, TRUE);
  return out;
}

/* What a decoder reported. */
typedef struct
{
  GString *log;      /* owned: one line for each call */
  GPtrArray *memory; /* owned, of GByteArray: one for each block */
  guint stop_at;     /* fail the call with this number (from 1); 0: never */
  guint n_calls;
} Record;

static inline void
record_clear (Record *self)
{
  if (self->log != NULL)
    g_string_free (self->log, TRUE);
  g_clear_pointer (&self->memory, g_ptr_array_unref);
  *self = (Record) { 0 };
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Record, record_clear)

static inline gboolean
record_call (Record *self, GError **error)
{
  if (++self->n_calls != self->stop_at)
    return TRUE;
  g_set_error (error, G_IO_ERROR, G_IO_ERROR_BUSY, "call %u", self->n_calls);
  return FALSE;
}

static inline gboolean
record_ram_blocks (const GPtrArray *blocks, gpointer data, GError **error)
{
  Record *self = data;

  g_assert_null (self->memory);
  self->log = g_string_new (NULL);
  self->memory = g_ptr_array_new_with_free_func ((GDestroyNotify) g_byte_array_unref);
  for (guint i = 0; i < blocks->len; i++)
    {
      const PvRamBlock *block = blocks->pdata[i];
      GByteArray *memory = g_byte_array_new ();

      g_assert_cmpuint (block->size % SAMPLE_PAGE, ==, 0);
      g_assert_cmpuint (block->size, >, 0);
      if (block->size <= 64u << 20) /* a garbled stream may claim anything */
        pv_append_zeros (memory, block->size);
      g_ptr_array_add (self->memory, memory);
      g_string_append_printf (self->log, "block %s %" G_GUINT64_FORMAT "\n", block->name, block->size);
    }
  return record_call (self, error);
}

static inline gboolean
record_pages (guint block, guint64 offset, const guint8 *bytes, guint n_bytes, gpointer data, GError **error)
{
  Record *self = data;
  GByteArray *memory = self->memory->pdata[block];

  g_assert_cmpuint (block, <, self->memory->len);
  g_assert_cmpuint (n_bytes % SAMPLE_PAGE, ==, 0);
  if (memory->len > 0)
    {
      g_assert_cmpuint (offset + n_bytes, <=, memory->len);
      memcpy (memory->data + offset, bytes, n_bytes);
    }
  g_string_append_printf (self->log, "page %u %" G_GUINT64_FORMAT " %u %02x\n", block, offset, n_bytes, bytes[0]);
  return record_call (self, error);
}

static inline gboolean
record_zero (guint block, guint64 offset, guint64 n_bytes, gpointer data, GError **error)
{
  Record *self = data;
  GByteArray *memory = self->memory->pdata[block];

  g_assert_cmpuint (block, <, self->memory->len);
  if (memory->len > 0)
    {
      g_assert_cmpuint (offset + n_bytes, <=, memory->len);
      memset (memory->data + offset, 0, n_bytes);
    }
  g_string_append_printf (self->log, "zero %u %" G_GUINT64_FORMAT " %" G_GUINT64_FORMAT "\n", block, offset, n_bytes);
  return record_call (self, error);
}

static const PvStreamHandler record_handler = { record_ram_blocks, record_pages, record_zero };

/* (transfer full): the content of tests/data/stream/@name.gz. */
static inline GBytes *
sample_golden (const char *name)
{
  g_autofree char *file_name = g_strconcat (name, ".gz", NULL);
  g_autofree char *path = g_build_filename (g_getenv ("PAGEVAULT_TEST_DATA"), "stream", file_name, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(GFile) file = g_file_new_for_path (path);
  g_autoptr(GFileInputStream) compressed = g_file_read (file, NULL, &error);
  g_autoptr(GZlibDecompressor) gunzip = g_zlib_decompressor_new (G_ZLIB_COMPRESSOR_FORMAT_GZIP);
  g_autoptr(GOutputStream) memory = g_memory_output_stream_new_resizable ();
  g_autoptr(GInputStream) plain = NULL;

  g_assert_no_error (error);
  plain = g_converter_input_stream_new (G_INPUT_STREAM (compressed), G_CONVERTER (gunzip));
  g_output_stream_splice (memory, plain, G_OUTPUT_STREAM_SPLICE_CLOSE_TARGET, NULL, &error);
  g_assert_no_error (error);
  return g_memory_output_stream_steal_as_bytes (G_MEMORY_OUTPUT_STREAM (memory));
}

/* The start of a stream with one block "m" of 2 pages, up to a PART. */
static inline GByteArray *
sample_up_to_part (void)
{
  GByteArray *stream = g_byte_array_new ();

  sample_start (stream, SAMPLE_MACHINE);
  sample_ram_start (stream, 2 * SAMPLE_PAGE);
  sample_block (stream, "m", 2 * SAMPLE_PAGE);
  sample_eos (stream);
  sample_footer (stream);
  sample_part (stream, PV_SECTION_PART);
  return stream;
}

/* Feeds @n bytes in pieces of @step (the first one @first). */
static inline gboolean
sample_decode (const guint8 *bytes, gsize n, gsize first, gsize step, Record *record, PvStreamDecoder **decoder_out,
               GError **error)
{
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, record);

  while (n > 0)
    {
      gsize now = MIN (first, n);
      g_autofree guint8 *copy = g_memdup2 (bytes, now); /* so that a sanitizer sees reads past the piece */

      if (!pv_stream_decoder_feed (decoder, copy, now, error))
        return FALSE;
      bytes += now;
      n -= now;
      first = step;
    }
  if (!pv_stream_decoder_finish (decoder, error))
    return FALSE;
  if (decoder_out != NULL)
    *decoder_out = g_steal_pointer (&decoder);
  return TRUE;
}

static inline void
sample_assert_refused (GByteArray *stream, int code, const char *sentence)
{
  g_autoptr(GError) error = NULL;
  g_auto(Record) record = { 0 };

  g_assert_false (sample_decode (stream->data, stream->len, stream->len, 1, &record, NULL, &error));
  g_assert_error (error, PV_ERROR, code);
  if (strstr (error->message, sentence) == NULL)
    g_error ("'%s' does not say '%s'", error->message, sentence);
}
