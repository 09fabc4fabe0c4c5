/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <gio/gio.h>

#include "stream-sample.h"
#include "util/error.h"

static const char background_log[] = "block pc.ram 16384\nblock rom 4096\n"
                                     "page 0 0 4096 11\nzero 0 4096 4096\npage 0 8192 4096 22\npage 1 0 4096 33\n";

static GByteArray *
copy_of (const GByteArray *stream)
{
  GByteArray *copy = g_byte_array_new ();

  return g_byte_array_append (copy, stream->data, stream->len);
}

static void
test_background (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  g_autoptr(PvStreamDecoder) decoder = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) devices = NULL;
  g_autoptr(GByteArray) expected = g_byte_array_new ();
  g_auto(Record) record = { 0 };
  const PvStreamHead *head;

  sample_decode (stream->data, stream->len, stream->len, 1, &record, &decoder, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (record.log->str, ==, background_log);
  sample_devices (expected, TRUE);
  devices = pv_stream_decoder_devices (decoder);
  g_assert_cmpmem (g_bytes_get_data (devices, NULL), g_bytes_get_size (devices), expected->data, expected->len);
  g_assert_cmpuint (pv_stream_decoder_n_pages (decoder), ==, 3);
  g_assert_cmpuint (pv_stream_decoder_n_zero (decoder), ==, 1);
  g_assert_cmpuint (pv_stream_decoder_n_bytes (decoder), ==, stream->len);
  head = pv_stream_decoder_peek_head (decoder);
  g_assert_cmpstr (head->machine, ==, SAMPLE_MACHINE);
  g_assert_cmpuint (head->ram_section_id, ==, SAMPLE_RAM_ID);
  g_assert_true (head->footers);
  g_assert_false (head->ignore_shared);
  g_assert_cmpuint (pv_stream_head_total (head), ==, 5 * SAMPLE_PAGE);
}

static void
test_every_split (void)
{
  g_autoptr(GByteArray) stream = sample_background ();

  for (gsize at = 1; at <= stream->len; at++)
    {
      g_autoptr(GError) error = NULL;
      g_auto(Record) record = { 0 };

      sample_decode (stream->data, stream->len, at, stream->len, &record, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (record.log->str, ==, background_log);
    }
}

static void
test_small_pieces (void)
{
  static const gsize steps[] = { 1, 2, 3, 7, 8, 100, 4095, 4096, 4097 };
  g_autoptr(GByteArray) stream = sample_background ();

  for (guint i = 0; i < G_N_ELEMENTS (steps); i++)
    {
      g_autoptr(GError) error = NULL;
      g_auto(Record) record = { 0 };

      sample_decode (stream->data, stream->len, steps[i], steps[i], &record, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (record.log->str, ==, background_log);
    }
}

/* Cut anywhere, a stream is refused; but for the one place behind its EOF mark, where only the description is missing.
 * */
static void
test_truncation (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  gsize eof = stream->len - strlen ("{\"devices\":[]}") - 1 - 4;
  guint n_accepted = 0;

  for (gsize n = 0; n < stream->len; n++)
    {
      g_autoptr(GError) error = NULL;
      g_auto(Record) record = { 0 };

      if (sample_decode (stream->data, n, MAX (n, 1), 1, &record, NULL, &error))
        {
          g_assert_cmpuint (n, ==, eof);
          n_accepted++;
        }
      else
        g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
  g_assert_cmpuint (n_accepted, ==, 1);
}

/* Any one bit flipped: the decoder refuses, or reports something else that is within the blocks it reported. */
static void
test_bit_flips (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  guint n_refused = 0;

  for (gsize at = 0; at < stream->len; at++)
    for (guint bit = 0; bit < 8; bit++)
      {
        g_autoptr(GError) error = NULL;
        g_auto(Record) record = { 0 };

        if (at > 300 && at % 64 != 0 && at < stream->len - 300 && stream->data[at] == stream->data[at - 1])
          continue; /* in a page: one in a while is enough */
        stream->data[at] ^= 1u << bit;
        if (!sample_decode (stream->data, stream->len, stream->len, 1, &record, NULL, &error))
          {
            g_assert_nonnull (error);
            n_refused++;
          }
        stream->data[at] ^= 1u << bit;
      }
  g_assert_cmpuint (n_refused, >, 500);
}

/* Pre-copy: START, PARTs, END; the last copy of a page counts. */
static void
test_precopy (void)
{
  g_autoptr(GByteArray) stream = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  g_auto(Record) record = { 0 };
  const guint8 *memory;

  sample_start (stream, SAMPLE_MACHINE);
  sample_ram_start (stream, 2 * SAMPLE_PAGE);
  sample_block (stream, "m", 2 * SAMPLE_PAGE);
  sample_eos (stream);
  sample_footer (stream);
  sample_part (stream, PV_SECTION_PART);
  sample_page (stream, "m", 0, 1);
  sample_page (stream, NULL, SAMPLE_PAGE, 2);
  sample_eos (stream);
  sample_footer (stream);
  sample_part (stream, PV_SECTION_END);
  sample_page (stream, "m", 0, 3);
  sample_zero (stream, NULL, SAMPLE_PAGE);
  sample_eos (stream);
  sample_footer (stream);
  sample_devices (stream, TRUE);
  sample_decode (stream->data, stream->len, stream->len, 1, &record, NULL, &error);
  g_assert_no_error (error);
  memory = ((GByteArray *) record.memory->pdata[0])->data;
  g_assert_cmpuint (memory[0], ==, 3);
  g_assert_cmpuint (memory[SAMPLE_PAGE], ==, 0);
}

static void
test_footers (void)
{
  g_autoptr(GByteArray) missing = sample_up_to_part (), other = g_byte_array_new (), none = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStreamDecoder) decoder = NULL;
  g_auto(Record) record = { 0 };

  sample_page (missing, "m", 0, 1);
  sample_eos (missing);
  sample_devices (missing, TRUE);
  sample_assert_refused (missing, PV_ERROR_CORRUPT, "has no footer");

  sample_start (other, SAMPLE_MACHINE);
  sample_ram_start (other, SAMPLE_PAGE);
  sample_block (other, "m", SAMPLE_PAGE);
  sample_eos (other);
  pv_append_u8 (other, PV_SECTION_FOOTER);
  pv_append_be32 (other, SAMPLE_RAM_ID + 1);
  sample_assert_refused (other, PV_ERROR_CORRUPT, "the footer of section 3");

  /* An old machine: neither configuration nor footers. */
  sample_start (none, NULL);
  sample_ram_start (none, SAMPLE_PAGE);
  sample_block (none, "m", SAMPLE_PAGE);
  sample_eos (none);
  sample_part (none, PV_SECTION_END);
  sample_page (none, "m", 0, 5);
  sample_eos (none);
  sample_devices (none, FALSE);
  sample_decode (none->data, none->len, 1, 1, &record, &decoder, &error);
  g_assert_no_error (error);
  g_assert_false (pv_stream_decoder_peek_head (decoder)->footers);
  g_assert_null (pv_stream_decoder_peek_head (decoder)->machine);
}

static void
test_configuration (void)
{
  g_autoptr(GByteArray) stream = g_byte_array_new (), unknown = g_byte_array_new (), bits = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStreamDecoder) decoder = NULL;
  g_auto(Record) record = { 0 };
  const PvStreamHead *head;

  sample_start (stream, "virt-9.0");
  pv_append_u8 (stream, PV_SECTION_SUBSECTION);
  sample_name (stream, "configuration/target-page-bits");
  pv_append_be32 (stream, 1);
  pv_append_be32 (stream, 16);
  sample_capabilities (stream, "x-ignore-shared", NULL);
  pv_append_u8 (stream, PV_SECTION_SUBSECTION);
  sample_name (stream, "configuration/uuid");
  pv_append_be32 (stream, 1);
  pv_append_zeros (stream, 16);
  sample_ram_start (stream, 2 * 65536);
  sample_block (stream, "mach-virt.ram", 2 * 65536);
  pv_append_be64 (stream, 0x40000000); /* where the block is, because of x-ignore-shared */
  sample_eos (stream);
  sample_footer (stream);
  sample_devices (stream, TRUE);
  sample_decode (stream->data, stream->len, 5, 5, &record, &decoder, &error);
  g_assert_no_error (error);
  head = pv_stream_decoder_peek_head (decoder);
  g_assert_cmpuint (head->page_size, ==, 65536);
  g_assert_true (head->ignore_shared);
  g_assert_cmpuint (((PvRamBlock *) head->blocks->pdata[0])->address, ==, 0x40000000);

  sample_start (unknown, SAMPLE_MACHINE);
  sample_capabilities (unknown, "x-teleport", NULL);
  sample_assert_refused (unknown, PV_ERROR_UNSUPPORTED, "x-teleport");

  sample_start (bits, SAMPLE_MACHINE);
  pv_append_u8 (bits, PV_SECTION_SUBSECTION);
  sample_name (bits, "configuration/target-page-bits");
  pv_append_be32 (bits, 1);
  pv_append_be32 (bits, 40);
  sample_assert_refused (bits, PV_ERROR_CORRUPT, "2^40");
}

/* Commands that a saved stream may have are passed over; post-copy advice makes blocks tell unusual page sizes. */
static void
test_commands (void)
{
  g_autoptr(GByteArray) stream = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  g_auto(Record) record = { 0 };

  sample_start (stream, SAMPLE_MACHINE);
  pv_append_u8 (stream, PV_SECTION_COMMAND);
  pv_append_be16 (stream, PV_COMMAND_PING);
  pv_append_be16 (stream, 4);
  pv_append_be32 (stream, 1);
  pv_append_u8 (stream, PV_SECTION_COMMAND);
  pv_append_be16 (stream, PV_COMMAND_POSTCOPY_ADVISE);
  pv_append_be16 (stream, 16);
  pv_append_be64 (stream, 2u << 20);
  pv_append_be64 (stream, SAMPLE_PAGE);
  sample_ram_start (stream, (4u << 20) + SAMPLE_PAGE);
  sample_block (stream, "huge0", 2u << 20);
  pv_append_be64 (stream, 2u << 20);
  sample_block (stream, "small", SAMPLE_PAGE);
  sample_block (stream, "huge1", 2u << 20);
  pv_append_be64 (stream, 2u << 20);
  sample_eos (stream);
  sample_footer (stream);
  sample_part (stream, PV_SECTION_END);
  sample_page (stream, "huge1", 1u << 20, 9);
  sample_eos (stream);
  sample_footer (stream);
  sample_devices (stream, TRUE);
  sample_decode (stream->data, stream->len, 3, 3, &record, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpstr (record.log->str, ==, "block huge0 2097152\nblock small 4096\nblock huge1 2097152\n"
                                        "page 2 1048576 4096 09\n");
}

/* The handler stops the decoder, with its own error, which stays. */
static void
test_handler_stops (void)
{
  g_autoptr(GByteArray) stream = sample_background ();

  for (guint call = 1; call <= 5; call++)
    {
      g_autoptr(GError) error = NULL, again = NULL, at_end = NULL;
      g_auto(Record) record = { .stop_at = call };
      g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);

      g_assert_false (pv_stream_decoder_feed (decoder, stream->data, stream->len, &error));
      g_assert_error (error, G_IO_ERROR, G_IO_ERROR_BUSY);
      g_assert_cmpuint (record.n_calls, ==, call);
      g_assert_false (pv_stream_decoder_feed (decoder, stream->data, 1, &again));
      g_assert_cmpstr (again->message, ==, error->message);
      g_assert_false (pv_stream_decoder_finish (decoder, &at_end));
      g_assert_cmpstr (at_end->message, ==, error->message);
      g_assert_cmpuint (record.n_calls, ==, call);
    }
}

/* Callers order the guest's run state by these: the first page says that memory is protected. */
static void
test_milestones (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  g_auto(Record) record = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
  gsize first_page_end = 8 + 1 + 4 + strlen (SAMPLE_MACHINE) + 17 + 8 + 7 + 8 + 4 + 8 + 8 + 5 + 5 + 8 + 7 + SAMPLE_PAGE;

  for (gsize i = 0; i < stream->len; i++)
    {
      g_assert_true (pv_stream_decoder_feed (decoder, stream->data + i, 1, NULL));
      g_assert_true (pv_stream_decoder_ram_started (decoder) == (i + 1 >= first_page_end));
    }
  g_assert_true (pv_stream_decoder_ram_done (decoder));
}

typedef struct
{
  const GByteArray *stream;
  PvStreamDecoder *decoder;
  guint n_pages;
} Positions;

static gboolean
check_position (guint block, guint64 offset, const guint8 *bytes, guint n_bytes, gpointer data, GError **error)
{
  Positions *self = data;
  guint64 at = pv_stream_decoder_page_position (self->decoder);

  g_assert_cmpuint (at + n_bytes, <=, self->stream->len);
  g_assert_cmpmem (self->stream->data + at, n_bytes, bytes, n_bytes);
  self->n_pages++;
  return TRUE;
}

/* Wherever the stream is cut: a page's position is where its bytes are. */
static void
test_page_position (void)
{
  static const PvStreamHandler handler = { .pages = check_position };
  g_autoptr(GByteArray) stream = sample_background ();

  for (gsize at = 1; at < stream->len; at += 3)
    {
      Positions positions = { .stream = stream };
      g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&handler, &positions);

      positions.decoder = decoder;
      g_assert_true (pv_stream_decoder_feed (decoder, stream->data, at, NULL));
      g_assert_true (pv_stream_decoder_feed (decoder, stream->data + at, stream->len - at, NULL));
      g_assert_cmpuint (positions.n_pages, ==, 3);
    }
}

static void
test_trailing (void)
{
  g_autoptr(GByteArray) stream = sample_background (), zeros = copy_of (stream), junk = copy_of (stream);
  g_autoptr(GError) error = NULL;
  g_auto(Record) record = { 0 };

  pv_append_zeros (zeros, 1000);
  sample_decode (zeros->data, zeros->len, zeros->len, 1, &record, NULL, &error);
  g_assert_no_error (error);
  pv_append_be64 (junk, 0x6a756e6b6a756e6b);
  sample_assert_refused (junk, PV_ERROR_CORRUPT, "among the devices");
}

static void
test_device_only (void)
{
  g_autoptr(GByteArray) stream = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStreamDecoder) decoder = NULL;
  g_autoptr(GBytes) devices = NULL;
  g_auto(Record) record = { 0 };

  sample_start (stream, NULL);
  sample_devices (stream, TRUE);
  sample_decode (stream->data, stream->len, 1, 1, &record, &decoder, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (record.n_calls, ==, 0);
  devices = pv_stream_decoder_devices (decoder);
  g_assert_cmpuint (g_bytes_get_size (devices), ==, stream->len - 8);
}

static guint32
word_at (const Record *record, guint block, gsize offset)
{
  guint32 word;

  memcpy (&word, ((GByteArray *) record->memory->pdata[block])->data + offset, sizeof word);
  return GUINT32_FROM_LE (word);
}

static void
test_real (gconstpointer name)
{
  g_autoptr(GBytes) stream = sample_golden (name);
  g_autoptr(PvStreamDecoder) decoder = NULL;
  g_autoptr(GError) error = NULL;
  g_auto(Record) record = { 0 };
  gsize size;
  const guint8 *bytes = g_bytes_get_data (stream, &size);
  int ram;

  sample_decode (bytes, size, 1000, 5000, &record, &decoder, &error);
  g_assert_no_error (error);
  ram = pv_stream_head_find_block (pv_stream_decoder_peek_head (decoder), "pc.ram");
  g_assert_cmpint (ram, ==, 0);
  g_assert_cmpuint (((GByteArray *) record.memory->pdata[ram])->len, ==, 4u << 20);
  g_assert_cmphex (word_at (&record, ram, 0x1000), ==, 0x600dcafe);
  g_assert_cmphex (word_at (&record, ram, 0x1ffc), ==, 0x11223344);
  g_assert_cmphex (word_at (&record, ram, 0x5000), ==, 0xa5a5a5a5);
  g_assert_cmphex (word_at (&record, ram, 0x9004), ==, 0x600dcafe);
  g_assert_cmphex (word_at (&record, ram, 0x9000), ==, 0);
}

static void
test_real_devices (void)
{
  g_autoptr(GBytes) stream = sample_golden ("devices-q35-7.2");
  g_autoptr(GError) error = NULL;
  g_auto(Record) record = { 0 };
  gsize size;
  const guint8 *bytes = g_bytes_get_data (stream, &size);

  sample_decode (bytes, size, 1000, 1000, &record, NULL, &error);
  g_assert_no_error (error);
  g_assert_false (sample_decode (bytes, size - 1, 1000, 1000, &record, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  static const char *const real[] = { "background-pc-7.2", "background-q35-7.2", "background-pc-10.0",
                                      "precopy-q35-7.2",   "precopy-pc-10.0",    "precopy-pc-2.3-7.2" };

  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/stream-decoder/background", test_background);
  g_test_add_func ("/stream-decoder/every-split", test_every_split);
  g_test_add_func ("/stream-decoder/small-pieces", test_small_pieces);
  g_test_add_func ("/stream-decoder/truncation", test_truncation);
  g_test_add_func ("/stream-decoder/bit-flips", test_bit_flips);
  g_test_add_func ("/stream-decoder/precopy", test_precopy);
  g_test_add_func ("/stream-decoder/footers", test_footers);
  g_test_add_func ("/stream-decoder/configuration", test_configuration);
  g_test_add_func ("/stream-decoder/commands", test_commands);
  g_test_add_func ("/stream-decoder/handler-stops", test_handler_stops);
  g_test_add_func ("/stream-decoder/milestones", test_milestones);
  g_test_add_func ("/stream-decoder/page-position", test_page_position);
  g_test_add_func ("/stream-decoder/trailing", test_trailing);
  g_test_add_func ("/stream-decoder/device-only", test_device_only);
  g_test_add_func ("/stream-decoder/real-devices", test_real_devices);
  for (guint i = 0; i < G_N_ELEMENTS (real); i++)
    {
      g_autofree char *path = g_strconcat ("/stream-decoder/real/", real[i], NULL);

      g_test_add_data_func (path, real[i], test_real);
    }
  return g_test_run ();
}
