/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/volume-order.h"

#include "chunk/frame.h"
#include "store-fixture.h"

enum
{
  SIZE = 12 << 20, /* bytes */
  N_CHUNKS = SIZE / PV_CHUNK_SIZE,
};

/* Noise, with a hole in every third leaf and copies of the first leaf at the end. */
static guint8 *
make_model (void)
{
  guint8 *model = g_malloc0 (SIZE);
  const gsize leaf = (gsize) PV_NODE_FANOUT * PV_CHUNK_SIZE;

  fill_random (model, SIZE, 1);
  for (gsize at = leaf; at < SIZE; at += 3 * leaf)
    memset (model + at + 5 * PV_CHUNK_SIZE, 0, 100 * PV_CHUNK_SIZE);
  memcpy (model + SIZE - leaf, model, leaf);
  return model;
}

/* Every chunk that is not a hole comes once, and what is read by that order is what was written. */
static void
test_all_once (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *model = make_model ();
  g_autofree guint8 *seen = g_malloc0 (N_CHUNKS);
  g_autoptr(PvSnapshot) snapshot = take (f, "a", NULL, model, SIZE, NULL);
  g_autoptr(PvVolumeReader) reader = open_volume (f->store, snapshot, PV_VOLUME_RAM, "ram");
  g_autoptr(GError) error = NULL;
  g_autoptr(PvVolumeOrder) order =
    pv_volume_order_new (f->store, pv_snapshot_find_volume (snapshot, PV_VOLUME_RAM, "ram"), &error);
  guint64 chunks[10], sum = 0;
  guint n;

  g_assert_no_error (error);
  while ((n = pv_volume_order_next (order, chunks, G_N_ELEMENTS (chunks))) > 0)
    for (guint i = 0; i < n; i++)
      {
        guint8 data[PV_CHUNK_SIZE];

        g_assert_cmpuint (chunks[i], <, N_CHUNKS);
        g_assert_cmpint (seen[chunks[i]]++, ==, 0);
        g_assert_true (pv_volume_reader_read (reader, chunks[i] * PV_CHUNK_SIZE, PV_CHUNK_SIZE, data, &error));
        g_assert_true (memcmp (data, model + chunks[i] * PV_CHUNK_SIZE, PV_CHUNK_SIZE) == 0);
        sum++;
      }
  g_assert_cmpuint (sum, ==, pv_volume_order_n_chunks (order));
  for (guint i = 0; i < N_CHUNKS; i++)
    g_assert_cmpint (seen[i], ==, !pv_is_zero (model + (gsize) i * PV_CHUNK_SIZE, PV_CHUNK_SIZE));
}

/* No frame is left and come back to: of a volume written backwards the chunks come backwards, frame by frame. */
static void
test_order_is_of_packs (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *model = make_model ();
  g_autoptr(PvTxn) txn = begin (f, NULL, 1);
  PvVolumeWriter *volume = add_volume (txn, PV_VOLUME_RAM, "ram", SIZE);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvVolumeOrder) order = NULL;
  guint64 chunks[PV_FRAME_CHUNKS], previous = N_CHUNKS;

  for (guint i = N_CHUNKS; i-- > PV_NODE_FANOUT;) /* the first leaf is the same as the last */
    g_assert_true (pv_volume_writer_write (volume, (guint64) i * PV_CHUNK_SIZE, model + (gsize) i * PV_CHUNK_SIZE,
                                           PV_CHUNK_SIZE, NULL));
  finish (volume);
  snapshot = commit (txn, "guest", "backwards");
  order = pv_volume_order_new (f->store, pv_snapshot_find_volume (snapshot, PV_VOLUME_RAM, "ram"), NULL);
  for (;;)
    {
      guint n = pv_volume_order_next (order, chunks, G_N_ELEMENTS (chunks));

      if (n == 0)
        break;
      for (guint i = 1; i < n; i++)
        g_assert_cmpuint (chunks[i - 1], <, chunks[i]);
      g_assert_cmpuint (chunks[n - 1], <, previous);
      previous = chunks[0];
    }
  g_assert_cmpuint (previous, ==, PV_NODE_FANOUT);
}

/* A volume of nothing but zeros has nothing to read. */
static void
test_zeros (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *zeros = g_malloc0 (SIZE);
  g_autoptr(PvSnapshot) snapshot = take (f, "a", NULL, zeros, SIZE, NULL);
  g_autoptr(PvVolumeOrder) order =
    pv_volume_order_new (f->store, pv_snapshot_find_volume (snapshot, PV_VOLUME_RAM, "ram"), NULL);
  guint64 chunk;

  g_assert_nonnull (order);
  g_assert_cmpuint (pv_volume_order_n_chunks (order), ==, 0);
  g_assert_cmpuint (pv_volume_order_next (order, &chunk, 1), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/volume-order/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  ADD ("all-once", test_all_once);
  ADD ("order-is-of-packs", test_order_is_of_packs);
  ADD ("zeros", test_zeros);
  return g_test_run ();
}
