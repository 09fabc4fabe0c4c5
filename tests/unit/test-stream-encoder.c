/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/stream-encoder.h"

#include "stream-sample.h"
#include "util/error.h"

static PvStreamDecoder *
decode (const guint8 *bytes, gsize n, Record *record)
{
  PvStreamDecoder *decoder = pv_stream_decoder_new (&record_handler, record);
  g_autoptr(GError) error = NULL;

  pv_stream_decoder_feed (decoder, bytes, n, &error);
  g_assert_no_error (error);
  pv_stream_decoder_finish (decoder, &error);
  g_assert_no_error (error);
  return decoder;
}

static gboolean
append (const guint8 *bytes, gsize n, gpointer out, GError **error)
{
  g_byte_array_append (out, bytes, n);
  return TRUE;
}

/* (transfer full): the same guest, written by the encoder; block by block, every page. */
static GByteArray *
encode (PvStreamDecoder *decoder, const Record *record)
{
  g_autoptr(GBytes) head_bytes = pv_stream_decoder_head (decoder), devices = pv_stream_decoder_devices (decoder);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStreamHead) head
      = pv_stream_head_parse (g_bytes_get_data (head_bytes, NULL), g_bytes_get_size (head_bytes), &error);
  GByteArray *out = g_byte_array_new ();
  g_autoptr(PvStreamEncoder) encoder = NULL;

  g_assert_no_error (error);
  encoder = pv_stream_encoder_new (head, append, out);
  for (guint i = 0; i < head->blocks->len; i++)
    {
      GByteArray *memory = record->memory->pdata[i];

      for (guint64 offset = 0; offset < memory->len; offset += head->page_size)
        g_assert_true (pv_stream_encoder_page (encoder, i, offset, memory->data + offset, &error));
    }
  g_assert_true (pv_stream_encoder_finish (encoder, devices, &error));
  g_assert_cmpuint (pv_stream_encoder_n_bytes (encoder), ==, out->len);
  return out;
}

static void
assert_same_guest (PvStreamDecoder *a, const Record *memory_a, PvStreamDecoder *b, const Record *memory_b)
{
  g_autoptr(GBytes) head_a = pv_stream_decoder_head (a), head_b = pv_stream_decoder_head (b);
  g_autoptr(GBytes) devices_a = pv_stream_decoder_devices (a), devices_b = pv_stream_decoder_devices (b);

  g_assert_true (g_bytes_equal (head_a, head_b));
  g_assert_true (g_bytes_equal (devices_a, devices_b));
  g_assert_cmpuint (memory_a->memory->len, ==, memory_b->memory->len);
  for (guint i = 0; i < memory_a->memory->len; i++)
    {
      GByteArray *x = memory_a->memory->pdata[i], *y = memory_b->memory->pdata[i];

      g_assert_cmpmem (x->data, x->len, y->data, y->len);
    }
}

static void
round_trip (const guint8 *bytes, gsize n)
{
  g_auto(Record) before = { 0 }, after = { 0 };
  g_autoptr(PvStreamDecoder) original = decode (bytes, n, &before);
  g_autoptr(GByteArray) written = encode (original, &before);
  g_autoptr(PvStreamDecoder) again = decode (written->data, written->len, &after);

  assert_same_guest (original, &before, again, &after);
}

static void
test_round_trip (void)
{
  g_autoptr(GByteArray) stream = sample_background ();

  round_trip (stream->data, stream->len);
}

static void
test_real (gconstpointer name)
{
  g_autoptr(GBytes) stream = sample_golden (name);
  gsize size;
  const guint8 *bytes = g_bytes_get_data (stream, &size);

  round_trip (bytes, size);
}

/* The promises of the header: where every byte is can be computed. */
static void
test_layout (void)
{
  g_autoptr(GByteArray) stream = sample_background (), out = g_byte_array_new (), record = g_byte_array_new ();
  g_auto(Record) seen = { 0 };
  g_autoptr(PvStreamDecoder) decoder = decode (stream->data, stream->len, &seen);
  PvStreamHead *head = (PvStreamHead *) pv_stream_decoder_peek_head (decoder);
  g_autoptr(PvStreamEncoder) encoder = pv_stream_encoder_new (head, append, out);
  g_autoptr(GBytes) devices = pv_stream_decoder_devices (decoder);
  guint8 page[SAMPLE_PAGE];
  gsize start = pv_stream_start_size (head), at;

  memset (page, 0x5a, sizeof page);
  g_assert_true (pv_stream_encoder_page (encoder, 0, 2 * SAMPLE_PAGE, page, NULL));
  g_assert_true (pv_stream_encoder_zero (encoder, 1, 0, NULL));
  g_assert_true (pv_stream_encoder_page (encoder, 0, 0, page, NULL));
  g_assert_true (pv_stream_encoder_finish (encoder, devices, NULL));

  at = start + pv_stream_page_record_size (head, 0) + pv_stream_zero_record_size (head, 1);
  pv_stream_append_page_header (head, 0, 0, record);
  g_assert_cmpuint (record->len + SAMPLE_PAGE, ==, pv_stream_page_record_size (head, 0));
  g_assert_cmpmem (out->data + at, record->len, record->data, record->len);
  g_assert_cmpmem (out->data + at + record->len, SAMPLE_PAGE, page, SAMPLE_PAGE);
  at += pv_stream_page_record_size (head, 0) + pv_stream_tail_size (head);
  g_assert_cmpmem (out->data + at, out->len - at, g_bytes_get_data (devices, NULL), g_bytes_get_size (devices));
}

static gboolean
fail_second (const guint8 *bytes, gsize n, gpointer calls, GError **error)
{
  if (++*(guint *) calls == 1)
    return TRUE;
  return pv_throw (error, PV_ERROR_NO_SPACE, "full");
}

static void
test_write_fails (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  g_auto(Record) seen = { 0 };
  g_autoptr(PvStreamDecoder) decoder = decode (stream->data, stream->len, &seen);
  guint calls = 0;
  g_autoptr(PvStreamEncoder) encoder
      = pv_stream_encoder_new ((PvStreamHead *) pv_stream_decoder_peek_head (decoder), fail_second, &calls);
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) devices = pv_stream_decoder_devices (decoder);
  guint8 page[SAMPLE_PAGE] = { 1 };
  guint n = 0;

  while (pv_stream_encoder_page (encoder, 0, 0, page, &error))
    g_assert_cmpuint (++n, <, 1000);
  g_assert_error (error, PV_ERROR, PV_ERROR_NO_SPACE);
  g_assert_cmpuint (n, >, 256); /* two buffers of 1 MiB */
  g_clear_error (&error);
  g_assert_false (pv_stream_encoder_finish (encoder, devices, &error));
  g_assert_nonnull (error);
  g_assert_cmpuint (calls, ==, 2);
}

static void
test_write_output (void)
{
  g_autoptr(GOutputStream) memory = g_memory_output_stream_new_resizable ();
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_stream_write_output ((const guint8 *) "abc", 3, memory, &error));
  g_assert_cmpuint (g_memory_output_stream_get_data_size (G_MEMORY_OUTPUT_STREAM (memory)), ==, 3);
  g_assert_false (pv_stream_write_fd ((const guint8 *) "abc", 3, GINT_TO_POINTER (-1), &error));
  g_assert_nonnull (error);
}

int
main (int argc, char **argv)
{
  static const char *const real[] = { "background-pc-7.2", "background-pc-10.0", "precopy-q35-7.2",
                                      "precopy-pc-2.3-7.2" };

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/stream-encoder/round-trip", test_round_trip);
  g_test_add_func ("/stream-encoder/layout", test_layout);
  g_test_add_func ("/stream-encoder/write-fails", test_write_fails);
  g_test_add_func ("/stream-encoder/write-output", test_write_output);
  for (guint i = 0; i < G_N_ELEMENTS (real); i++)
    {
      g_autofree char *path = g_strconcat ("/stream-encoder/real/", real[i], NULL);

      g_test_add_data_func (path, real[i], test_real);
    }
  return g_test_run ();
}
