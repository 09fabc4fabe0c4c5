/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/compress.h"

#include <string.h>

#include "util/error.h"

/* Text that repeats itself, of @size bytes. */
static guint8 *
make_text (gsize size)
{
  static const char words[] = "<disk type='file' device='disk'><target dev='vda' bus='virtio'/></disk>\n";
  guint8 *text = g_malloc (size);

  for (gsize i = 0; i < size; i++)
    text[i] = (guint8) words[i % (sizeof words - 1)];
  return text;
}

static void
test_round_trip (void)
{
  static const gsize sizes[] = { 200, 5000, 1 << 20 };

  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree guint8 *text = make_text (sizes[i]);
      g_autoptr(GByteArray) out = g_byte_array_new ();
      g_autoptr(GBytes) back = NULL;
      g_autoptr(GError) error = NULL;

      g_byte_array_append (out, (const guint8 *) "before", 6);
      g_assert_true (pv_compress (text, sizes[i], out));
      g_assert_cmpuint (out->len, <, sizes[i]);
      g_assert_cmpint (memcmp (out->data, "before", 6), ==, 0);
      back = pv_decompress (out->data + 6, out->len - 6, sizes[i], &error);
      g_assert_no_error (error);
      g_assert_cmpmem (g_bytes_get_data (back, NULL), g_bytes_get_size (back), text, sizes[i]);
    }
}

/* What would grow is left alone. */
static void
test_noise (void)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (1);
  guint8 noise[1000];
  g_autoptr(GByteArray) out = g_byte_array_new ();

  for (guint i = 0; i < sizeof noise; i++)
    noise[i] = (guint8) g_rand_int (random);
  g_byte_array_append (out, (const guint8 *) "before", 6);
  g_assert_false (pv_compress (noise, sizeof noise, out));
  g_assert_cmpuint (out->len, ==, 6);
  g_assert_false (pv_compress (noise, 0, out));
}

/* Another size, a part, something behind it, a flipped bit: refused, or at least never more than was asked for. */
static void
test_damage (void)
{
  const gsize size = 5000;
  g_autofree guint8 *text = make_text (size);
  g_autoptr(GByteArray) out = g_byte_array_new ();
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_compress (text, size, out));
  g_assert_null (pv_decompress (out->data, out->len, size + 1, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  for (guint i = 0; i < out->len; i++)
    {
      g_autoptr(GBytes) flipped = NULL;

      g_clear_error (&error);
      g_assert_null (pv_decompress (out->data, i, size, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      out->data[i] ^= 4;
      flipped = pv_decompress (out->data, out->len, size, NULL);
      out->data[i] ^= 4;
      g_assert_true (flipped == NULL || g_bytes_get_size (flipped) == size);
    }
  g_clear_error (&error);
  g_byte_array_append (out, (const guint8 *) "x", 1);
  g_assert_null (pv_decompress (out->data, out->len, size, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/compress/round-trip", test_round_trip);
  g_test_add_func ("/compress/noise", test_noise);
  g_test_add_func ("/compress/damage", test_damage);
  return g_test_run ();
}
