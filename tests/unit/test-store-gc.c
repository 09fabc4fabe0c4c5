/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chunk/name.h"
#include "store-fixture.h"

static PvGcResult
gc (Fixture *f)
{
  g_autoptr(GError) error = NULL;
  PvGcResult result;

  pv_store_gc (f->store, 70, &result, NULL, NULL, NULL, &error);
  g_assert_no_error (error);
  return result;
}

static void
delete (Fixture *f, const char *name)
{
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_store_delete (f->store, "guest", name, &error));
  g_assert_no_error (error);
}

static guint64
bytes_of_packs (Fixture *f)
{
  g_autofree char *command = g_strdup_printf ("find %s/packs -type f -printf '%%s\\n'", f->directory);
  g_autofree char *output = NULL;
  g_auto(GStrv) lines = NULL;
  char *argv[] = { (char *) "sh", (char *) "-c", command, NULL };
  guint64 sum = 0;

  g_assert_true (g_spawn_sync (NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &output, NULL, NULL, NULL));
  lines = g_strsplit (output, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    sum += g_ascii_strtoull (lines[i], NULL, 10);
  return sum;
}

/* All gone: nothing is left. */
static void
test_all (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (8 * MIB);
  g_autoptr(PvSnapshot) a = NULL;
  PvGcResult result;

  fill_random (data, 8 * MIB, 1);
  a = take (f, "a", NULL, data, 8 * MIB, NULL);
  result = gc (f);
  g_assert_cmpuint (result.packs_removed, ==, 0);
  g_assert_cmpuint (result.packs_rewritten, ==, 0);
  g_assert_cmpuint (bytes_of_packs (f), >, 8 * MIB);
  delete (f, "a");
  result = gc (f);
  g_assert_cmpuint (result.packs_removed, ==, 1);
  g_assert_cmpuint (result.freed_bytes, >, 8 * MIB);
  g_assert_cmpuint (bytes_of_packs (f), ==, 0);
  assert_sound (f);
}

/* Many snapshots that hardly differ make many small packs: gc puts them together, once. */
static void
test_small_packs (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (MIB);
  g_autoptr(GPtrArray) contents = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GPtrArray) snapshots = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_unref);
  g_autoptr(GPtrArray) files = NULL;
  PvSnapshot *base = NULL;
  PvGcResult result;

  fill_random (data, MIB, 1);
  for (guint i = 0; i < 20; i++)
    {
      g_autofree char *name = g_strdup_printf ("s%u", i);

      fill_random (data + i * PV_CHUNK_SIZE, PV_CHUNK_SIZE, 100 + i);
      base = take (f, name, base, data, MIB, NULL);
      g_ptr_array_add (snapshots, base);
      g_ptr_array_add (contents, g_memdup2 (data, MIB));
    }
  result = gc (f);
  g_assert_cmpuint (result.packs_rewritten, ==, 19); /* the first one is of another class */
  g_assert_cmpuint (result.packs_removed, ==, 19);
  files = list_files (f);
  for (guint i = files->len; i-- > 0;)
    if (strstr (files->pdata[i], "/packs/") == NULL)
      g_ptr_array_remove_index (files, i);
  g_assert_cmpuint (files->len, ==, 2);
  fixture_open (f);
  for (guint i = 0; i < snapshots->len; i++)
    assert_content (f->store, snapshots->pdata[i], PV_VOLUME_RAM, "ram", contents->pdata[i], MIB);
  assert_sound (f);
  result = gc (f);
  g_assert_cmpuint (result.packs_rewritten, ==, 0);
  g_assert_cmpuint (result.packs_removed, ==, 0);
}

/* b shares half of a: after a is gone its own half goes, and b is whole. */
static void
test_shared (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (16 * MIB);
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(PvSnapshot) b = NULL;
  g_autoptr(GError) error = NULL;
  guint64 own;
  guint64 shared;
  PvGcResult result;

  fill_random (data, 16 * MIB, 1);
  a = take (f, "a", NULL, data, 16 * MIB, NULL);
  for (gsize i = 0; i < 16 * MIB; i += 2 * PV_CHUNK_SIZE)
    fill_random (data + i, PV_CHUNK_SIZE, 1000000 + i);
  b = take (f, "b", a, data, 16 * MIB, NULL);
  g_assert_true (pv_store_snapshot_usage (f->store, b, &own, &shared, NULL, &error));
  g_assert_cmpuint (own, >, 8 * MIB);
  g_assert_cmpuint (own, <, 9 * MIB);
  g_assert_cmpuint (shared, >, 8 * MIB);
  g_assert_cmpuint (shared, <, 9 * MIB);
  delete (f, "a");
  result = gc (f);
  g_assert_cmpuint (result.packs_rewritten, ==, 1);
  g_assert_cmpuint (result.packs_removed, ==, 1);
  g_assert_cmpuint (result.freed_bytes, >, 7 * MIB);
  g_assert_cmpuint (bytes_of_packs (f), <, 17 * MIB);
  assert_content (f->store, b, PV_VOLUME_RAM, "ram", data, 16 * MIB);
  fixture_open (f);
  assert_content (f->store, b, PV_VOLUME_RAM, "ram", data, 16 * MIB);
  assert_sound (f);
}

/* A delta leaf keeps the leaf that it is stored against, when no snapshot refers to that any more. */
static void
test_delta_base (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (4 * MIB);
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(PvSnapshot) b = NULL;

  fill_random (data, 4 * MIB, 1);
  a = take (f, "a", NULL, data, 4 * MIB, NULL);
  fill_random (data + MIB, PV_CHUNK_SIZE, 2);
  b = take (f, "b", a, data, 4 * MIB, NULL);
  delete (f, "a");
  for (guint i = 0; i < 2; i++)
    {
      g_autoptr(GError) error = NULL;
      PvGcResult result;

      g_assert_true (pv_store_gc (f->store, 100, &result, NULL, NULL, NULL, &error));
      fixture_open (f);
      assert_content (f->store, b, PV_VOLUME_RAM, "ram", data, 4 * MIB);
      assert_sound (f);
    }
}

/* A transaction under way keeps what it may refer to: found in the index, or equal to its base, though all snapshots
 * go. */
static void
test_beside_writer (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (8 * MIB);
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(PvSnapshot) b = NULL;
  g_autoptr(PvTxn) with_base = NULL;
  g_autoptr(PvTxn) without_base = NULL;
  PvVolumeWriter *v;
  PvVolumeWriter *w;
  g_autoptr(PvSnapshot) c = NULL;
  g_autoptr(PvSnapshot) d = NULL;
  g_autoptr(GError) error = NULL;
  PvGcResult result;
  PvTxnStats stats;

  fill_random (data, 8 * MIB, 1);
  a = take (f, "a", NULL, data, 8 * MIB, NULL);
  with_base = begin (f, a, 2);
  without_base = begin (f, NULL, 2);
  v = add_volume (with_base, PV_VOLUME_RAM, "ram", 8 * MIB);
  w = add_volume (without_base, PV_VOLUME_RAM, "other", 8 * MIB);
  write_all (w, data, 4 * MIB);
  delete (f, "a");
  result = gc (f);
  g_assert_cmpuint (result.packs_removed, ==, 0);
  g_assert_true (pv_volume_writer_keep (v, 0, 8 * MIB, &error));
  finish (v);
  c = commit (with_base, "guest", "c");
  g_clear_pointer (&with_base, pv_txn_free);
  delete (f, "c");
  result = gc (f); /* nothing is listed; what without_base found before stays for it */
  g_assert_cmpuint (result.packs_removed, ==, 0);
  g_assert_true (pv_volume_writer_write (w, 4 * MIB, data + 4 * MIB, 4 * MIB, &error));
  finish (w);
  d = commit (without_base, "guest", "d");
  pv_txn_stats (without_base, &stats);
  g_assert_cmpuint (stats.known_bytes + stats.new_bytes, ==, 8 * MIB);
  g_clear_pointer (&without_base, pv_txn_free);
  gc (f);
  fixture_open (f);
  assert_content (f->store, d, PV_VOLUME_RAM, "other", data, 8 * MIB);
  assert_sound (f);
}

static void
test_only_one (Fixture *f, gconstpointer user_data)
{
  g_autofree char *packs = g_build_filename (f->directory, "packs", NULL);
  g_auto(PvFd) fd = PV_FD_NONE;
  g_autoptr(GError) error = NULL;
  PvGcResult result;

  fd = pv_openat (-100, packs, 0, 0, &error);
  g_assert_true (pv_flock (fd, 2, packs, &error));
  g_assert_false (pv_store_gc (f->store, 70, &result, NULL, NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
}

/* --- many processes ----------------------------------------------------------------------------------------------- */

enum
{
  MODEL_PAGES = 1500,   /* pages that content is made of */
  MODEL_SIZE = 700,     /* pages of a volume: more than a leaf */
  MODEL_PROCESSES = 4,
  MODEL_STEPS = 25,
};

/* The content of a snapshot follows from its seed alone, so that every process can check every snapshot. */
static void
model_content (guint8 *data, guint64 seed)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed ((guint32) seed);
  guint start = (guint) g_rand_int_range (rand, 0, MODEL_PAGES);

  for (guint i = 0; i < MODEL_SIZE; i++)
    {
      guint page = (start + i) % MODEL_PAGES;

      if (g_rand_int_range (rand, 0, 16) == 0)
        page = (guint) g_rand_int_range (rand, 0, MODEL_PAGES);
      fill_random (data + (gsize) i * PV_CHUNK_SIZE, PV_CHUNK_SIZE, page);
    }
}

static gboolean
is_gone (const GError *error)
{
  return g_error_matches (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

static void
model_take (PvStore *store, guint64 seed, guint8 *data)
{
  g_autofree char *name = g_strdup_printf ("s%" G_GUINT64_FORMAT, seed);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvSnapshot) base = seed % 3 != 0 ? pv_store_latest (store, "guest", &error) : NULL;
  PvTxnOptions options = { .base = base, .n_threads = 2 };
  g_autoptr(PvTxn) txn = pv_store_begin (store, &options, &error);
  PvSnapshotMeta meta = make_meta ("guest", name);
  g_autoptr(PvSnapshot) snapshot = NULL;
  PvVolumeWriter *volume;

  if (txn == NULL && is_gone (error))
    return; /* the base was deleted in between */
  g_assert_no_error (error);
  model_content (data, seed);
  volume = add_volume (txn, PV_VOLUME_RAM, "ram", MODEL_SIZE * PV_CHUNK_SIZE);
  write_all (volume, data, MODEL_SIZE * PV_CHUNK_SIZE);
  finish (volume);
  if (seed % 7 == 0)
    return; /* given up */
  snapshot = pv_txn_commit (txn, &meta, &error);
  g_assert_no_error (error);
}

static void
model_check (PvStore *store, PvSnapshot *snapshot, guint8 *data)
{
  g_autofree guint8 *read = g_malloc (MODEL_SIZE * PV_CHUNK_SIZE);
  g_autoptr(PvVolumeReader) reader = open_volume (store, snapshot, PV_VOLUME_RAM, "ram");
  g_autoptr(GError) error = NULL;

  model_content (data, g_ascii_strtoull (pv_snapshot_name (snapshot) + 1, NULL, 10));
  if (!pv_volume_reader_read (reader, 0, MODEL_SIZE * PV_CHUNK_SIZE, read, &error))
    {
      g_autoptr(GError) why = NULL;
      g_autoptr(PvSnapshot) still = pv_store_lookup (store, "guest", pv_snapshot_name (snapshot), &why);

      g_assert_null (still); /* only a snapshot that was deleted meanwhile may fail to read */
      return;
    }
  g_assert_true (memcmp (read, data, MODEL_SIZE * PV_CHUNK_SIZE) == 0);
}

static void
model_step (PvStore *store, GRand *rand, guint64 seed, guint8 *data)
{
  g_autoptr(GPtrArray) list = NULL;
  g_autoptr(GError) error = NULL;
  PvSnapshot *any;
  PvGcResult result;

  switch (g_rand_int_range (rand, 0, 4))
    {
    case 0:
      if (!pv_store_gc (store, 80, &result, NULL, NULL, NULL, &error))
        g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
      return;
    case 1:
      model_take (store, seed, data);
      return;
    default:
      list = pv_store_list (store, "guest", &error);
      g_assert_no_error (error);
      if (list->len == 0)
        return;
      any = list->pdata[g_rand_int_range (rand, 0, (gint) list->len)];
      if (list->len > 5 && g_rand_boolean (rand))
        {
          if (!pv_store_delete (store, "guest", pv_snapshot_name (any), &error))
            g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
        }
      else
        model_check (store, any, data);
    }
}

static void
model_process (const char *directory, guint process)
{
  g_autoptr(GRand) rand = g_rand_new_with_seed (process * 7919u + (guint) g_test_rand_int ());
  g_autofree guint8 *data = g_malloc (MODEL_SIZE * PV_CHUNK_SIZE);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStore) store = pv_store_open (directory, 0, &error);

  g_assert_no_error (error);
  for (guint i = 0; i < MODEL_STEPS; i++)
    model_step (store, rand, process * 1000 + i, data);
}

static void
test_processes (Fixture *f, gconstpointer user_data)
{
  g_autoptr(GPtrArray) list = NULL;
  g_autofree guint8 *data = g_malloc (MODEL_SIZE * PV_CHUNK_SIZE);
  g_autoptr(GError) error = NULL;
  pid_t children[MODEL_PROCESSES];

  g_clear_pointer (&f->store, pv_store_unref);
  for (guint i = 0; i < MODEL_PROCESSES; i++)
    {
      children[i] = fork ();
      g_assert_cmpint (children[i], >=, 0);
      if (children[i] == 0)
        {
          model_process (f->directory, i + 1);
          _exit (0);
        }
    }
  for (guint i = 0; i < MODEL_PROCESSES; i++)
    {
      int status;

      g_assert_cmpint (waitpid (children[i], &status, 0), ==, children[i]);
      g_assert_cmpint (status, ==, 0);
    }
  fixture_open (f);
  assert_sound (f);
  gc (f);
  assert_sound (f);
  list = pv_store_list (f->store, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < list->len; i++)
    model_check (f->store, list->pdata[i], data);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/store-gc/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  ADD ("all", test_all);
  ADD ("small-packs", test_small_packs);
  ADD ("shared", test_shared);
  ADD ("delta-base", test_delta_base);
  ADD ("beside-writer", test_beside_writer);
  ADD ("only-one", test_only_one);
  ADD ("processes", test_processes);
  return g_test_run ();
}
