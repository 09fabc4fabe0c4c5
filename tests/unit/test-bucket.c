/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/bucket.h"

#include "index-fixture.h"

static void
test_layout (void)
{
  PvIndexEntry entry = { make_name (1), { 0xfedcba98, 0xabcde, 0xf0 } };
  PvIndexEntry back;
  guint8 data[PV_ENTRY_SIZE];
  static const guint8 location[8] = { 0xf0, 0xde, 0xbc, 0x8a, 0xa9, 0xcb, 0xed, 0x0f };

  pv_bucket_put (data, &entry);
  g_assert_cmpmem (data, 32, entry.name.bytes, 32);
  g_assert_cmpmem (data + 32, 8, location, 8);
  pv_bucket_get (data, &back);
  g_assert_cmpint (pv_index_entry_compare (&entry, &back), ==, 0);
}

/* Each prefix lies in the bucket whose range it is in, whatever the number of buckets. */
static void
test_ranges (void)
{
  static const guint32 counts[] = { 1, 2, 3, 7, 1000, 65536, 1190476, G_MAXUINT32 };

  for (guint i = 0; i < G_N_ELEMENTS (counts); i++)
    {
      guint32 n = counts[i];

      g_assert_cmpuint (pv_bucket_first_prefix (0, n), ==, 0);
      g_assert_cmpuint (pv_bucket_first_prefix (n, n), ==, G_GUINT64_CONSTANT (1) << 32);
      for (guint j = 0; j < 1000; j++)
        {
          PvName name = make_name (j);
          guint32 prefix = pv_name_prefix (&name);
          guint32 bucket = pv_bucket_of (prefix, n);

          g_assert_cmpuint (bucket, <, n);
          g_assert_cmpuint (pv_bucket_first_prefix (bucket, n), <=, prefix);
          g_assert_cmpuint (pv_bucket_first_prefix (bucket + 1, n), >, prefix);
        }
    }
}

static void
test_find (void)
{
  guint8 data[100 * PV_ENTRY_SIZE];
  PvIndexEntry entries[100];

  for (guint i = 0; i < 100; i++)
    entries[i] = (PvIndexEntry) { make_name (i / 2), { 1 + i % 2, 0, 0 } }; /* two copies of each */
  qsort (entries, 100, sizeof *entries, pv_index_entry_compare);
  for (guint i = 0; i < 100; i++)
    pv_bucket_put (data + i * PV_ENTRY_SIZE, &entries[i]);
  for (guint i = 0; i < 100; i++)
    g_assert_cmpuint (pv_bucket_find (data, 100, &entries[i].name), ==, i & ~1u);
  g_assert_cmpuint (pv_bucket_find (data, 0, &entries[0].name), ==, 0);
  for (guint i = 50; i < 100; i++)
    {
      PvName name = make_name (i);
      guint at = pv_bucket_find (data, 100, &name);

      g_assert_true (at == 0 || memcmp (entries[at - 1].name.bytes, name.bytes, 32) < 0);
      g_assert_true (at == 100 || memcmp (entries[at].name.bytes, name.bytes, 32) > 0);
    }
}

static void
assert_bad (const guint8 *data, gsize size, guint32 bucket, guint32 n_buckets)
{
  g_autoptr(GError) error = NULL;

  g_assert_false (pv_bucket_check (data, size, bucket, n_buckets, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

static void
test_check (void)
{
  guint8 data[3 * PV_ENTRY_SIZE];
  PvIndexEntry entries[3] = {
    { make_name (0), { 1, 2, 3 } },
    { make_name (0), { 1, 2, 4 } },
    { make_name (0), { 2, 0, 0 } },
  };
  guint32 bucket = pv_bucket_of (pv_name_prefix (&entries[0].name), 100);

  for (guint i = 0; i < 3; i++)
    pv_bucket_put (data + i * PV_ENTRY_SIZE, &entries[i]);
  g_assert_true (pv_bucket_check (data, sizeof data, bucket, 100, NULL));
  g_assert_true (pv_bucket_check (data, 0, 5, 100, NULL));
  assert_bad (data, sizeof data - 1, bucket, 100);
  assert_bad (data, sizeof data, (bucket + 1) % 100, 100);
  pv_bucket_put (data + PV_ENTRY_SIZE, &entries[2]);
  assert_bad (data, sizeof data, bucket, 100); /* twice the same */
  pv_bucket_put (data + 2 * PV_ENTRY_SIZE, &entries[1]);
  assert_bad (data, sizeof data, bucket, 100); /* out of order */
  data[PV_ENTRY_SIZE - 1] |= 0x10;
  assert_bad (data, PV_ENTRY_SIZE, bucket, 100); /* a reserved bit */
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/bucket/layout", test_layout);
  g_test_add_func ("/bucket/ranges", test_ranges);
  g_test_add_func ("/bucket/find", test_find);
  g_test_add_func ("/bucket/check", test_check);
  return g_test_run ();
}
