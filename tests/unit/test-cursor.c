/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/cursor.h"

#include "util/error.h"

static void
test_read (void)
{
  static const guint8 data[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e,
                                 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16, 0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c,
                                 0x1d, 'x', 'y', 'z' };
  PvCursor cursor = PV_CURSOR_INIT (data, sizeof data);
  guint8 copy[2];

  g_assert_cmphex (pv_cursor_u8 (&cursor), ==, 0x01);
  g_assert_cmphex (pv_cursor_le16 (&cursor), ==, 0x0302);
  g_assert_cmphex (pv_cursor_le32 (&cursor), ==, 0x07060504);
  g_assert_cmphex (pv_cursor_le64 (&cursor), ==, G_GUINT64_CONSTANT (0x0f0e0d0c0b0a0908));
  g_assert_cmphex (pv_cursor_be16 (&cursor), ==, 0x1011);
  g_assert_cmphex (pv_cursor_be32 (&cursor), ==, 0x12131415);
  g_assert_cmphex (pv_cursor_be64 (&cursor), ==, G_GUINT64_CONSTANT (0x161718191a1b1c1d));
  g_assert_cmpuint (pv_cursor_left (&cursor), ==, 3);
  pv_cursor_copy (&cursor, copy, 2);
  g_assert_cmpmem (copy, 2, "xy", 2);
  g_assert_true (pv_cursor_bytes (&cursor, 1) == data + sizeof data - 1);
  g_assert_true (pv_cursor_end (&cursor, NULL));
}

/* Once past the end, everything is zero and stays so, even what would have fitted. */
static void
test_overrun_latches (void)
{
  static const guint8 data[] = { 1, 2, 3 };
  PvCursor cursor = PV_CURSOR_INIT (data, sizeof data);
  g_autoptr(GError) error = NULL, end_error = NULL;
  guint8 copy[4] = { 9, 9, 9, 9 };

  g_assert_cmphex (pv_cursor_le32 (&cursor), ==, 0);
  g_assert_cmpuint (pv_cursor_u8 (&cursor), ==, 0);
  g_assert_cmpuint (pv_cursor_left (&cursor), ==, 0);
  g_assert_null (pv_cursor_bytes (&cursor, 0));
  pv_cursor_copy (&cursor, copy, sizeof copy);
  g_assert_cmpmem (copy, 4, "\0\0\0\0", 4);
  g_assert_false (pv_cursor_ok (&cursor, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_false (pv_cursor_end (&cursor, &end_error));
  g_assert_error (end_error, PV_ERROR, PV_ERROR_CORRUPT);
}

static void
test_huge_size (void)
{
  static const guint8 data[16];
  PvCursor cursor = PV_CURSOR_INIT (data, sizeof data);

  pv_cursor_le64 (&cursor);
  g_assert_null (pv_cursor_bytes (&cursor, G_MAXSIZE));
  g_assert_false (pv_cursor_ok (&cursor, NULL));
}

static void
test_left_over (void)
{
  static const guint8 data[2];
  PvCursor cursor = PV_CURSOR_INIT (data, sizeof data);
  g_autoptr(GError) error = NULL;

  pv_cursor_u8 (&cursor);
  g_assert_true (pv_cursor_ok (&cursor, NULL));
  g_assert_false (pv_cursor_end (&cursor, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

static void
test_empty (void)
{
  PvCursor cursor = PV_CURSOR_INIT (NULL, 0);

  g_assert_true (pv_cursor_end (&cursor, NULL));
  g_assert_cmpuint (pv_cursor_u8 (&cursor), ==, 0);
  g_assert_false (pv_cursor_end (&cursor, NULL));
}

static void
test_append (void)
{
  static const guint8 expected[] = { 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0a, 0x0b,
                                     0x0c, 0x0d, 0x0e, 0x0f, 0x10, 0x11, 0x12, 0x13, 0x14, 0x15, 0x16,
                                     0x17, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0,    0,    0 };
  g_autoptr(GByteArray) out = g_byte_array_new ();

  pv_append_u8 (out, 0x01);
  pv_append_le16 (out, 0x0302);
  pv_append_le32 (out, 0x07060504);
  pv_append_le64 (out, G_GUINT64_CONSTANT (0x0f0e0d0c0b0a0908));
  pv_append_be16 (out, 0x1011);
  pv_append_be32 (out, 0x12131415);
  pv_append_be64 (out, G_GUINT64_CONSTANT (0x161718191a1b1c1d));
  pv_append_zeros (out, 3);
  g_assert_cmpmem (out->data, out->len, expected, sizeof expected);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/cursor/read", test_read);
  g_test_add_func ("/cursor/overrun-latches", test_overrun_latches);
  g_test_add_func ("/cursor/huge-size", test_huge_size);
  g_test_add_func ("/cursor/left-over", test_left_over);
  g_test_add_func ("/cursor/empty", test_empty);
  g_test_add_func ("/cursor/append", test_append);
  return g_test_run ();
}
