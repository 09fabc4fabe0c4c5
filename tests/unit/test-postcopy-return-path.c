/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/postcopy-return-path.h"

#include <string.h>

#include "util/cursor.h"
#include "util/error.h"

/* (transfer full) */
static GByteArray *
make_message (guint16 type, const GByteArray *body)
{
  GByteArray *out = g_byte_array_new ();

  pv_append_be16 (out, type);
  pv_append_be16 (out, (guint16) body->len);
  g_byte_array_append (out, body->data, body->len);
  return out;
}

/* (transfer full): a request; @name: (nullable). */
static GByteArray *
make_request (guint64 offset, guint32 size, const char *name)
{
  g_autoptr(GByteArray) body = g_byte_array_new ();

  pv_append_be64 (body, offset);
  pv_append_be32 (body, size);
  if (name != NULL)
    {
      pv_append_u8 (body, (guint8) strlen (name));
      g_byte_array_append (body, (const guint8 *) name, (guint) strlen (name));
    }
  return make_message (name != NULL ? 3 : 4, body);
}

static void
refuse (const GByteArray *bytes)
{
  g_autoptr(GError) error = NULL;
  PvReturnMessage message;
  gsize used;

  g_assert_false (pv_return_message_parse (bytes->data, bytes->len, &message, &used, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

static void
test_requests (void)
{
  g_autoptr(GByteArray) named = make_request (8192, 4096, "pc.ram");
  g_autoptr(GByteArray) same = make_request (12288, 4096, NULL);
  g_autoptr(GError) error = NULL;
  PvReturnMessage message;
  gsize used;

  g_assert_true (pv_return_message_parse (named->data, named->len, &message, &used, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (used, ==, named->len);
  g_assert_cmpint (message.type, ==, PV_RETURN_PAGES);
  g_assert_cmpuint (message.offset, ==, 8192);
  g_assert_cmpuint (message.size, ==, 4096);
  g_assert_cmpstr (message.name, ==, "pc.ram");
  g_assert_true (pv_return_message_parse (same->data, same->len, &message, &used, &error));
  g_assert_cmpstr (message.name, ==, "");
  g_assert_cmpuint (message.offset, ==, 12288);
}

static void
test_pieces (void)
{
  g_autoptr(GByteArray) whole = make_request (0, 4096, "pc.ram");
  PvReturnMessage message;
  gsize used;

  for (guint size = 0; size < whole->len; size++)
    {
      g_assert_true (pv_return_message_parse (whole->data, size, &message, &used, NULL));
      g_assert_cmpuint (used, ==, 0);
    }
}

static void
test_wrong (void)
{
  g_autoptr(GByteArray) nothing = make_request (0, 0, NULL);
  g_autoptr(GByteArray) unnamed = make_request (0, 4096, "");
  g_autoptr(GByteArray) body = g_byte_array_new ();
  g_autoptr(GByteArray) unknown = make_message (99, body);
  g_autoptr(GByteArray) short_pong = make_message (2, body);
  guint8 huge[] = { 0, 3, 0xff, 0xff };
  g_autoptr(GByteArray) too_long = g_byte_array_append (g_byte_array_new (), huge, sizeof huge);

  refuse (nothing);
  refuse (unnamed);
  refuse (unknown);
  refuse (short_pong);
  refuse (too_long);
}

static void
test_bitmap (void)
{
  g_autoptr(GByteArray) out = g_byte_array_new ();
  g_autoptr(GError) error = NULL;
  const guint8 *bits;

  pv_append_be64 (out, 8);
  pv_append_le64 (out, 5);
  pv_append_be64 (out, G_GUINT64_CONSTANT (0x0123456789abcdef));
  g_assert_cmpuint (pv_return_bitmap_size (3), ==, out->len);
  bits = pv_return_bitmap_parse (out->data, out->len, 3, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (bits[0], ==, 5);
  g_assert_null (pv_return_bitmap_parse (out->data, out->len, 65, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_clear_error (&error);
  out->data[out->len - 1] ^= 1;
  g_assert_null (pv_return_bitmap_parse (out->data, out->len, 3, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/postcopy-return-path/requests", test_requests);
  g_test_add_func ("/postcopy-return-path/pieces", test_pieces);
  g_test_add_func ("/postcopy-return-path/wrong", test_wrong);
  g_test_add_func ("/postcopy-return-path/bitmap", test_bitmap);
  return g_test_run ();
}
