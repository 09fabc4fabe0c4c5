/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/volume-reader.h"

#include "chunk/name.h"
#include "store-fixture.h"

enum
{
  SIZE = 9 * 1024 * 1024 + 777, /* bytes */
};

/* Data, holes of all lengths, an end within a chunk. */
static guint8 *
make_model (void)
{
  guint8 *model = g_malloc0 (SIZE);
  gsize offset = 0;
  guint n = 0;

  fill_random (model, SIZE, 1);
  while (offset < SIZE)
    {
      gsize hole = MIN ((gsize) (n * n) * PV_CHUNK_SIZE, SIZE - offset);

      if (n % 2 == 1)
        memset (model + offset, 0, hole);
      offset += MAX (hole, PV_CHUNK_SIZE);
      n++;
    }
  return model;
}

static void
read_at (PvVolumeReader *reader, const guint8 *model, gsize offset, gsize size)
{
  g_autofree guint8 *data = g_malloc (size + 1);
  g_autoptr(GError) error = NULL;

  data[size] = 0xa5;
  pv_volume_reader_read (reader, offset, size, data, &error);
  g_assert_no_error (error);
  g_assert_true (memcmp (data, model + offset, size) == 0);
  g_assert_cmpuint (data[size], ==, 0xa5);
}

typedef struct
{
  PvVolumeReader *reader;
  const guint8 *model;
  guint32 seed;
} Job;

static gpointer
read_randomly (gpointer data)
{
  Job *job = data;
  g_autoptr(GRand) rand = g_rand_new_with_seed (job->seed);

  for (guint i = 0; i < 400; i++)
    {
      gsize offset = (gsize) g_rand_int_range (rand, 0, SIZE);
      gsize size = (gsize) g_rand_int_range (rand, 0, i % 10 == 0 ? SIZE : 10000);

      read_at (job->reader, job->model, offset, MIN (SIZE - offset, size));
    }
  return NULL;
}

/* Random reads by several threads through one reader are what was written. */
static void
test_random (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *model = make_model ();
  g_autoptr(PvSnapshot) snapshot = take (f, "a", NULL, model, SIZE, NULL);
  g_autoptr(PvVolumeReader) reader = NULL;
  GThread *threads[4];
  Job jobs[4];

  fixture_open (f);
  reader = open_volume (f->store, snapshot, PV_VOLUME_RAM, "ram");
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    {
      jobs[i] = (Job){ reader, model, (guint32) g_test_rand_int () };
      threads[i] = g_thread_new ("reader", read_randomly, &jobs[i]);
    }
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  read_at (reader, model, SIZE, 0);
}

static void
test_extents (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *model = make_model ();
  g_autoptr(PvSnapshot) snapshot = take (f, "a", NULL, model, SIZE, NULL);
  g_autoptr(PvVolumeReader) reader = open_volume (f->store, snapshot, PV_VOLUME_RAM, "ram");
  g_autoptr(GError) error = NULL;
  guint64 offset = 0;
  gboolean after_hole = FALSE;

  while (offset < SIZE)
    {
      guint64 length;
      gboolean zero;

      g_assert_true (pv_volume_reader_extent (reader, offset, &length, &zero, &error));
      g_assert_cmpuint (length, >, 0);
      g_assert_cmpuint (length, <=, SIZE - offset);
      g_assert_false (zero && after_hole);
      for (guint64 at = offset; at < offset + length; at += PV_CHUNK_SIZE)
        g_assert_cmpint (pv_is_zero (model + at, MIN (PV_CHUNK_SIZE, SIZE - at)), ==, zero);
      offset += length;
      after_hole = zero;
    }
  g_assert_cmpuint (offset, ==, SIZE);
  g_assert_false (pv_volume_reader_extent (reader, SIZE, &offset, &after_hole, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

static void
test_names (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *model = make_model ();
  g_autoptr(PvSnapshot) snapshot = take (f, "a", NULL, model, SIZE, NULL);
  g_autoptr(PvVolumeReader) reader = open_volume (f->store, snapshot, PV_VOLUME_RAM, "ram");
  guint n = (SIZE + PV_CHUNK_SIZE - 1) / PV_CHUNK_SIZE;
  g_autofree PvName *names = g_new (PvName, n);
  g_autoptr(PvNamer) namer = pv_namer_new (pv_store_key_for_names (pv_store_get_key (f->store)));
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_volume_reader_names (reader, 0, n, names, &error));
  for (guint i = 0; i < n - 1; i++)
    {
      PvName name;

      pv_namer_chunk (namer, model + (gsize) i * PV_CHUNK_SIZE, &name);
      g_assert_true (pv_name_equal (&name, &names[i]));
    }
  g_assert_true (pv_volume_reader_names (reader, n, 0, names, &error));
  g_assert_false (pv_volume_reader_names (reader, 1, n, names, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

/* Chunk by chunk it is the same; what is near is given without a look at the index, and never anything else. */
static void
test_chunks (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *model = make_model ();
  g_autoptr(PvSnapshot) snapshot = take (f, "a", NULL, model, SIZE, NULL);
  g_autoptr(PvVolumeReader) reader = open_volume (f->store, snapshot, PV_VOLUME_RAM, "ram");
  const guint n = SIZE / PV_CHUNK_SIZE; /* the last one is not whole */
  g_auto(PvObject) place = { 0 };
  g_autoptr(GError) error = NULL;
  guint8 data[PV_CHUNK_SIZE];
  guint n_near = 0;
  gboolean zero;

  g_assert_false (pv_volume_reader_chunk_near (reader, 0, &place, data));
  for (guint i = 0; i < n; i++)
    {
      const guint8 *expected = model + (gsize) i * PV_CHUNK_SIZE;
      const gboolean hole = pv_is_zero (expected, PV_CHUNK_SIZE);

      if (pv_volume_reader_chunk_near (reader, i, &place, data))
        {
          g_assert_false (hole);
          g_assert_true (memcmp (data, expected, sizeof data) == 0);
          n_near++;
        }
      memset (data, 0xa5, sizeof data);
      g_assert_true (pv_volume_reader_chunk (reader, i, &place, data, &zero, &error));
      g_assert_cmpint (zero, ==, hole);
      g_assert_true (hole ? data[7] == 0xa5 : memcmp (data, expected, sizeof data) == 0);
    }
  g_assert_cmpuint (n_near, >, n / 4);
  g_assert_false (pv_volume_reader_chunk (reader, n + 1, &place, data, &zero, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

static void
test_bounds (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *model = make_model ();
  g_autoptr(PvSnapshot) snapshot = take (f, "a", NULL, model, SIZE, NULL);
  g_autoptr(PvVolumeReader) reader = open_volume (f->store, snapshot, PV_VOLUME_RAM, "ram");
  const guint64 offsets[] = { SIZE, SIZE - 9, G_MAXUINT64 - 5 };
  guint8 data[10];

  for (guint i = 0; i < G_N_ELEMENTS (offsets); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_false (pv_volume_reader_read (reader, offsets[i], sizeof data, data, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/volume-reader/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  ADD ("random", test_random);
  ADD ("extents", test_extents);
  ADD ("names", test_names);
  ADD ("chunks", test_chunks);
  ADD ("bounds", test_bounds);
  return g_test_run ();
}
