/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/stream-head.h"

#include <gio/gio.h>

#include "stream-sample.h"
#include "util/error.h"

/* Everything in front of the first page, by hand. */
static void
append_sample (GByteArray *out)
{
  sample_start (out, SAMPLE_MACHINE);
  sample_capabilities (out, "x-ignore-shared", NULL);
  pv_append_u8 (out, PV_SECTION_SUBSECTION);
  sample_name (out, "configuration/uuid");
  pv_append_be32 (out, 1);
  for (guint i = 0; i < 16; i++)
    pv_append_u8 (out, 0xa0 + i);
  sample_ram_start (out, 3 * SAMPLE_PAGE);
  sample_block (out, "pc.ram", 2 * SAMPLE_PAGE);
  pv_append_be64 (out, 0x100000);
  sample_block (out, "/rom@etc/acpi/tables", SAMPLE_PAGE);
  pv_append_be64 (out, 0);
  sample_eos (out);
  sample_footer (out);
}

/* A head as a decoder makes it, with everything a stream can say. */
static PvStreamHead *
sample_head (void)
{
  g_autoptr(GByteArray) stream = g_byte_array_new ();
  static const PvStreamHandler nothing = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&nothing, NULL);
  g_autoptr(GError) error = NULL;

  append_sample (stream);
  sample_devices (stream, TRUE);
  pv_stream_decoder_feed (decoder, stream->data, stream->len, &error);
  g_assert_no_error (error);
  return pv_stream_head_ref ((PvStreamHead *) pv_stream_decoder_peek_head (decoder));
}

static void
test_keep (void)
{
  g_autoptr(PvStreamHead) head = sample_head (), again = NULL;
  g_autoptr(GBytes) kept = pv_stream_head_serialize (head), kept_again = NULL;
  g_autoptr(GError) error = NULL;
  const PvRamBlock *block;

  again = pv_stream_head_parse (g_bytes_get_data (kept, NULL), g_bytes_get_size (kept), &error);
  g_assert_no_error (error);
  g_assert_cmpstr (again->machine, ==, SAMPLE_MACHINE);
  g_assert_true (again->footers);
  g_assert_true (again->ignore_shared);
  g_assert_cmpuint (again->page_size, ==, SAMPLE_PAGE);
  g_assert_cmpuint (again->ram_section_id, ==, SAMPLE_RAM_ID);
  g_assert_cmpuint (again->blocks->len, ==, 2);
  block = again->blocks->pdata[0];
  g_assert_cmpstr (block->name, ==, "pc.ram");
  g_assert_cmpuint (block->size, ==, 2 * SAMPLE_PAGE);
  g_assert_cmpuint (block->address, ==, 0x100000);
  g_assert_cmpint (pv_stream_head_find_block (again, "/rom@etc/acpi/tables"), ==, 1);
  g_assert_cmpint (pv_stream_head_find_block (again, "nothing"), ==, -1);
  kept_again = pv_stream_head_serialize (again);
  g_assert_true (g_bytes_equal (kept, kept_again));
}

/* What is written is, byte for byte, what was read. */
static void
test_write (void)
{
  g_autoptr(PvStreamHead) head = sample_head ();
  g_autoptr(GByteArray) written = g_byte_array_new (), expected = g_byte_array_new ();

  append_sample (expected);
  pv_stream_head_append_start (head, written);
  pv_stream_head_append_ram_setup (head, written);
  g_assert_cmpmem (written->data, written->len, expected->data, expected->len);
}

static void
test_truncation (void)
{
  g_autoptr(PvStreamHead) head = sample_head ();
  g_autoptr(GBytes) kept = pv_stream_head_serialize (head);
  gsize size;
  const guint8 *bytes = g_bytes_get_data (kept, &size);

  for (gsize n = 0; n < size; n++)
    {
      g_autoptr(GError) error = NULL;
      g_autofree guint8 *copy = g_memdup2 (bytes, MAX (n, 1));

      g_assert_null (pv_stream_head_parse (copy, n, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      g_assert_true (g_str_has_prefix (error->message, "stream head: "));
    }
}

static void
test_bit_flips (void)
{
  g_autoptr(PvStreamHead) head = sample_head ();
  g_autoptr(GBytes) kept = pv_stream_head_serialize (head);
  gsize size;
  const guint8 *bytes = g_bytes_get_data (kept, &size);
  guint n_refused = 0;

  for (gsize at = 0; at < size; at++)
    for (guint bit = 0; bit < 8; bit++)
      {
        g_autoptr(GError) error = NULL;
        g_autofree guint8 *copy = g_memdup2 (bytes, size);
        g_autoptr(PvStreamHead) parsed = NULL;

        copy[at] ^= 1u << bit;
        parsed = pv_stream_head_parse (copy, size, &error);
        g_assert_true ((parsed == NULL) == (error != NULL));
        n_refused += parsed == NULL;
      }
  g_assert_cmpuint (n_refused, >, 300);
}

/* @at: byte of the kept head that gets @value. */
static void
assert_refused (gsize at, guint8 value, int code, const char *sentence)
{
  g_autoptr(PvStreamHead) head = sample_head ();
  g_autoptr(GBytes) kept = pv_stream_head_serialize (head);
  g_autoptr(GError) error = NULL;
  gsize size;
  g_autofree guint8 *copy = g_memdup2 (g_bytes_get_data (kept, NULL), g_bytes_get_size (kept));

  size = g_bytes_get_size (kept);
  copy[at] = value;
  g_assert_null (pv_stream_head_parse (copy, size, &error));
  g_assert_error (error, PV_ERROR, code);
  if (strstr (error->message, sentence) == NULL)
    g_error ("'%s' does not say '%s'", error->message, sentence);
}

static void
test_refused (void)
{
  assert_refused (0, 'X', PV_ERROR_CORRUPT, "not a stream head");
  assert_refused (4, 2, PV_ERROR_UNSUPPORTED, "later version");
  assert_refused (8, 2, PV_ERROR_CORRUPT, "stream version 2");
  assert_refused (12, 0x83, PV_ERROR_CORRUPT, "unknown flags");
  assert_refused (24, 5, PV_ERROR_CORRUPT, "RAM version 5");
  assert_refused (30, 0xff, PV_ERROR_CORRUPT, "at most");
}

/* mapped-ram says where the old file had its pages; a stream written again has them elsewhere. */
static void
test_normalized (void)
{
  g_autoptr(PvStreamHead) head = pv_stream_head_new ();
  g_autoptr(GBytes) kept = NULL;
  g_autoptr(GByteArray) start = g_byte_array_new ();
  g_autoptr(GError) error = NULL;

  sample_start (start, SAMPLE_MACHINE);
  sample_capabilities (start, "mapped-ram", NULL);
  head->configuration = g_byte_array_new ();
  g_byte_array_append (head->configuration, start->data + 9, start->len - 9);
  kept = pv_stream_head_serialize (head);
  g_assert_null (pv_stream_head_parse (g_bytes_get_data (kept, NULL), g_bytes_get_size (kept), &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/stream-head/keep", test_keep);
  g_test_add_func ("/stream-head/write", test_write);
  g_test_add_func ("/stream-head/truncation", test_truncation);
  g_test_add_func ("/stream-head/bit-flips", test_bit_flips);
  g_test_add_func ("/stream-head/refused", test_refused);
  g_test_add_func ("/stream-head/normalized", test_normalized);
  return g_test_run ();
}
