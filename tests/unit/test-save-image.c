/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/save-image.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>

#include "util/error.h"
#include "util/file.h"

#define XML "<domain type='kvm'><name>web1</name></domain>"
#define COOKIE "<cookie><cpu/></cookie>"

static GBytes *
compose (const char *cookie, gboolean complete)
{
  g_autoptr(GError) error = NULL;
  GBytes *bytes = pv_save_image_compose (XML, cookie, TRUE, PV_SAVE_FORMAT_RAW, 4096, complete, &error);

  g_assert_no_error (error);
  return bytes;
}

static PvSaveImage *
parse (const guint8 *data, gsize size, GError **error)
{
  g_autofree guint8 *copy = g_memdup2 (data, MAX (size, 1)); /* so that a sanitizer sees reads past the end */

  return pv_save_image_parse (copy, size, error);
}

/* @data: with the five 32-bit words of the header turned round. */
static void
swap_header (guint8 *data)
{
  for (guint at = 16; at < 36; at += 4)
    {
      guint32 word;

      memcpy (&word, data + at, 4);
      word = GUINT32_SWAP_LE_BE (word);
      memcpy (data + at, &word, 4);
    }
}

static void
assert_good (const PvSaveImage *image, const char *cookie)
{
  g_assert_cmpstr (image->xml, ==, XML);
  g_assert_cmpstr (image->cookie, ==, cookie);
  g_assert_cmpint (image->format, ==, PV_SAVE_FORMAT_RAW);
  g_assert_true (image->was_running);
  g_assert_cmpuint (image->version, ==, 2);
  g_assert_cmpuint (image->stream_offset, ==, 4096);
}

static void
test_compose (gconstpointer cookie)
{
  g_autoptr(GBytes) bytes = compose (cookie, TRUE);
  g_autoptr(GError) error = NULL;
  gsize size = g_bytes_get_size (bytes);
  g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (bytes, NULL), size);
  g_autoptr(PvSaveImage) little = parse (data, size, &error), big = NULL;

  g_assert_no_error (error);
  assert_good (little, cookie);
  g_assert_false (little->big_endian);
  swap_header (data);
  big = parse (data, size, &error);
  g_assert_no_error (error);
  assert_good (big, cookie);
  g_assert_true (big->big_endian);
}

/* The bytes, as libvirt's own reader expects them. */
static void
test_bytes (void)
{
  g_autoptr(GBytes) bytes = compose (COOKIE, TRUE);
  const guint8 *data = g_bytes_get_data (bytes, NULL);
  static const guint8 version[] = { 2, 0, 0, 0 }, running[] = { 1, 0, 0, 0 };
  guint32 data_len, cookie_at;

  g_assert_cmpmem (data, 16, "LibvirtQemudSave", 16);
  g_assert_cmpmem (data + 16, 4, version, 4);
  g_assert_cmpmem (data + 24, 4, running, 4);
  memcpy (&data_len, data + 20, 4);
  memcpy (&cookie_at, data + 32, 4);
  g_assert_cmpuint (GUINT32_FROM_LE (data_len), ==, 4096 - 92);
  g_assert_cmpstr ((const char *) data + 92, ==, XML);
  g_assert_cmpstr ((const char *) data + 92 + GUINT32_FROM_LE (cookie_at), ==, COOKIE);
}

static void
test_truncation (void)
{
  g_autoptr(GBytes) bytes = compose (COOKIE, TRUE);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  for (gsize n = 0; n < size; n++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (parse (data, n, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
    }
}

static void
test_bit_flips (void)
{
  g_autoptr(GBytes) bytes = compose (COOKIE, TRUE);
  gsize size = g_bytes_get_size (bytes);
  g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (bytes, NULL), size);
  guint n_refused = 0;

  for (gsize at = 0; at < 92; at++)
    for (guint bit = 0; bit < 8; bit++)
      {
        g_autoptr(GError) error = NULL;
        g_autoptr(PvSaveImage) image = NULL;

        data[at] ^= 1u << bit;
        image = parse (data, size, &error);
        g_assert_true ((image == NULL) == (error != NULL));
        n_refused += image == NULL;
        data[at] ^= 1u << bit;
      }
  g_assert_cmpuint (n_refused, >, 200);
}

/* Sets the 32-bit word @at of a good image to @value. */
static void
assert_refused (guint at, guint32 value, int code, const char *sentence)
{
  g_autoptr(GBytes) bytes = compose (COOKIE, TRUE);
  gsize size = g_bytes_get_size (bytes);
  g_autofree guint8 *data = g_memdup2 (g_bytes_get_data (bytes, NULL), size);
  g_autoptr(GError) error = NULL;

  value = GUINT32_TO_LE (value);
  memcpy (data + at, &value, 4);
  g_assert_null (parse (data, size, &error));
  g_assert_error (error, PV_ERROR, code);
  if (strstr (error->message, sentence) == NULL)
    g_error ("'%s' does not say '%s'", error->message, sentence);
}

static void
test_refused (void)
{
  assert_refused (0, 0x21212121, PV_ERROR_CORRUPT, "not a libvirt save image");
  assert_refused (16, 3, PV_ERROR_UNSUPPORTED, "version 3");
  assert_refused (16, 0, PV_ERROR_UNSUPPORTED, "version 0");
  assert_refused (20, 0, PV_ERROR_CORRUPT, "takes 0 bytes");
  assert_refused (20, PV_SAVE_IMAGE_DATA_MAX + 1, PV_ERROR_CORRUPT, "67108865 bytes");
  assert_refused (20, 0xffffffff, PV_ERROR_CORRUPT, "4294967295 bytes");
  assert_refused (20, 10, PV_ERROR_CORRUPT, "behind the end");
  assert_refused (28, 7, PV_ERROR_UNSUPPORTED, "unknown compression 7");
  assert_refused (32, 4096, PV_ERROR_CORRUPT, "behind the end");
  assert_refused (32, 5, PV_ERROR_CORRUPT, "not terminated");
  assert_refused (92, 0, PV_ERROR_CORRUPT, "empty");
}

static void
test_partial (void)
{
  g_autoptr(GBytes) bytes = compose (COOKIE, FALSE);
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_save_image_probe (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)));
  g_assert_null (pv_save_image_parse (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_nonnull (strstr (error->message, "never completed"));
}

static void
test_too_large (void)
{
  g_autofree char *xml = g_strnfill (40u << 20, 'x');
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_save_image_compose (xml, NULL, TRUE, PV_SAVE_FORMAT_RAW, 1, TRUE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

/* The way an image is written: unfinished, then the stream, then complete. */
static void
test_write (void)
{
  g_autofree char *dir = g_dir_make_tmp ("pagevault-test-XXXXXX", NULL);
  g_autofree char *path = g_build_filename (dir, "image.save", NULL);
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, &error);
  g_auto(PvFd) opened = PV_FD_NONE;
  g_autoptr(PvSaveImage) image = NULL;
  guint64 stream_offset = 0;

  g_assert_true (pv_save_image_header_write (fd, path, XML, NULL, FALSE, PV_SAVE_FORMAT_ZSTD, &stream_offset, &error));
  g_assert_cmpuint (stream_offset, ==, 4096);
  g_assert_null (pv_save_image_open (path, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_true (g_str_has_prefix (error->message, path));
  g_clear_error (&error);
  g_assert_true (pv_save_image_complete (fd, path, &error));
  image = pv_save_image_open (path, &opened, &error);
  g_assert_no_error (error);
  g_assert_cmpint (opened, >=, 0);
  g_assert_cmpstr (image->xml, ==, XML);
  g_assert_null (image->cookie);
  g_assert_false (image->was_running);
  g_assert_cmpstr (pv_save_format_name (image->format), ==, "zstd");
  g_assert_null (pv_save_image_open ("/nonexistent/image", NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_true (pv_remove_tree (dir, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/save-image/compose", NULL, test_compose);
  g_test_add_data_func ("/save-image/compose-cookie", COOKIE, test_compose);
  g_test_add_func ("/save-image/bytes", test_bytes);
  g_test_add_func ("/save-image/truncation", test_truncation);
  g_test_add_func ("/save-image/bit-flips", test_bit_flips);
  g_test_add_func ("/save-image/refused", test_refused);
  g_test_add_func ("/save-image/partial", test_partial);
  g_test_add_func ("/save-image/too-large", test_too_large);
  g_test_add_func ("/save-image/write", test_write);
  return g_test_run ();
}
