/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/index.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

#include "index-fixture.h"

/* --- opening ------------------------------------------------------------------------------------------------------ */

static void
test_open (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *other = g_build_filename (self->directory, "nothing", NULL);
  g_autofree char *path = g_build_filename (self->directory, PV_INDEX_FILE, NULL);
  struct stat st;

  g_assert_null (pv_index_open (other, FALSE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_cmpint (g_stat (path, &st), ==, 0);
  g_assert_cmphex (st.st_mode & 0777, ==, 0600);
  reopen (self);
  g_assert_cmpuint (get_stats (self->index).n_packs, ==, 0);
}

static void
check_refused (Fixture *self, const char *content, gsize size, gint code)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *directory = g_build_filename (self->directory, "foreign", NULL);
  g_autofree char *path = g_build_filename (directory, PV_INDEX_FILE, NULL);

  g_assert_true (pv_mkdirs (directory, 0700, &error));
  g_assert_true (pv_write_file (path, content, size, &error));
  g_assert_no_error (error);
  g_assert_null (pv_index_open (directory, TRUE, &error));
  g_assert_error (error, PV_ERROR, code);
}

static void
test_open_foreign (Fixture *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename (self->directory, PV_INDEX_FILE, NULL);
  g_autofree char *content = NULL;
  g_autofree char *zeros = g_malloc0 (100000);
  gsize size;

  g_clear_pointer (&self->index, pv_index_unref);
  g_assert_true (g_file_get_contents (path, &content, &size, NULL));
  check_refused (self, "", 0, PV_ERROR_CORRUPT);
  check_refused (self, "this is no database, whatever its name says", 43, PV_ERROR_CORRUPT);
  check_refused (self, zeros, 100000, PV_ERROR_CORRUPT);
  check_refused (self, content, 5000, PV_ERROR_CORRUPT);
  content[63] ^= 2; /* user_version: the page's checksum says so */
  check_refused (self, content, size, PV_ERROR_CORRUPT);
  self->index = pv_index_open (self->directory, FALSE, NULL);
}

/* --- writing and looking up --------------------------------------------------------------------------------------- */

static void
test_commit (Fixture *self, gconstpointer data)
{
  g_auto(Writing) writing = begin (self);
  guint32 pack = add_pack (&writing, 1, 0, 1000);
  PvPackState state = PV_PACK_CONDEMNED;
  PvPackRow row;
  PvName name = make_name (G_MAXUINT32 + G_GUINT64_CONSTANT (1));

  g_assert_cmpuint (writer_find (&writing, 10), ==, pack);
  g_assert_cmpuint (writer_find (&writing, 1000), ==, 0);
  g_assert_cmpuint (find (self->index, 10, NULL), ==, 0);
  g_assert_cmpuint (get_stats (self->index).n_pending_writers, ==, 1);
  g_assert_cmpuint (get_stats (self->index).n_packs, ==, 0);
  g_assert_true (pv_index_pack_by_name (self->index, &name, &row, NULL));
  g_assert_cmpint (row.state, ==, PV_PACK_PENDING);

  commit_ok (&writing, "web1", "a");
  for (guint i = 0; i < 1000; i++)
    g_assert_cmpuint (find (self->index, i, &state), ==, pack);
  g_assert_cmpint (state, ==, PV_PACK_LIVE);
  g_assert_cmpuint (find (self->index, 1000, NULL), ==, 0);
  reopen (self);
  g_assert_cmpuint (find (self->index, 999, NULL), ==, pack);
  g_assert_true (pv_index_pack (self->index, pack, &row, NULL));
  g_assert_true (pv_name_equal (&row.name, &name));
  g_assert_cmpint (row.state, ==, PV_PACK_LIVE);
  g_assert_cmpuint (row.n_objects, ==, 1000);
  g_assert_cmpuint (row.size, ==, 4096000);
  g_assert_false (pv_index_pack (self->index, pack + 1, &row, NULL));
  g_assert_cmpuint (get_stats (self->index).n_objects, ==, 1000);
  g_assert_cmpuint (get_stats (self->index).n_pending_writers, ==, 0);
}

static void
test_lookup_many (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_auto(Writing) writing = begin (self);
  g_auto(Writing) other = { NULL, PV_FD_NONE };
  guint32 first = add_pack (&writing, 1, 0, 1000);
  guint32 second;
  PvName names[300];
  PvLocation locations[300];
  gboolean found[300];

  commit_ok (&writing, NULL, NULL);
  other = begin (self);
  second = add_pack (&other, 2, 1000, 1000);
  for (guint i = 0; i < 300; i++)
    names[i] = make_name (i * 10 + 3);

  g_assert_true (pv_index_lookup_many (self->index, names, 300, locations, NULL, found, &error));
  for (guint i = 0; i < 300; i++)
    {
      guint number = i * 10 + 3;

      g_assert_true (found[i] == (number < 1000));
      if (found[i])
        {
          g_assert_cmpuint (locations[i].pack, ==, first);
          g_assert_cmpuint (locations[i].frame, ==, number / 32);
          g_assert_cmpuint (locations[i].slot, ==, number % 32);
        }
    }
  g_assert_true (pv_index_writer_lookup_many (other.writer, names, 300, locations, found, &error));
  for (guint i = 0; i < 300; i++)
    {
      g_assert_true (found[i] == (i * 10 + 3 < 2000));
      if (found[i])
        g_assert_cmpuint (locations[i].pack, ==, i * 10 + 3 < 1000 ? first : second);
    }
  g_assert_no_error (error);
}

/* More than is kept in memory: pending segments, which only their writer sees. */
static void
test_large_writer (Fixture *self, gconstpointer data)
{
  g_auto(Writing) writing = begin (self);
  guint n = PV_INDEX_RUN_MAX / 2 + 1000;
  guint32 packs[3];

  for (guint i = 0; i < 3; i++)
    packs[i] = add_pack (&writing, i, (guint64) i * n, n);
  for (guint i = 0; i < 3 * n; i += 997)
    {
      g_assert_cmpuint (writer_find (&writing, i), ==, packs[i / n]);
      g_assert_cmpuint (find (self->index, i, NULL), ==, 0);
    }
  g_assert_cmpuint (writer_find (&writing, 3 * n), ==, 0);
  commit_ok (&writing, "web1", "a");
  for (guint i = 0; i < 3 * n; i += 997)
    g_assert_cmpuint (find (self->index, i, NULL), ==, packs[i / n]);
  g_assert_cmpuint (get_stats (self->index).n_objects, ==, 3 * n);
}

static void
test_abort (Fixture *self, gconstpointer data)
{
  g_auto(Writing) writing = begin (self);
  PvName name = make_name (G_MAXUINT32 + G_GUINT64_CONSTANT (1));
  PvPackRow row;

  add_pack (&writing, 1, 0, PV_INDEX_RUN_MAX + 10);
  writing_clear (&writing);
  g_assert_cmpuint (find (self->index, 1, NULL), ==, 0);
  g_assert_cmpuint (get_stats (self->index).n_pending_writers, ==, 0);
  g_assert_false (pv_index_pack_by_name (self->index, &name, &row, NULL));
}

static void
test_exists (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_auto(Writing) first = begin (self);
  g_auto(Writing) second = begin (self);
  guint32 pack = add_pack (&first, 1, 0, 10);

  add_pack (&second, 2, 5, 10);
  commit_ok (&first, "web1", "a");
  g_assert_false (commit (&second, "web1", "a", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_EXISTS);
  writing_clear (&second);
  g_assert_cmpuint (find (self->index, 5, NULL), ==, pack);
  g_assert_cmpuint (find (self->index, 12, NULL), ==, 0);
  g_assert_cmpuint (get_stats (self->index).n_packs, ==, 1);
}

static void
test_copies (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_auto(Writing) first = begin (self);
  g_auto(Writing) second = begin (self);
  g_autoptr(GArray) retired = NULL;
  guint32 a = add_pack (&first, 1, 0, 100);
  guint32 b = add_pack (&second, 2, 50, 100);
  PvPackState state;
  guint64 epoch;

  commit_ok (&first, "web1", "a");
  commit_ok (&second, "web1", "b");
  g_assert_cmpuint (get_stats (self->index).n_objects, ==, 200);
  g_assert_true (pv_index_condemn (self->index, &a, 1, &epoch, &error));
  g_assert_cmpuint (find (self->index, 70, &state), ==, b);
  g_assert_cmpint (state, ==, PV_PACK_LIVE);
  g_assert_cmpuint (find (self->index, 20, &state), ==, a);
  g_assert_cmpint (state, ==, PV_PACK_CONDEMNED);
  g_assert_true (pv_index_retire (self->index, epoch, &retired, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (retired->len, ==, 1);
  g_assert_cmpuint (g_array_index (retired, PvPackRow, 0).number, ==, a);
  g_assert_cmpuint (find (self->index, 70, NULL), ==, b);
  g_assert_cmpuint (find (self->index, 20, NULL), ==, 0);
}

/* --- snapshots ---------------------------------------------------------------------------------------------------- */

static void
put_snapshot (Fixture *self, const char *domain, const char *name, gint64 time)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) object = g_bytes_new (name, strlen (name) + 1);
  g_auto(Writing) writing = begin (self);
  PvSnapshotRow row = { make_name ((guint64) time), (char *) domain, (char *) name, time, 17, object };

  g_assert_true (pv_index_writer_commit (writing.writer, &row, &error));
  g_assert_no_error (error);
}

static void
test_snapshots (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) all = NULL;
  g_autoptr(GPtrArray) some = NULL;
  g_autoptr(PvSnapshotRow) row = NULL;
  PvName id = make_name (30);

  put_snapshot (self, "web1", "c", 30);
  put_snapshot (self, "db", "a", 10);
  put_snapshot (self, "web1", "ä b", 20);
  reopen (self);
  all = pv_index_snapshots (self->index, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (all->len, ==, 3);
  g_assert_cmpstr (((PvSnapshotRow *) all->pdata[0])->domain, ==, "db");
  g_assert_cmpstr (((PvSnapshotRow *) all->pdata[1])->name, ==, "ä b");
  some = pv_index_snapshots (self->index, "web1", &error);
  g_assert_cmpuint (some->len, ==, 2);
  row = pv_index_snapshot (self->index, "web1", "c", &error);
  g_assert_no_error (error);
  g_assert_true (pv_name_equal (&row->id, &id));
  g_assert_cmpint (row->time, ==, 30);
  g_assert_cmpuint (row->stored_size, ==, 17);
  g_assert_cmpmem (g_bytes_get_data (row->object, NULL), g_bytes_get_size (row->object), "c", 2);

  g_assert_null (pv_index_snapshot (self->index, "web1", "x", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_true (pv_index_delete_snapshot (self->index, "web1", "c", &error));
  g_assert_false (pv_index_delete_snapshot (self->index, "web1", "c", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_cmpuint (get_stats (self->index).n_snapshots, ==, 2);
}

/* --- gc ----------------------------------------------------------------------------------------------------------- */

static void
test_condemned (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_auto(Writing) writing = begin (self);
  g_auto(Writing) later = { NULL, PV_FD_NONE };
  g_autoptr(GArray) retired = NULL;
  guint32 pack = add_pack (&writing, 1, 0, 10);
  guint64 epoch;

  commit_ok (&writing, "web1", "a");
  g_assert_true (pv_index_condemn (self->index, &pack, 1, &epoch, &error));
  later = begin (self);
  g_assert_cmpuint (writer_find (&later, 3), ==, 0); /* a new writer stores it again */
  g_assert_true (pv_index_pardon (self->index, &pack, 1, &error));
  g_assert_cmpuint (writer_find (&later, 3), ==, pack);
  g_assert_true (pv_index_retire (self->index, epoch, &retired, &error));
  g_assert_cmpuint (retired->len, ==, 0);
  g_assert_cmpuint (find (self->index, 3, NULL), ==, pack);
}

/* A writer that began before the condemnation takes the pack back; until it is gone nothing is retired. */
static void
test_older_writer (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_auto(Writing) writing = begin (self);
  g_auto(Writing) older = { NULL, PV_FD_NONE };
  g_auto(Writing) newer = { NULL, PV_FD_NONE };
  g_autoptr(GArray) retired = NULL;
  guint32 packs[2] = { add_pack (&writing, 1, 0, 10), add_pack (&writing, 2, 10, 10) };
  gboolean waiting;
  guint64 epoch;

  commit_ok (&writing, "web1", "a");
  older = begin (self);
  g_assert_cmpuint (writer_find (&older, 3), ==, packs[0]);
  pv_index_writer_rely (older.writer, packs[0]);
  pv_index_writer_rely (older.writer, packs[0]);
  g_assert_true (pv_index_condemn (self->index, packs, 2, &epoch, &error));
  newer = begin (self);
  g_assert_true (pv_index_older_writers (self->index, epoch, &waiting, &error));
  g_assert_true (waiting);
  g_assert_false (pv_index_retire (self->index, epoch, &retired, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  g_clear_error (&error);

  commit_ok (&older, "web1", "b");
  g_assert_true (pv_index_older_writers (self->index, epoch, &waiting, &error));
  g_assert_false (waiting); /* the newer one does not count */
  g_assert_true (pv_index_retire (self->index, epoch, &retired, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (retired->len, ==, 1);
  g_assert_cmpuint (g_array_index (retired, PvPackRow, 0).number, ==, packs[1]);
  g_assert_cmpuint (find (self->index, 3, NULL), ==, packs[0]);
  g_assert_cmpuint (find (self->index, 13, NULL), ==, 0);
}

static void
test_rely_on_retired (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_auto(Writing) writing = begin (self);

  pv_index_writer_rely (writing.writer, 99);
  g_assert_false (commit (&writing, "web1", "a", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  g_assert_cmpuint (get_stats (self->index).n_snapshots, ==, 0);
}

/* The same pack made again while the old row is condemned: its file stays. */
static void
test_same_pack_again (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_auto(Writing) writing = begin (self);
  g_auto(Writing) again = { NULL, PV_FD_NONE };
  g_autoptr(GArray) retired = NULL;
  g_autoptr(GArray) retired_later = NULL;
  guint32 pack = add_pack (&writing, 1, 0, 10);
  PvName name = make_name (G_MAXUINT32 + G_GUINT64_CONSTANT (1));
  PvPackRow row;
  guint64 epoch;
  guint32 second;

  commit_ok (&writing, "web1", "a");
  g_assert_true (pv_index_condemn (self->index, &pack, 1, &epoch, &error));
  again = begin (self);
  second = add_pack (&again, 1, 0, 10);
  g_assert_cmpuint (second, !=, pack);
  g_assert_true (pv_index_retire (self->index, epoch, &retired, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (retired->len, ==, 0);
  commit_ok (&again, "web1", "b");
  g_assert_true (pv_index_pack_by_name (self->index, &name, &row, &error));
  g_assert_cmpuint (row.number, ==, second);
  g_assert_cmpuint (find (self->index, 4, NULL), ==, second);
  g_assert_true (pv_index_condemn (self->index, &second, 1, &epoch, &error));
  g_assert_true (pv_index_retire (self->index, epoch, &retired_later, &error));
  g_assert_cmpuint (retired_later->len, ==, 1);
}

/* --- writers that died -------------------------------------------------------------------------------------------- */

static void
test_reap (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_auto(Writing) alive = begin (self);
  g_auto(Writing) dead = begin (self);
  PvName name = make_name (G_MAXUINT32 + G_GUINT64_CONSTANT (2));
  PvPackRow row;
  gboolean waiting;

  add_pack (&alive, 1, 0, 10);
  add_pack (&dead, 2, 10, 10);
  g_assert_true (pv_index_reap (self->index, &error));
  g_assert_cmpuint (get_stats (self->index).n_pending_writers, ==, 2);
  pv_fd_clear (&dead.lock);
  g_assert_true (pv_index_reap (self->index, &error));
  g_assert_no_error (error);
  g_assert_cmpuint (get_stats (self->index).n_pending_writers, ==, 1);
  g_assert_false (pv_index_pack_by_name (self->index, &name, &row, &error));
  g_assert_true (pv_index_older_writers (self->index, G_MAXINT64, &waiting, &error));
  g_assert_true (waiting);
  g_assert_false (commit (&dead, "web1", "dead", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  commit_ok (&alive, "web1", "alive");
  g_assert_cmpuint (get_stats (self->index).n_snapshots, ==, 1);
}

static void
test_replace (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *directory = g_build_filename (self->directory, "new", NULL);
  Fixture other = { 0 };
  g_auto(Writing) writing = { NULL, PV_FD_NONE };
  guint32 pack;

  put_snapshot (self, "web1", "old", 1);
  g_assert_true (pv_mkdirs (directory, 0700, &error));
  other.directory = directory;
  other.index = pv_index_open (directory, TRUE, &error);
  g_assert_no_error (error);
  writing = begin (&other);
  pack = add_pack (&writing, 1, 0, 10);
  commit_ok (&writing, "web1", "new");
  pv_index_unref (other.index);
  pv_index_unref (self->index);
  g_assert_true (pv_index_replace (directory, self->directory, &error));
  g_assert_no_error (error);
  self->index = pv_index_open (self->directory, FALSE, &error);
  g_assert_no_error (error);
  g_assert_cmpuint (find (self->index, 5, NULL), ==, pack);
  g_assert_null (pv_index_snapshot (self->index, "web1", "old", NULL));
}

#define ADD(name, function) g_test_add ("/index/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("open", test_open);
  ADD ("open/foreign", test_open_foreign);
  ADD ("commit", test_commit);
  ADD ("lookup-many", test_lookup_many);
  ADD ("large-writer", test_large_writer);
  ADD ("abort", test_abort);
  ADD ("exists", test_exists);
  ADD ("copies", test_copies);
  ADD ("snapshots", test_snapshots);
  ADD ("gc/condemned", test_condemned);
  ADD ("gc/older-writer", test_older_writer);
  ADD ("gc/rely-on-retired", test_rely_on_retired);
  ADD ("gc/same-pack-again", test_same_pack_again);
  ADD ("reap", test_reap);
  ADD ("replace", test_replace);
  return g_test_run ();
}
