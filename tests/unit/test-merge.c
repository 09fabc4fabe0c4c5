/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/merge.h"

#include "index-fixture.h"

/* Any number of runs of any length become one in order, equal entries once. */
static void
test_runs (void)
{
  g_autoptr(GRand) random = g_rand_new_with_seed (7);

  for (guint round = 0; round < 200; round++)
    {
      guint n_runs = (guint) g_rand_int_range (random, 0, 20);
      gsize ends[20];
      PvIndexEntry all[20 * 40];
      guint8 data[20 * 40 * PV_ENTRY_SIZE];
      gsize n = 0;
      gsize kept;
      gsize expected = 0;

      for (guint r = 0; r < n_runs; r++)
        {
          gsize first = n;

          for (guint i = (guint) g_rand_int_range (random, 0, 40); i > 0; i--)
            all[n++] = (PvIndexEntry) { make_name ((guint64) g_rand_int_range (random, 0, 60)),
                                        { (guint32) g_rand_int_range (random, 1, 4), 0, 0 } };
          qsort (all + first, n - first, sizeof *all, pv_index_entry_compare);
          ends[r] = n;
        }
      for (gsize i = 0; i < n; i++)
        pv_bucket_put (data + i * PV_ENTRY_SIZE, &all[i]);
      kept = pv_merge_runs (data, n, ends, n_runs);
      qsort (all, n, sizeof *all, pv_index_entry_compare);
      for (gsize i = 0; i < n; i++)
        {
          PvIndexEntry entry;

          if (i > 0 && pv_index_entry_compare (&all[i - 1], &all[i]) == 0)
            continue;
          g_assert_cmpuint (expected, <, kept);
          pv_bucket_get (data + expected++ * PV_ENTRY_SIZE, &entry);
          g_assert_cmpint (pv_index_entry_compare (&all[i], &entry), ==, 0);
        }
      g_assert_cmpuint (kept, ==, expected);
    }
}

static guint
count_segments (Fixture *self)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_autoptr(GArray) rows = NULL;

  g_assert_true (pv_index_use (&use, self->index, NULL));
  rows = pv_segment_list (use.database, PV_SEGMENT_SELECT "WHERE TRUE", 0, NULL);
  return rows != NULL ? rows->len : G_MAXUINT;
}

static void
commit_packs (Fixture *self, guint n, guint64 first)
{
  for (guint i = 0; i < n; i++)
    {
      g_auto(Writing) writing = begin (self);

      add_pack (&writing, first + i, (first + i) * 100, 100);
      commit_ok (&writing, NULL, NULL);
    }
}

static void
run (Fixture *self, guint64 budget, guint fan_out)
{
  PvMergeOptions options = { .fan_out = fan_out, .budget = budget };
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_index_merge (self->index, &options, &error));
  g_assert_no_error (error);
}

/* Commits merge what is due: never more than seven segments of a level. */
static void
test_levels (Fixture *self, gconstpointer data)
{
  for (guint i = 0; i < 40; i++)
    {
      commit_packs (self, 1, i);
      g_assert_cmpuint (count_segments (self), <=, 7);
    }
  for (guint i = 0; i < 4000; i += 3)
    g_assert_cmpuint (find (self->index, i, NULL), ==, i / 100 + 1);
}

/* At each step of a merge everything is found, the index is whole, and anybody can go on. */
static void
test_steps (Fixture *self, gconstpointer data)
{
  guint steps = 0;

  commit_packs (self, 3, 0);
  g_assert_cmpuint (count_segments (self), ==, 3);
  do
    {
      self->index->merge_step = 1; /* one bucket */
      run (self, 1, 3);
      if (++steps == 3)
        reopen (self);
      for (guint i = 0; i < 300; i++)
        g_assert_cmpuint (find (self->index, i, NULL), ==, i / 100 + 1);
      g_assert_cmpuint (find (self->index, 300, NULL), ==, 0);
      assert_undamaged (self->index);
      g_assert_cmpuint (get_stats (self->index).n_objects, ==, 300);
    }
  while (count_segments (self) > 1);
  g_assert_cmpuint (steps, ==, 300 / PV_BUCKET_MEAN);
}

/* What points to packs that are gone is dropped once it is a quarter. */
static void
test_drop_dead (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GArray) retired = NULL;
  guint32 packs[2] = { 2, 3 };
  guint64 epoch;

  commit_packs (self, 4, 0);
  g_assert_true (pv_index_condemn (self->index, packs, 2, &epoch, &error));
  g_assert_true (pv_index_retire (self->index, epoch, &retired, &error));
  g_assert_cmpuint (get_stats (self->index).n_objects, ==, 400);
  g_assert_true (pv_index_optimize (self->index, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (get_stats (self->index).n_objects, ==, 200);
  g_assert_cmpuint (count_segments (self), ==, 1);
  g_assert_cmpuint (find (self->index, 50, NULL), ==, 1);
  g_assert_cmpuint (find (self->index, 150, NULL), ==, 0);
  g_assert_cmpuint (find (self->index, 350, NULL), ==, 4);
}

/* A large writer's pending segments are merged too, seen by nobody else; when it is dropped they are removed. */
static void
test_pending (Fixture *self, gconstpointer data)
{
  g_auto(Writing) writing = begin (self);

  self->index->run_max = 50;
  for (guint i = 0; i < 20; i++)
    add_pack (&writing, i, i * 100, 100);
  g_assert_cmpuint (count_segments (self), <, 10);
  for (guint i = 0; i < 2000; i += 3)
    {
      g_assert_cmpuint (writer_find (&writing, i), ==, i / 100 + 1);
      g_assert_cmpuint (find (self->index, i, NULL), ==, 0);
    }
  writing_clear (&writing);
  g_assert_cmpuint (count_segments (self), >, 0);
  run (self, 1000, 8);
  g_assert_cmpuint (count_segments (self), ==, 0);
  g_assert_cmpuint (get_stats (self->index).n_objects, ==, 0);
}

#define ADD(name, function) g_test_add ("/merge/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/merge/runs", test_runs);
  ADD ("levels", test_levels);
  ADD ("steps", test_steps);
  ADD ("drop-dead", test_drop_dead);
  ADD ("pending", test_pending);
  return g_test_run ();
}
