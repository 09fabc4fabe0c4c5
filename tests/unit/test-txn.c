/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/txn.h"

#include "chunk/name.h"
#include "store-fixture.h"

static void
assert_stats (const PvTxnStats *stats, guint64 scanned, guint64 zero, guint64 known, guint64 fresh)
{
  g_assert_cmpuint (stats->scanned_bytes, ==, scanned);
  g_assert_cmpuint (stats->zero_bytes, ==, zero);
  g_assert_cmpuint (stats->known_bytes, ==, known);
  g_assert_cmpuint (stats->new_bytes, ==, fresh);
}

/* Random bytes, a hole, a duplicate page, an end that is no whole chunk. */
static void
test_round_trip (Fixture *f, gconstpointer user_data)
{
  const gsize size = 5 * MIB + 1234;
  g_autofree guint8 *data = g_malloc (size);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvSnapshot) found = NULL;
  g_autoptr(GPtrArray) list = NULL;
  g_autoptr(GError) error = NULL;
  PvTxnStats stats;

  fill_random (data, size, 1);
  memset (data + MIB, 0, 2 * MIB);
  memcpy (data + 4 * MIB, data, PV_CHUNK_SIZE);
  snapshot = take (f, "a", NULL, data, size, &stats);
  assert_stats (&stats, size, 2 * MIB, PV_CHUNK_SIZE, size - 2 * MIB - PV_CHUNK_SIZE);
  g_assert_cmpuint (stats.stored_bytes, >, 3 * MIB);
  g_assert_cmpuint (stats.stored_bytes, <, 3 * MIB + 200000);
  assert_content (f->store, snapshot, PV_VOLUME_RAM, "ram", data, size);

  fixture_open (f);
  list = pv_store_list (f->store, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (list->len, ==, 1);
  found = pv_store_lookup (f->store, "guest", "a", &error);
  g_assert_no_error (error);
  g_assert_true (pv_name_equal (pv_snapshot_id (found), pv_snapshot_id (snapshot)));
  g_assert_cmpuint (pv_snapshot_stored_size (found), ==, pv_snapshot_stored_size (snapshot));
  assert_content (f->store, found, PV_VOLUME_RAM, "ram", data, size);
}

static void
test_empty_volumes (Fixture *f, gconstpointer user_data)
{
  static const guint8 zeros[3 * MIB];
  g_autoptr(PvTxn) txn = begin (f, NULL, 1);
  PvVolumeWriter *nothing = add_volume (txn, PV_VOLUME_DISK, "nothing", 0);
  PvVolumeWriter *hole = add_volume (txn, PV_VOLUME_DISK, "hole", 3 * MIB);
  PvVolumeWriter *huge = add_volume (txn, PV_VOLUME_DISK, "huge", 1ull << 40);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(PvVolumeReader) reader = NULL;
  guint8 page[PV_CHUNK_SIZE];
  guint64 length;
  gboolean zero;
  PvTxnStats stats;

  finish (nothing);
  g_assert_true (pv_volume_writer_zero (hole, 0, 3 * MIB, &error));
  write_all (hole, zeros, MIB);
  finish (hole);
  fill_random (page, sizeof page, 7);
  g_assert_true (pv_volume_writer_write (huge, (1ull << 40) - PV_CHUNK_SIZE, page, sizeof page, &error));
  finish (huge);
  snapshot = commit (txn, "guest", "a");
  pv_txn_stats (txn, &stats);
  assert_stats (&stats, 4 * MIB + PV_CHUNK_SIZE, 4 * MIB, 0, PV_CHUNK_SIZE);
  g_assert_true (pv_name_is_zero (&pv_snapshot_find_volume (snapshot, PV_VOLUME_DISK, "hole")->root));
  assert_content (f->store, snapshot, PV_VOLUME_DISK, "hole", zeros, 3 * MIB);
  assert_content (f->store, snapshot, PV_VOLUME_DISK, "nothing", zeros, 0);
  reader = open_volume (f->store, snapshot, PV_VOLUME_DISK, "huge");
  g_assert_true (pv_volume_reader_extent (reader, 0, &length, &zero, &error));
  g_assert_true (zero);
  g_assert_cmpuint (length, ==, (1ull << 40) - PV_CHUNK_SIZE);
  g_assert_true (pv_volume_reader_extent (reader, length, &length, &zero, &error));
  g_assert_false (zero);
  g_assert_cmpuint (length, ==, PV_CHUNK_SIZE);
}

/* Known against the base, known anywhere, and a change of one page in 64 MiB costs next to nothing. */
static void
test_second (Fixture *f, gconstpointer user_data)
{
  const gsize size = 64 * MIB;
  g_autofree guint8 *data = g_malloc (size);
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(PvSnapshot) b = NULL;
  g_autoptr(PvSnapshot) c = NULL;
  g_autoptr(PvSnapshot) d = NULL;
  PvTxnStats stats;

  fill_random (data, size, 2);
  a = take (f, "a", NULL, data, size, &stats);
  assert_stats (&stats, size, 0, 0, size);

  b = take (f, "b", a, data, size, &stats);
  assert_stats (&stats, size, 0, size, 0);
  g_assert_cmpuint (stats.stored_bytes, ==, 0);

  fill_random (data + 33 * MIB, PV_CHUNK_SIZE, 3);
  c = take (f, "c", b, data, size, &stats);
  assert_stats (&stats, size, 0, size - PV_CHUNK_SIZE, PV_CHUNK_SIZE);
  g_assert_cmpuint (pv_snapshot_stored_size (c), <, 8192);
  assert_content (f->store, c, PV_VOLUME_RAM, "ram", data, size);

  fill_random (data + 33 * MIB + PV_CHUNK_SIZE, PV_CHUNK_SIZE, 4); /* a delta of a delta becomes one delta */
  d = take (f, "d", c, data, size, &stats);
  g_assert_cmpuint (pv_snapshot_stored_size (d), <, 8192);
  fixture_open (f);
  assert_content (f->store, d, PV_VOLUME_RAM, "ram", data, size);

  g_clear_pointer (&d, pv_snapshot_unref);
  d = take (f, "without-base", NULL, data, size, &stats);
  assert_stats (&stats, size, 0, size, 0);
  g_assert_cmpuint (stats.stored_bytes, ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/txn/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  ADD ("round-trip", test_round_trip);
  ADD ("empty-volumes", test_empty_volumes);
  ADD ("second", test_second);
  return g_test_run ();
}
