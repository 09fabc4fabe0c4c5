/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/segment.h"

#include "index-fixture.h"
#include "index/index-private.h"

#define N 5000u

typedef struct
{
  Fixture fixture;
  PvIndexUse use;
  PvTransaction transaction;
  PvSegment segment;
} Case;

static void
case_set_up (Case *self, gconstpointer data)
{
  g_autofree PvIndexEntry *entries = g_new (PvIndexEntry, N);
  g_autoptr(GError) error = NULL;

  set_up (&self->fixture, data);
  for (guint i = 0; i < N; i++)
    entries[i] = (PvIndexEntry) { make_name (i), { 1, i / 32, i % 32 } };
  qsort (entries, N, sizeof *entries, pv_index_entry_compare);
  g_assert_true (pv_index_use (&self->use, self->fixture.index, &error));
  g_assert_true (pv_transaction_begin (&self->transaction, self->use.database, PV_TRANSACTION_WRITE, &error));
  g_assert_true (pv_segment_write (self->use.database, PV_SEGMENT_LISTED, entries, N, 0, &self->segment, &error));
  g_assert_no_error (error);
}

static void
case_tear_down (Case *self, gconstpointer data)
{
  pv_transaction_clear (&self->transaction);
  pv_index_use_clear (&self->use);
  tear_down (&self->fixture, data);
}

static void
test_row (Case *self, gconstpointer data)
{
  g_autoptr(GArray) rows = pv_segment_list (self->use.database, PV_SEGMENT_SELECT "WHERE s.id = ?1", self->segment.id,
                                            NULL);
  const PvSegmentRow *row = &g_array_index (rows, PvSegmentRow, 0);

  g_assert_cmpuint (rows->len, ==, 1);
  g_assert_cmpuint (row->segment.n_entries, ==, N);
  g_assert_cmpuint (row->segment.n_buckets, ==, N / PV_BUCKET_MEAN);
  g_assert_cmpuint (row->filled, ==, row->segment.n_buckets);
  g_assert_cmpuint (row->segment.begin, ==, 0);
  g_assert_cmpuint (row->segment.end, ==, PV_PREFIX_END);
  g_assert_cmpint (row->state, ==, PV_SEGMENT_LISTED);
}

static void
test_get (Case *self, gconstpointer data)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  g_autoptr(GError) error = NULL;
  const guint8 *bytes;
  guint n;

  for (guint i = 0; i < N; i++)
    {
      PvName name = make_name (i);
      guint32 bucket = pv_bucket_of (pv_name_prefix (&name), self->segment.n_buckets);
      PvIndexEntry entry;
      guint at;

      g_assert_true (pv_segment_get (&query, self->use.database, &self->segment, bucket, &bytes, &n, &error));
      g_assert_true (pv_bucket_check (bytes, (gsize) n * PV_ENTRY_SIZE, bucket, self->segment.n_buckets, &error));
      at = pv_bucket_find (bytes, n, &name);
      g_assert_cmpuint (at, <, n);
      pv_bucket_get (bytes + at * PV_ENTRY_SIZE, &entry);
      g_assert_true (pv_name_equal (&entry.name, &name));
      g_assert_cmpuint (entry.location.frame, ==, i / 32);
    }
  g_assert_no_error (error);
}

static guint
scan (Case *self, guint64 begin, guint64 end)
{
  g_auto(PvSegmentScan) scan = PV_SEGMENT_SCAN_INIT;
  guint64 last = 0;
  guint total = 0;

  g_assert_true (pv_segment_scan_begin (&scan, self->use.database, &self->segment, begin, end, NULL));
  for (;;)
    {
      const guint8 *bytes;
      guint n;

      g_assert_true (pv_segment_scan_next (&scan, &bytes, &n, NULL));
      if (bytes == NULL)
        return total;
      for (guint i = 0; i < n; i++)
        {
          PvIndexEntry entry;
          guint64 prefix;

          pv_bucket_get (bytes + i * PV_ENTRY_SIZE, &entry);
          prefix = pv_name_prefix (&entry.name);
          g_assert_cmpuint (prefix, >=, MAX (begin, self->segment.begin));
          g_assert_cmpuint (prefix, <, MIN (end, self->segment.end));
          g_assert_cmpuint (prefix, >=, last);
          last = prefix;
        }
      total += n;
    }
}

static void
test_scan (Case *self, gconstpointer data)
{
  guint64 bounds[] = { 0, 5, 77777777, 1u << 31, 3000000000, PV_PREFIX_END };
  guint total = 0;

  g_assert_cmpuint (scan (self, 0, PV_PREFIX_END), ==, N);
  g_assert_cmpuint (scan (self, 7, 7), ==, 0);
  for (guint i = 0; i + 1 < G_N_ELEMENTS (bounds); i++)
    total += scan (self, bounds[i], bounds[i + 1]);
  g_assert_cmpuint (total, ==, N);
  self->segment.begin = 1u << 30; /* as the source of a merge a quarter done */
  self->segment.end = PV_PREFIX_END;
  g_assert_cmpuint (scan (self, 0, PV_PREFIX_END), ==, scan (self, 1u << 30, PV_PREFIX_END));
  g_assert_cmpuint (scan (self, 0, PV_PREFIX_END), <, N);
}

static void
test_missing_bucket (Case *self, gconstpointer data)
{
  g_auto(PvSegmentScan) scan_all = PV_SEGMENT_SCAN_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;
  g_autoptr(GError) error = NULL;
  const guint8 *bytes = (const guint8 *) "";
  gboolean ok = TRUE;
  guint n;

  g_assert_true (pv_segment_remove_buckets (self->use.database, &self->segment, 7, 8, NULL));
  g_assert_false (pv_segment_get (&query, self->use.database, &self->segment, 7, &bytes, &n, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_clear_error (&error);
  g_assert_true (pv_segment_get (&query, self->use.database, &self->segment, 8, &bytes, &n, &error));
  g_assert_true (pv_segment_scan_begin (&scan_all, self->use.database, &self->segment, 0, PV_PREFIX_END, NULL));
  while (ok && bytes != NULL)
    ok = pv_segment_scan_next (&scan_all, &bytes, &n, &error);
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_cmpuint (scan_all.next, ==, 7);
}

/* Rows that make no sense are refused before they are used. */
static void
test_bad_rows (Case *self, gconstpointer data)
{
  static const char *const damages[] = {
    "UPDATE segment SET n_buckets = 0", "UPDATE segment SET n_buckets = -1", "UPDATE segment SET n_buckets = 1 << 32",
    "UPDATE segment SET n_entries = -5", "UPDATE segment SET state = 3", "UPDATE segment SET filled = n_buckets + 1",
    "UPDATE segment SET target = -1", "UPDATE segment SET id = 0", "UPDATE segment SET id = 1 << 31",
  };

  for (guint i = 0; i < G_N_ELEMENTS (damages); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_true (pv_database_exec (self->use.database, "SAVEPOINT before", NULL));
      g_assert_true (pv_database_exec (self->use.database, damages[i], NULL));
      g_assert_null (pv_segment_list (self->use.database, PV_SEGMENT_SELECT "WHERE TRUE", 0, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      g_assert_true (pv_database_exec (self->use.database, "ROLLBACK TO before", NULL));
    }
}

#define ADD(name, function) g_test_add ("/segment/" name, Case, NULL, case_set_up, function, case_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("row", test_row);
  ADD ("get", test_get);
  ADD ("scan", test_scan);
  ADD ("missing-bucket", test_missing_bucket);
  ADD ("bad-rows", test_bad_rows);
  return g_test_run ();
}
