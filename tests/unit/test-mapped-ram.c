/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/mapped-ram.h"

#include <fcntl.h>
#include <unistd.h>

#include "stream-sample.h"
#include "stream/plain-stream.h"
#include "stream/save-image.h"
#include "util/error.h"
#include "util/file.h"

#define MIB (1u << 20)
#define N_PAGES 600u /* more than one run of 1 MiB */

/* How a file differs from a good one. */
typedef struct
{
  guint32 version;
  guint64 page_size, bitmap_offset, pages_offset; /* 0: as it should be */
  gboolean page_in_stream;
} Twist;

static int
empty_file (void)
{
  g_autofree char *path = NULL;
  int fd = g_file_open_tmp ("pagevault-test-XXXXXX", &path, NULL);

  g_assert_cmpint (fd, >=, 0);
  unlink (path);
  return fd;
}

/* One block "m" of N_PAGES pages, of which 1 … 300 and 599 are there (byte = page number), at @offset of a new file. */
static int
sample_file (guint64 offset, const Twist *twist)
{
  g_autoptr(GByteArray) start = g_byte_array_new (), end = g_byte_array_new ();
  guint64 bitmap_offset, pages_offset;
  guint8 bitmap[(N_PAGES + 63) / 64 * 8] = { 0 }, page[SAMPLE_PAGE];
  int fd = empty_file ();

  sample_start (start, SAMPLE_MACHINE);
  sample_capabilities (start, "mapped-ram", NULL);
  sample_ram_start (start, N_PAGES * SAMPLE_PAGE);
  sample_block (start, "m", N_PAGES * SAMPLE_PAGE);
  bitmap_offset = offset + start->len + 28;
  pages_offset = (bitmap_offset + sizeof bitmap + MIB - 1) / MIB * MIB;
  pv_append_be32 (start, twist->version > 0 ? twist->version : 1);
  pv_append_be64 (start, twist->page_size > 0 ? twist->page_size : SAMPLE_PAGE);
  pv_append_be64 (start, twist->bitmap_offset > 0 ? twist->bitmap_offset : bitmap_offset);
  pv_append_be64 (start, twist->pages_offset > 0 ? twist->pages_offset : pages_offset);
  for (guint i = 0; i < N_PAGES; i++)
    if ((i >= 1 && i <= 300) || i == 599)
      {
        bitmap[i / 8] |= 1u << (i % 8);
        memset (page, (int) i, sizeof page);
        g_assert_true (pv_pwrite_all (fd, page, sizeof page, pages_offset + i * SAMPLE_PAGE, "test", NULL));
      }
  g_byte_array_append (start, bitmap, sizeof bitmap);
  sample_eos (end);
  sample_footer (end);
  sample_part (end, PV_SECTION_END);
  if (twist->page_in_stream)
    sample_page (end, "m", 0, 1);
  sample_eos (end);
  sample_footer (end);
  sample_devices (end, TRUE);
  g_assert_true (pv_pwrite_all (fd, start->data, start->len, offset, "test", NULL));
  g_assert_true (pv_pwrite_all (fd, end->data, end->len, pages_offset + N_PAGES * SAMPLE_PAGE, "test", NULL));
  return fd;
}

static void
test_synthetic (void)
{
  static const guint64 offsets[] = { 0, 4096, 5000, MIB };

  for (guint i = 0; i < G_N_ELEMENTS (offsets); i++)
    {
      g_auto(PvFd) fd = sample_file (offsets[i], &(Twist) { 0 });
      g_auto(Record) record = { 0 };
      g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
      g_autoptr(GError) error = NULL;
      const guint8 *memory;

      g_assert_true (pv_mapped_ram_probe (fd, offsets[i]));
      pv_plain_stream_decode (fd, offsets[i], PV_SAVE_FORMAT_SPARSE, "test", decoder, &error);
      g_assert_no_error (error);
      g_assert_cmpstr (record.log->str, ==,
                       "block m 2457600\npage 0 4096 1048576 01\npage 0 1052672 180224 01\npage 0 2453504 4096 57\n");
      memory = ((GByteArray *) record.memory->pdata[0])->data;
      for (guint p = 0; p < N_PAGES; p++)
        g_assert_cmpuint (memory[p * SAMPLE_PAGE + 17], ==, (p >= 1 && p <= 300) || p == 599 ? (guint8) p : 0);
      g_assert_cmpuint (pv_stream_decoder_n_pages (decoder), ==, 301);
      g_assert_cmpuint (pv_stream_decoder_peek_head (decoder)->configuration->len, ==, 4 + strlen (SAMPLE_MACHINE));
    }
}

static void
assert_refused (const Twist *twist, int code, const char *sentence)
{
  g_auto(PvFd) fd = sample_file (0, twist);
  g_auto(Record) record = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_mapped_ram_decode (fd, 0, "test", decoder, &error));
  g_assert_error (error, PV_ERROR, code);
  if (strstr (error->message, sentence) == NULL)
    g_error ("'%s' does not say '%s'", error->message, sentence);
}

static void
test_refused (void)
{
  assert_refused (&(Twist) { .version = 2 }, PV_ERROR_UNSUPPORTED, "version 2");
  assert_refused (&(Twist) { .page_size = 8192 }, PV_ERROR_CORRUPT, "8192");
  assert_refused (&(Twist) { .bitmap_offset = 10 }, PV_ERROR_CORRUPT, "impossible place");
  assert_refused (&(Twist) { .bitmap_offset = G_MAXUINT64 - 5 }, PV_ERROR_CORRUPT, "impossible place");
  assert_refused (&(Twist) { .pages_offset = 100 }, PV_ERROR_CORRUPT, "impossible place");
  assert_refused (&(Twist) { .pages_offset = G_MAXINT64 - 5 }, PV_ERROR_CORRUPT, "impossible place");
  assert_refused (&(Twist) { .pages_offset = 1u << 30 }, PV_ERROR_CORRUPT, "ends early");
  assert_refused (&(Twist) { .page_in_stream = TRUE }, PV_ERROR_CORRUPT, "in the stream of a mapped-ram file");
}

static void
test_truncation (void)
{
  g_auto(PvFd) whole = sample_file (0, &(Twist) { 0 });
  guint64 size = lseek (whole, 0, SEEK_END);
  const guint64 ends[] = { 0, 10, 100, 200, MIB, MIB + 5000, 2 * MIB, MIB + N_PAGES * SAMPLE_PAGE, size - 30 };

  for (guint i = 0; i < G_N_ELEMENTS (ends); i++)
    {
      g_auto(PvFd) fd = sample_file (0, &(Twist) { 0 });
      g_auto(Record) record = { 0 };
      g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
      g_autoptr(GError) error = NULL;

      g_assert_cmpint (ftruncate (fd, ends[i]), ==, 0);
      g_assert_false (pv_plain_stream_decode (fd, 0, PV_SAVE_FORMAT_RAW, "test", decoder, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
}

/* The file that libvirt's sparse format makes: a save image header, and a mapped stream whose offsets count it. */
static void
test_real (gconstpointer name)
{
  g_autoptr(GBytes) bytes = sample_golden (name);
  g_auto(PvFd) fd = empty_file ();
  g_auto(Record) record = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
  g_autoptr(GError) error = NULL;
  guint64 offset = 0;
  guint32 word;
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  g_assert_true (pv_pwrite_all (fd, data, size, 0, "test", &error));
  if (pv_save_image_probe (data, size))
    {
      g_autoptr(PvSaveImage) image = pv_save_image_read (fd, name, &error);

      g_assert_no_error (error);
      g_assert_cmpint (image->format, ==, PV_SAVE_FORMAT_SPARSE);
      offset = image->stream_offset;
    }
  pv_plain_stream_decode (fd, offset, PV_SAVE_FORMAT_SPARSE, name, decoder, &error);
  g_assert_no_error (error);
  memcpy (&word, ((GByteArray *) record.memory->pdata[0])->data + 0x5000, sizeof word);
  g_assert_cmphex (GUINT32_FROM_LE (word), ==, 0xa5a5a5a5);
  memcpy (&word, ((GByteArray *) record.memory->pdata[0])->data + 0x9004, sizeof word);
  g_assert_cmphex (GUINT32_FROM_LE (word), ==, 0x600dcafe);
}

/* libvirt 11.3 can write a sparse header over a plain stream: the stream decides. */
static void
test_sparse_that_is_plain (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  g_auto(PvFd) fd = empty_file ();
  g_auto(Record) record = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_pwrite_all (fd, stream->data, stream->len, 4096, "test", &error));
  g_assert_false (pv_mapped_ram_probe (fd, 4096));
  g_assert_false (pv_mapped_ram_probe (fd, 1 << 20));
  pv_plain_stream_decode (fd, 4096, PV_SAVE_FORMAT_SPARSE, "test", decoder, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pv_stream_decoder_n_pages (decoder), ==, 3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/mapped-ram/synthetic", test_synthetic);
  g_test_add_func ("/mapped-ram/refused", test_refused);
  g_test_add_func ("/mapped-ram/truncation", test_truncation);
  g_test_add_data_func ("/mapped-ram/real", "mapped-pc-10.0", test_real);
  g_test_add_data_func ("/mapped-ram/real-sparse", "sparse-pc-10.0.save", test_real);
  g_test_add_func ("/mapped-ram/sparse-that-is-plain", test_sparse_that_is_plain);
  return g_test_run ();
}
