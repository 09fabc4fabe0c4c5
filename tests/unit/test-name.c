/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/name.h"

#include "util/error.h"

static void
assert_hex (const PvName *name, const char *expected)
{
  g_autofree char *hex = pv_name_to_hex (name);

  g_assert_cmpstr (hex, ==, expected);
}

static void
fill (guint8 *data, gsize size, guint32 seed)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (seed);

  for (gsize i = 0; i < size; i++)
    data[i] = (guint8) g_rand_int (random);
}

/* The reference is GLib's own SHA-256. */
static void
test_chunk_is_sha256 (void)
{
  g_autoptr(PvNamer) namer = pv_namer_new (NULL);

  for (guint32 seed = 0; seed < 20; seed++)
    {
      g_autofree char *expected = NULL;
      guint8 data[PV_CHUNK_SIZE];
      PvName name, digest;

      fill (data, sizeof data, seed);
      expected = g_compute_checksum_for_data (G_CHECKSUM_SHA256, data, sizeof data);
      pv_namer_chunk (namer, data, &name);
      assert_hex (&name, expected);
      pv_digest (data, sizeof data, &digest);
      g_assert_true (pv_name_equal (&name, &digest));
    }
}

static void
test_digest_known_answers (void)
{
  PvName name;

  pv_digest ("", 0, &name);
  assert_hex (&name, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  pv_digest ("abc", 3, &name);
  assert_hex (&name, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void
test_keyed_is_hmac (void)
{
  guint8 key[PV_NAME_KEY_SIZE], data[PV_CHUNK_SIZE];
  g_autoptr(PvNamer) keyed = NULL;
  g_autoptr(PvNamer) plain = pv_namer_new (NULL);
  PvName name, plain_name;

  fill (key, sizeof key, 7);
  keyed = pv_namer_new (key);
  for (guint32 seed = 0; seed < 20; seed++)
    {
      g_autofree char *expected = NULL;

      fill (data, sizeof data, seed);
      expected = g_compute_hmac_for_data (G_CHECKSUM_SHA256, key, sizeof key, data, sizeof data);
      pv_namer_chunk (keyed, data, &name);
      assert_hex (&name, expected);
      pv_namer_chunk (plain, data, &plain_name);
      g_assert_false (pv_name_equal (&name, &plain_name));
    }
}

static void
test_node_prefix (void)
{
  guint8 key[PV_NAME_KEY_SIZE] = { 1, 2, 3 };
  g_autoptr(PvNamer) plain = pv_namer_new (NULL);
  g_autoptr(PvNamer) keyed = pv_namer_new (key);
  PvName entries[3], name;

  fill (entries[0].bytes, sizeof entries, 1);
  for (guint level = 0; level <= PV_NODE_LEVEL_MAX; level++)
    {
      guint8 bytes[16 + sizeof entries] = "pagevault-node";
      g_autofree char *expected = NULL, *expected_keyed = NULL;

      bytes[15] = (guint8) level;
      memcpy (bytes + 16, entries, sizeof entries);
      expected = g_compute_checksum_for_data (G_CHECKSUM_SHA256, bytes, sizeof bytes);
      pv_namer_node (plain, level, entries, 3, &name);
      assert_hex (&name, expected);
      expected_keyed = g_compute_hmac_for_data (G_CHECKSUM_SHA256, key, sizeof key, bytes, sizeof bytes);
      pv_namer_node (keyed, level, entries, 3, &name);
      assert_hex (&name, expected_keyed);
    }
}

static void
test_zero_names (void)
{
  static const guint8 zeros[PV_CHUNK_SIZE];
  static const PvName no_entries[PV_NODE_FANOUT];
  guint8 key[PV_NAME_KEY_SIZE] = { 9 };

  for (guint keyed = 0; keyed < 2; keyed++)
    {
      g_autoptr(PvNamer) namer = pv_namer_new (keyed ? key : NULL);
      guint8 almost[PV_CHUNK_SIZE] = { 0 };
      PvName name;

      memset (&name, 1, sizeof name);
      pv_namer_chunk (namer, zeros, &name);
      g_assert_true (pv_name_is_zero (&name));
      memset (&name, 1, sizeof name);
      pv_namer_node (namer, 1, no_entries, PV_NODE_FANOUT, &name);
      g_assert_true (pv_name_is_zero (&name));
      almost[PV_CHUNK_SIZE - 1] = 1;
      pv_namer_chunk (namer, almost, &name);
      g_assert_false (pv_name_is_zero (&name));
    }
}

/* One set byte at every place, at several alignments and lengths. */
static void
test_is_zero (void)
{
  guint8 area[640] = { 0 };

  g_assert_true (pv_is_zero (area, 0));
  for (guint start = 0; start < 17; start++)
    for (guint size = 1; size < 600; size += 1 + size / 8)
      {
        g_assert_true (pv_is_zero (area + start, size));
        for (guint at = 0; at < size; at++)
          {
            area[start + at] = (guint8) (1u << (at % 8));
            g_assert_false (pv_is_zero (area + start, size));
            area[start + at] = 0;
          }
        /* Its neighbours do not count. */
        area[start + size] = 0xff;
        if (start > 0)
          area[start - 1] = 0xff;
        g_assert_true (pv_is_zero (area + start, size));
        area[start + size] = 0;
        if (start > 0)
          area[start - 1] = 0;
      }
}

static void
test_hex (void)
{
  static const char *const bad[] = {
    "", "0", "zz",
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a",   /* one digit short */
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015add", /* one too many */
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ag",
    "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015a ",
    "../816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
  };
  g_autoptr(GError) error = NULL;
  PvName name, again;

  pv_digest ("abc", 3, &name);
  g_assert_true (pv_name_from_hex ("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", &again, &error));
  g_assert_no_error (error);
  g_assert_true (pv_name_equal (&name, &again));
  g_assert_true (pv_name_equal_func (&name, &again));
  g_assert_cmpuint (pv_name_hash (&name), ==, pv_name_hash (&again));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    {
      g_autoptr(GError) bad_error = NULL;

      again = name;
      g_assert_false (pv_name_from_hex (bad[i], &again, &bad_error));
      g_assert_error (bad_error, PV_ERROR, PV_ERROR_INVALID);
      g_assert_true (pv_name_equal (&name, &again));
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/name/chunk-is-sha256", test_chunk_is_sha256);
  g_test_add_func ("/name/digest-known-answers", test_digest_known_answers);
  g_test_add_func ("/name/keyed-is-hmac", test_keyed_is_hmac);
  g_test_add_func ("/name/node-prefix", test_node_prefix);
  g_test_add_func ("/name/zero-names", test_zero_names);
  g_test_add_func ("/name/is-zero", test_is_zero);
  g_test_add_func ("/name/hex", test_hex);
  return g_test_run ();
}
