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

/* --- order -------------------------------------------------------------------------------------------------------- */

enum
{
  ORDER_CHUNKS = 2000, /* about four leaves */
  ORDER_STEPS = 40000,
};

/* One of write, zero, keep on a random range; @model follows. */
static void
random_step (PvVolumeWriter *volume, GRand *rand, guint8 *model, const guint8 *base, const guint8 *pages)
{
  guint64 first = (guint64) g_rand_int_range (rand, 0, ORDER_CHUNKS);
  guint64 most = g_rand_int_range (rand, 0, 50) == 0 ? 600 : 5;
  guint64 n = (guint64) g_rand_int_range (rand, 1, (gint) MIN (ORDER_CHUNKS - first, most) + 1);
  guint64 offset = first * PV_CHUNK_SIZE;
  gsize size = (gsize) n * PV_CHUNK_SIZE;
  g_autoptr(GError) error = NULL;
  const guint8 *from;

  if (g_rand_int_range (rand, 0, 4) == 0) /* pages that are written over and over */
    offset = 0, size = MIN (size, 4 * PV_CHUNK_SIZE);
  switch (g_rand_int_range (rand, 0, 8))
    {
    case 0:
      g_assert_true (pv_volume_writer_zero (volume, offset, size, &error));
      memset (model + offset, 0, size);
      break;
    case 1:
      g_assert_true (pv_volume_writer_keep (volume, offset, size, &error));
      memcpy (model + offset, base + offset, size);
      break;
    default:
      from = pages + (gsize) g_rand_int_range (rand, 0, ORDER_CHUNKS) * PV_CHUNK_SIZE;
      pv_volume_writer_write (volume, offset, from, size, &error);
      g_assert_no_error (error);
      memcpy (model + offset, from, size);
    }
  g_assert_no_error (error);
}

/* The last write, zero or keep wins, whatever the threads do meanwhile. */
static void
test_order (Fixture *f, gconstpointer user_data)
{
  const gsize size = (gsize) ORDER_CHUNKS * PV_CHUNK_SIZE;
  g_autoptr(GRand) rand = g_rand_new_with_seed ((guint32) g_test_rand_int ());
  g_autofree guint8 *pages = g_malloc (2 * size);
  g_autofree guint8 *base_data = g_malloc (size);
  g_autofree guint8 *model = g_malloc0 (size);
  g_autoptr(PvSnapshot) base = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;

  fill_random (pages, 2 * size, 5);
  fill_random (base_data, size, 6);
  memset (base_data + size / 2, 0, size / 8);
  base = take (f, "base", NULL, base_data, size, NULL);
  {
    g_autoptr(PvTxn) txn = begin (f, base, 6);
    PvVolumeWriter *volume = add_volume (txn, PV_VOLUME_RAM, "ram", size);

    for (guint i = 0; i < ORDER_STEPS; i++)
      random_step (volume, rand, model, base_data, pages);
    finish (volume);
    snapshot = commit (txn, "guest", "order");
  }
  assert_content (f->store, snapshot, PV_VOLUME_RAM, "ram", model, size);
}

/* --- several at once ---------------------------------------------------------------------------------------------- */

typedef struct
{
  PvVolumeWriter *volume;
  const guint8 *data;
  gsize size;
} Part;

static gpointer
write_part (gpointer data)
{
  Part *part = data;

  for (gsize done = 0; done < part->size; done += PV_CHUNK_SIZE)
    {
      g_autoptr(GError) error = NULL;

      g_assert_true (pv_volume_writer_write (part->volume, done, part->data + done, PV_CHUNK_SIZE, &error));
    }
  finish (part->volume);
  return NULL;
}

/* Volumes with the same content, written by as many threads: everything is stored once. */
static void
test_several (Fixture *f, gconstpointer user_data)
{
  enum { N = 4 };
  const gsize size = 6 * MIB;
  g_autofree guint8 *data = g_malloc (size);
  g_autoptr(PvTxn) txn = begin (f, NULL, 4);
  g_autoptr(PvSnapshot) snapshot = NULL;
  GThread *threads[N];
  Part parts[N];
  PvTxnStats stats;

  fill_random (data, size, 8);
  for (guint i = 0; i < N; i++)
    {
      g_autofree char *name = g_strdup_printf ("disk%u", i);

      parts[i] = (Part){ add_volume (txn, PV_VOLUME_DISK, name, size), data, size };
    }
  for (guint i = 0; i < N; i++)
    threads[i] = g_thread_new ("part", write_part, &parts[i]);
  for (guint i = 0; i < N; i++)
    g_thread_join (threads[i]);
  snapshot = commit (txn, "guest", "several");
  pv_txn_stats (txn, &stats);
  assert_stats (&stats, N * size, 0, (N - 1) * size, size);
  g_assert_cmpuint (stats.stored_bytes, <, size + 300000);
  for (guint i = 0; i < N; i++)
    {
      g_autofree char *name = g_strdup_printf ("disk%u", i);

      assert_content (f->store, snapshot, PV_VOLUME_DISK, name, data, size);
    }
}

/* Buffer of one batch, one thread, more than a pack of content: everything waits for everything else, and nothing for
 * ever. */
static void
test_small_buffer (Fixture *f, gconstpointer user_data)
{
  const gsize size = 140 * MIB;
  g_autofree guint8 *data = g_malloc (size);
  PvTxnOptions options = { .n_threads = 1, .buffer = 1 };
  g_autoptr(GError) error = NULL;
  g_autoptr(PvTxn) txn = pv_store_begin (f->store, &options, &error);
  g_autoptr(PvSnapshot) snapshot = NULL;
  PvVolumeWriter *volume;
  PvStoreStat stat;
  PvTxnStats stats;

  fill_random (data, size, 9);
  memcpy (data + 100 * MIB, data, 20 * MIB); /* known from a pack that is sealed by then */
  volume = add_volume (txn, PV_VOLUME_RAM, "ram", size);
  write_all (volume, data, size);
  finish (volume);
  snapshot = commit (txn, "guest", "a");
  pv_txn_stats (txn, &stats);
  assert_stats (&stats, size, 0, 20 * MIB, 120 * MIB);
  g_assert_true (pv_store_stat (f->store, &stat, &error));
  g_assert_cmpuint (stat.n_snapshots, ==, 1);
  g_assert_cmpuint (stat.n_packs, ==, 2);
  g_assert_cmpuint (stat.logical_bytes, ==, size);
  g_assert_cmpuint (stat.stored_bytes, >, 120 * MIB);
  assert_content (f->store, snapshot, PV_VOLUME_RAM, "ram", data, size);
}

/* --- keep --------------------------------------------------------------------------------------------------------- */

/* Everything kept: not a byte is stored but the snapshot object; sizes may differ from the base's. */
static void
test_keep (Fixture *f, gconstpointer user_data)
{
  const gsize size = 9 * MIB;
  g_autofree guint8 *data = g_malloc0 (size + MIB);
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(PvSnapshot) same = NULL;
  g_autoptr(PvSnapshot) shorter = NULL;
  g_autoptr(PvSnapshot) longer = NULL;
  const gsize sizes[] = { size, 5 * MIB + 4097, size + MIB };
  PvSnapshot **snapshots[] = { &same, &shorter, &longer };
  g_autoptr(GError) error = NULL;

  fill_random (data, size, 10);
  a = take (f, "a", NULL, data, size, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (sizes); i++)
    {
      g_autofree char *name = g_strdup_printf ("keep%u", i);
      g_autoptr(PvTxn) txn = begin (f, a, 2);
      PvVolumeWriter *volume = add_volume (txn, PV_VOLUME_RAM, "ram", sizes[i]);
      PvVolumeWriter *other = add_volume (txn, PV_VOLUME_RAM, "other", MIB);
      PvTxnStats stats;

      g_assert_true (pv_volume_writer_keep (volume, 0, MIN (sizes[i], size), &error));
      g_assert_no_error (error);
      g_assert_false (pv_volume_writer_keep (other, 0, MIB, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
      g_clear_error (&error);
      finish (volume);
      finish (other);
      *snapshots[i] = commit (txn, "guest", name);
      pv_txn_stats (txn, &stats);
      g_assert_cmpuint (stats.scanned_bytes, ==, 0);
      if (i == 0)
        g_assert_cmpuint (stats.stored_bytes, ==, 0);
      assert_content (f->store, *snapshots[i], PV_VOLUME_RAM, "ram", data, sizes[i]);
    }
}

/* --- refusals ----------------------------------------------------------------------------------------------------- */

/* @call, which takes &error, gives FALSE or NULL and this code. */
#define ASSERT_REFUSED(call, code) \
  G_STMT_START \
  { \
    g_autoptr(GError) error = NULL; \
\
    g_assert_false ((call) != 0); \
    g_assert_error (error, PV_ERROR, code); \
  } \
  G_STMT_END

static void
test_refused (Fixture *f, gconstpointer user_data)
{
  static const guint8 page[2 * PV_CHUNK_SIZE];
  g_autoptr(PvTxn) txn = begin (f, NULL, 1);
  PvVolumeWriter *volume = add_volume (txn, PV_VOLUME_RAM, "ram", 3 * PV_CHUNK_SIZE + 5);
  g_autoptr(GBytes) bytes = g_bytes_new_static ("x", 1);
  PvSnapshotMeta meta = make_meta ("../evil", "a");
  g_autoptr(PvSnapshot) snapshot = NULL;

  ASSERT_REFUSED (pv_volume_writer_write (volume, 1, page, PV_CHUNK_SIZE, &error), PV_ERROR_INVALID);
  ASSERT_REFUSED (pv_volume_writer_write (volume, 0, page, 5, &error), PV_ERROR_INVALID);
  ASSERT_REFUSED (pv_volume_writer_write (volume, 3 * PV_CHUNK_SIZE, page, PV_CHUNK_SIZE, &error), PV_ERROR_INVALID);
  ASSERT_REFUSED (pv_volume_writer_zero (volume, 0, G_MAXUINT64, &error), PV_ERROR_INVALID);
  ASSERT_REFUSED (pv_txn_add_volume (txn, PV_VOLUME_RAM, "ram", 5, &error), PV_ERROR_EXISTS);
  g_assert_nonnull (pv_txn_add_volume (txn, PV_VOLUME_DISK, "ram", 0, NULL));
  ASSERT_REFUSED (pv_txn_add_volume (txn, PV_VOLUME_RAM, "big", PV_VOLUME_SIZE_MAX + 1, &error), PV_ERROR_INVALID);
  g_assert_true (pv_txn_attach (txn, "xml", bytes, NULL));
  ASSERT_REFUSED (pv_txn_attach (txn, "xml", bytes, &error), PV_ERROR_EXISTS);
  ASSERT_REFUSED (pv_txn_commit (txn, &meta, &error), PV_ERROR_INVALID);
  meta = make_meta ("guest", "a");
  ASSERT_REFUSED (pv_txn_commit (txn, &meta, &error), PV_ERROR_INVALID); /* volumes are not finished */
}

/* A name that is taken: told before anything is published; the transaction can be committed under another one. */
static void
test_exists (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (MIB);
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(PvSnapshot) b = NULL;
  g_autoptr(PvTxn) txn = NULL;
  PvVolumeWriter *volume;
  PvSnapshotMeta meta = make_meta ("guest", "a");
  g_autoptr(GError) error = NULL;

  fill_random (data, MIB, 1);
  a = take (f, "a", NULL, data, MIB, NULL);
  fill_random (data, MIB, 2);
  txn = begin (f, NULL, 1);
  volume = add_volume (txn, PV_VOLUME_RAM, "ram", MIB);
  write_all (volume, data, MIB);
  finish (volume);
  g_assert_null (pv_txn_commit (txn, &meta, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_EXISTS);
  b = commit (txn, "guest", "b");
  g_assert_cmpuint (count_entries (f, "snapshots"), ==, 2);
  g_assert_cmpuint (count_entries (f, "tmp"), ==, 1);
  g_clear_pointer (&txn, pv_txn_free);
  g_assert_cmpuint (count_entries (f, "tmp"), ==, 0);
  assert_content (f->store, b, PV_VOLUME_RAM, "ram", data, MIB);
}

/* Blobs, attachments, what the snapshot says about itself; letting go leaves nothing. */
static void
test_blob_and_abort (Fixture *f, gconstpointer user_data)
{
  g_autoptr(PvTxn) txn = begin (f, NULL, 1);
  g_autoptr(GBytes) devices = g_bytes_new_static ("device state", 12);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvSnapshot) found = NULL;
  g_autoptr(PvVolumeReader) reader = NULL;
  g_autoptr(GBytes) read = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree guint8 *data = g_malloc (MIB);
  PvVolumeWriter *volume;

  g_assert_true (pv_txn_add_blob (txn, "devices", devices, &error));
  g_assert_true (pv_txn_attach (txn, "xml", devices, &error));
  snapshot = commit (txn, "guest", "a");
  g_clear_pointer (&txn, pv_txn_free);
  found = pv_store_latest (f->store, "guest", &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (pv_snapshot_attachment (found, "xml"), devices));
  reader = open_volume (f->store, found, PV_VOLUME_BLOB, "devices");
  read = pv_volume_reader_read_all (reader, 12, &error);
  g_assert_no_error (error);
  g_assert_true (g_bytes_equal (read, devices));
  g_assert_null (pv_volume_reader_read_all (reader, 11, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);

  txn = begin (f, found, 2);
  fill_random (data, MIB, 3);
  volume = add_volume (txn, PV_VOLUME_RAM, "ram", MIB);
  write_all (volume, data, MIB);
  g_clear_pointer (&txn, pv_txn_free);
  g_assert_cmpuint (count_entries (f, "tmp"), ==, 0);
  g_assert_cmpuint (count_entries (f, "snapshots"), ==, 1);
  g_assert_null (pv_store_latest (f->store, "other", &error));
  g_assert_no_error (error);
}

/* A base that was deleted before the transaction began cannot be relied upon. */
static void
test_base_gone (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (MIB);
  g_autoptr(PvSnapshot) a = NULL;
  PvTxnOptions options = { 0 };
  g_autoptr(GError) error = NULL;

  fill_random (data, MIB, 1);
  a = take (f, "a", NULL, data, MIB, NULL);
  g_assert_true (pv_store_delete (f->store, "guest", "a", &error));
  options.base = a;
  g_assert_null (pv_store_begin (f->store, &options, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_cmpuint (count_entries (f, "tmp"), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/txn/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  ADD ("round-trip", test_round_trip);
  ADD ("empty-volumes", test_empty_volumes);
  ADD ("second", test_second);
  ADD ("order", test_order);
  ADD ("several", test_several);
  ADD ("small-buffer", test_small_buffer);
  ADD ("keep", test_keep);
  ADD ("refused", test_refused);
  ADD ("exists", test_exists);
  ADD ("blob-and-abort", test_blob_and_abort);
  ADD ("base-gone", test_base_gone);
  return g_test_run ();
}
