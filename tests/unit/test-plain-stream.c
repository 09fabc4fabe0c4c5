/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/plain-stream.h"

#include <fcntl.h>
#include <unistd.h>

#include "stream-sample.h"
#include "util/error.h"
#include "util/file.h"

#define OFFSET 100 /* bytes in front of the stream, as in a save image */

static const struct
{
  PvSaveFormat format;
  const char *program;
} formats[] = {
  { PV_SAVE_FORMAT_RAW, "cat" },  { PV_SAVE_FORMAT_GZIP, "gzip" }, { PV_SAVE_FORMAT_BZIP2, "bzip2" },
  { PV_SAVE_FORMAT_XZ, "xz" },    { PV_SAVE_FORMAT_LZOP, "lzop" }, { PV_SAVE_FORMAT_ZSTD, "zstd" },
  { PV_SAVE_FORMAT_SPARSE, "cat" },
};

/* An open file: OFFSET bytes of anything, then @bytes through `@program -c`. */
static int
compressed_file (const char *program, const guint8 *bytes, gsize size)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *path = NULL;
  g_auto(PvFd) fd = g_file_open_tmp ("pagevault-test-XXXXXX", &path, &error);
  g_autoptr(GSubprocess) child = NULL;
  g_autoptr(GBytes) in = g_bytes_new (bytes, size), out = NULL;

  g_assert_no_error (error);
  unlink (path);
  child = g_subprocess_new (G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error, program,
                            g_str_equal (program, "cat") ? NULL : "-c", NULL);
  g_assert_no_error (error);
  g_subprocess_communicate (child, in, NULL, &out, NULL, &error);
  g_assert_no_error (error);
  g_assert_true (pv_pwrite_all (fd, g_bytes_get_data (out, NULL), g_bytes_get_size (out), OFFSET, "test", &error));
  return pv_fd_steal (&fd);
}

static void
test_formats (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  guint n_tried = 0;

  for (guint i = 0; i < G_N_ELEMENTS (formats); i++)
    {
      g_autofree char *path = g_find_program_in_path (formats[i].program);
      g_autoptr(GError) error = NULL;
      g_auto(Record) record = { 0 };
      g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
      g_auto(PvFd) fd = PV_FD_NONE;

      if (path == NULL)
        {
          g_test_message ("no %s here", formats[i].program);
          continue;
        }
      fd = compressed_file (formats[i].program, stream->data, stream->len);
      pv_plain_stream_decode (fd, OFFSET, formats[i].format, "test", decoder, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (pv_stream_decoder_n_bytes (decoder), ==, stream->len);
      g_assert_cmpuint (pv_stream_decoder_n_pages (decoder), ==, 3);
      n_tried++;
    }
  g_assert_cmpuint (n_tried, >=, 3);
}

/* A compressed image that was cut off is never a short stream, even where the plain stream could end. */
static void
test_cut_off (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  g_auto(PvFd) fd = compressed_file ("gzip", stream->data, stream->len);
  off_t end = lseek (fd, 0, SEEK_END);
  g_auto(Record) record = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (ftruncate (fd, end - 4), ==, 0); /* within gzip's own check sum: all of the stream is there */
  g_assert_false (pv_plain_stream_decode (fd, OFFSET, PV_SAVE_FORMAT_GZIP, "test", decoder, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, "gzip"));
}

static void
test_garbage (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  g_auto(PvFd) fd = compressed_file ("cat", stream->data, stream->len);
  g_auto(Record) record = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_plain_stream_decode (fd, OFFSET, PV_SAVE_FORMAT_GZIP, "test", decoder, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

/* The reader goes away while the program still has much to say. */
static void
test_stop_early (void)
{
  g_autofree guint8 *zeros = g_malloc0 (32u << 20);
  g_auto(PvFd) fd = compressed_file ("gzip", zeros, 32u << 20);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPlainStream) stream = pv_plain_stream_open (fd, OFFSET, PV_SAVE_FORMAT_GZIP, "test", &error);
  guint8 start[100];

  g_assert_no_error (error);
  g_assert_cmpint (pv_plain_stream_read (stream, start, sizeof start, &error), ==, sizeof start);
}

static void
test_missing_program (void)
{
  if (g_test_subprocess ())
    {
      g_autoptr(GError) error = NULL;

      g_setenv ("PATH", "/nonexistent", TRUE);
      g_assert_null (pv_plain_stream_open (STDIN_FILENO, 0, PV_SAVE_FORMAT_XZ, "web1.save", &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
      g_assert_cmpstr (error->message, ==, "web1.save is compressed with xz: install the package 'xz-utils'");
      return;
    }
  g_test_trap_subprocess (NULL, 0, G_TEST_SUBPROCESS_INHERIT_STDIN);
  g_test_trap_assert_passed ();
}

static void
test_pipe (void)
{
  g_autoptr(GByteArray) stream = sample_background ();
  g_auto(Record) record = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&record_handler, &record);
  g_autoptr(GError) error = NULL;
  int ends[2];
  g_auto(PvFd) in = PV_FD_NONE, out = PV_FD_NONE;

  g_assert_cmpint (pipe (ends), ==, 0);
  out = ends[0];
  in = ends[1];
  g_assert_cmpuint (stream->len, <, 65536); /* fits the pipe */
  g_assert_true (pv_write_all (in, stream->data, stream->len, "pipe", &error));
  pv_fd_clear (&in);
  pv_plain_stream_decode (out, 0, PV_SAVE_FORMAT_RAW, "pipe", decoder, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (pv_stream_decoder_n_pages (decoder), ==, 3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/plain-stream/formats", test_formats);
  g_test_add_func ("/plain-stream/cut-off", test_cut_off);
  g_test_add_func ("/plain-stream/garbage", test_garbage);
  g_test_add_func ("/plain-stream/stop-early", test_stop_early);
  g_test_add_func ("/plain-stream/missing-program", test_missing_program);
  g_test_add_func ("/plain-stream/pipe", test_pipe);
  return g_test_run ();
}
