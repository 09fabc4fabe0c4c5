/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is left of an index when a step fails, when its process is killed at a step, and when others write at the
 * same time. */
#include "config.h"

#include <signal.h>
#include <stdlib.h>
#include <gio/gio.h>
#include <sys/stat.h>

#include "index-fixture.h"
#include "index/index-private.h"
#include "index/merge.h"
#include "util/fault.h"

#define N_PACKS 6u
#define PACK_OBJECTS 150u
#define N_OLD 10u /* snapshots committed before */

/* Small enough that a few hundred objects are several segments, and a merge several transactions. */
static void
make_small (PvIndex *index)
{
  index->run_max = 200;
  index->merge_step = 400;
}

static Writing
try_begin (Fixture *self, GError **error)
{
  g_autofree char *path = g_strdup_printf ("%s/lock-%d-%d", self->directory, getpid (), self->n_locks++);
  Writing writing = { NULL, pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, NULL) };

  g_assert_cmpint (flock (writing.lock, LOCK_EX | LOCK_NB), ==, 0);
  writing.writer = pv_index_writer_begin (self->index, path, error);
  return writing;
}

/* Pack number @pack (from 0) of snapshot @snapshot: objects of its own. */
static gboolean
try_add_pack (Writing *writing, guint64 snapshot, guint64 pack, GError **error)
{
  PvIndexEntry entries[PACK_OBJECTS];
  guint64 first = (snapshot * N_PACKS + pack) * PACK_OBJECTS;
  PvName name = make_name (first + (G_GUINT64_CONSTANT (1) << 40));
  guint32 number;

  if (!pv_index_writer_add_pack (writing->writer, &name, 4096, PACK_OBJECTS, &number, error))
    return FALSE;
  for (guint i = 0; i < PACK_OBJECTS; i++)
    entries[i] = (PvIndexEntry) { make_name (first + i), { number, i / 32, i % 32 } };
  return pv_index_writer_add (writing->writer, entries, PACK_OBJECTS, error);
}

static gboolean
try_commit (Fixture *self, guint64 snapshot, GError **error)
{
  g_autofree char *name = g_strdup_printf ("s%" G_GUINT64_FORMAT, snapshot);
  g_auto(Writing) writing = try_begin (self, error);

  if (writing.writer == NULL)
    return FALSE;
  for (guint i = 0; i < N_PACKS; i++)
    if (!try_add_pack (&writing, snapshot, i, error))
      return FALSE;
  return commit (&writing, "web1", name, error);
}

/* All objects of the snapshot are there, or none. */
static void
assert_snapshot (Fixture *self, guint64 snapshot, gboolean there)
{
  g_autofree char *name = g_strdup_printf ("s%" G_GUINT64_FORMAT, snapshot);
  g_autoptr(PvSnapshotRow) row = pv_index_snapshot (self->index, "web1", name, NULL);

  g_assert_true ((row != NULL) == there);
  for (guint i = 0; i < N_PACKS * PACK_OBJECTS; i += 7)
    g_assert_true ((find (self->index, snapshot * N_PACKS * PACK_OBJECTS + i, NULL) != 0) == there);
}

static void
set_up_small (Fixture *self, gconstpointer data)
{
  set_up (self, data);
  make_small (self->index);
  for (guint i = 0; i < N_OLD; i++)
    g_assert_true (try_commit (self, i, NULL));
}

static void
reopen_small (Fixture *self)
{
  reopen (self);
  make_small (self->index);
}

/* --- a step fails ------------------------------------------------------------------------------------------------- */

typedef gboolean (*Act) (Fixture *self, guint turn, GError **error);
typedef void (*Assert) (Fixture *self, guint turn, gboolean done);

static gboolean
act_commit (Fixture *self, guint turn, GError **error)
{
  return try_commit (self, 100 + turn, error);
}

static void
assert_commit (Fixture *self, guint turn, gboolean done)
{
  assert_snapshot (self, 100 + turn, done);
}

static gboolean
act_optimize (Fixture *self, guint turn, GError **error)
{
  return pv_index_optimize (self->index, error);
}

static void
assert_nothing (Fixture *self, guint turn, gboolean done)
{
}

/* Packs go from condemned to retired or not: never a part of them. */
static gboolean
act_retire (Fixture *self, guint turn, GError **error)
{
  g_autoptr(GArray) retired = NULL;
  guint32 packs[2] = { 1 + 2 * (turn % 20), 2 + 2 * (turn % 20) };
  guint64 epoch;

  return pv_index_condemn (self->index, packs, 2, &epoch, error)
         && pv_index_retire (self->index, epoch, &retired, error);
}

static void
assert_retire (Fixture *self, guint turn, gboolean done)
{
  PvPackRow row;
  gboolean first = pv_index_pack (self->index, 1 + 2 * (turn % 20), &row, NULL);
  gboolean second = pv_index_pack (self->index, 2 + 2 * (turn % 20), &row, NULL);

  g_assert_true (first == second);
  g_assert_true (!done || !first);
}

/* Something to merge, and something to drop while merging. */
static void
prepare_optimize (Fixture *self, guint turn)
{
  g_autoptr(GArray) retired = NULL;
  guint32 pack = 61 + turn;
  guint64 epoch;

  for (guint i = 0; i < 3; i++)
    g_assert_true (try_commit (self, 2000 + 3 * turn + i, NULL));
  g_assert_true (pv_index_condemn (self->index, &pack, 1, &epoch, NULL));
  g_assert_true (pv_index_retire (self->index, epoch, &retired, NULL));
  g_assert_cmpuint (retired->len, ==, 1);
}

typedef struct
{
  void (*prepare) (Fixture *self, guint turn); /* (nullable) */
  Act act;
  Assert check;
  const char *pattern;
  guint stride; /* every so manieth step */
} Case;

static void
test_fail (Fixture *self, gconstpointer data)
{
  const Case *tried = data;
  guint turn = 0;
  gboolean fired = TRUE;

  for (guint n = 1; fired; n += tried->stride)
    {
      g_autoptr(GError) error = NULL;
      gboolean done;

      if (tried->prepare != NULL)
        tried->prepare (self, turn);
      pv_fault_arm_nth (tried->pattern, n);
      done = tried->act (self, turn, &error);
      fired = pv_fault_fired ();
      pv_fault_disarm ();
      g_assert_true (done == (error == NULL));
      g_assert_true (done || fired);
      reopen_small (self);
      assert_undamaged (self->index);
      tried->check (self, turn, done);
      if (turn % 8 == 0)
        g_assert_true (tried->act (self, 1000 + turn, NULL)); /* and it goes on working */
      turn++;
    }
  g_test_message ("%u places", turn);
  for (guint i = 0; tried->act != act_retire && i < N_OLD; i++)
    assert_snapshot (self, i, TRUE);
}

/* --- the process is killed ---------------------------------------------------------------------------------------- */

/* What the killed process does: snapshots from @first on, deleting each third one, with some gc. */
static int
run_child (const char *directory, guint64 first, guint n)
{
  g_autoptr(GError) error = NULL;
  Fixture self = { .directory = (char *) directory };

  self.index = pv_index_open (directory, FALSE, &error);
  if (self.index == NULL || !pv_index_reap (self.index, &error))
    g_error ("%s", error->message);
  make_small (self.index);
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *name = g_strdup_printf ("s%" G_GUINT64_FORMAT, first + i);

      if (!try_commit (&self, first + i, &error)
          || (i % 3 == 2 && !pv_index_delete_snapshot (self.index, "web1", name, &error))
          || (i % 4 == 3 && !pv_index_optimize (self.index, &error)))
        g_error ("%s", error->message);
      g_print ("%" G_GUINT64_FORMAT "\n", first + i); /* told: from here on it must be there */
    }
  pv_index_unref (self.index);
  return 0;
}

static GSubprocess *
spawn_child (Fixture *self, guint64 first, guint n, const char *fault)
{
  g_autoptr(GSubprocessLauncher) launcher = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE);
  g_autoptr(GError) error = NULL;
  g_autofree char *first_text = g_strdup_printf ("%" G_GUINT64_FORMAT, first);
  g_autofree char *n_text = g_strdup_printf ("%u", n);
  GSubprocess *child;

  if (fault != NULL)
    g_subprocess_launcher_setenv (launcher, "PAGEVAULT_FAULT", fault, TRUE);
  child = g_subprocess_launcher_spawn (launcher, &error, "/proc/self/exe", "--child", self->directory, first_text,
                                       n_text, NULL);
  g_assert_no_error (error);
  return child;
}

/* Killed at its 1st, 12th, 23rd … step; what it said was done is there afterwards, and nothing in halves. */
static void
test_kill (Fixture *self, gconstpointer data)
{
  gboolean killed = TRUE;
  guint turn = 0;

  for (guint step = 1; killed; step += 11 + step / 8)
    {
      g_autofree char *fault = g_strdup_printf ("index.*:kill:%u", step);
      g_autoptr(GSubprocess) child = spawn_child (self, 1000 + 10 * turn, 3, fault);
      g_autofree char *said = NULL;
      guint n_said = 0;

      g_assert_true (g_subprocess_communicate_utf8 (child, NULL, NULL, &said, NULL, NULL));
      killed = g_subprocess_get_if_signaled (child);
      g_assert_true (killed ? g_subprocess_get_term_sig (child) == SIGKILL : g_subprocess_get_successful (child));
      reopen_small (self);
      g_assert_true (pv_index_reap (self->index, NULL));
      assert_undamaged (self->index);
      g_assert_cmpuint (get_stats (self->index).n_pending_writers, ==, 0);
      for (const char *c = said; *c != '\0'; c++)
        n_said += *c == '\n';
      for (guint i = 0; i < MIN (n_said, 2); i++)
        assert_snapshot (self, 1000 + 10 * turn + i, TRUE);
      turn++;
    }
  g_test_message ("killed %u times", turn - 1);
  for (guint i = 0; i < N_OLD; i++)
    assert_snapshot (self, i, TRUE);
}

/* --- several at once ---------------------------------------------------------------------------------------------- */

static void
test_together (Fixture *self, gconstpointer data)
{
  GSubprocess *children[3];

  for (guint i = 0; i < 3; i++)
    children[i] = spawn_child (self, 1000 * (i + 1), 14, NULL);
  for (guint i = 0; i < N_OLD; i++)
    assert_snapshot (self, i, TRUE); /* while they write */
  for (guint i = 0; i < 3; i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_true (g_subprocess_wait_check (children[i], NULL, &error));
      g_assert_no_error (error);
      g_object_unref (children[i]);
    }
  for (guint i = 0; i < 3; i++)
    for (guint j = 0; j < 14; j++)
      if (j % 3 != 2)
        assert_snapshot (self, 1000 * (i + 1) + j, TRUE);
  g_assert_cmpuint (get_stats (self->index).n_objects, ==, (N_OLD + 3 * 14) * N_PACKS * PACK_OBJECTS);
}

typedef struct
{
  Writing *writing;
  gint stop;
  guint n_lookups;
} Looking;

static gpointer
look_up_others (gpointer data)
{
  Looking *self = data;

  for (; !g_atomic_int_get (&self->stop); self->n_lookups++)
    {
      g_assert_cmpuint (writer_find (self->writing, self->n_lookups % (N_OLD * N_PACKS * PACK_OBJECTS)), !=, 0);
      g_assert_cmpuint (writer_find (self->writing, (G_GUINT64_CONSTANT (1) << 50) + self->n_lookups), ==, 0);
    }
  return NULL;
}

/* A writer's threads look names up while it adds, flushes and merges, and while others optimize. */
static void
test_threads (Fixture *self, gconstpointer data)
{
  g_auto(Writing) writing = try_begin (self, NULL);
  Looking looking[3];
  GThread *threads[3];

  for (guint i = 0; i < 3; i++)
    {
      looking[i] = (Looking) { .writing = &writing };
      threads[i] = g_thread_new ("lookup", look_up_others, &looking[i]);
    }
  for (guint i = 0; i < 60; i++)
    {
      g_assert_true (try_add_pack (&writing, 5000, i, NULL));
      g_assert_cmpuint (writer_find (&writing, (guint64) 5000 * N_PACKS * PACK_OBJECTS + i * PACK_OBJECTS), !=, 0);
      if (i % 16 == 5)
        g_assert_true (pv_index_optimize (self->index, NULL));
    }
  for (guint i = 0; i < 60 * PACK_OBJECTS; i += 11)
    g_assert_cmpuint (writer_find (&writing, (guint64) 5000 * N_PACKS * PACK_OBJECTS + i), !=, 0);
  for (guint i = 0; i < 3; i++)
    {
      g_atomic_int_set (&looking[i].stop, 1);
      g_thread_join (threads[i]);
      g_assert_cmpuint (looking[i].n_lookups, >, 0);
    }
  commit_ok (&writing, "web1", "threads");
}

/* --- damage ------------------------------------------------------------------------------------------------------- */

static gboolean
is_found (const char *directory)
{
  g_autoptr(GPtrArray) damage = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvIndex) index = pv_index_open (directory, FALSE, &error);

  if (index == NULL)
    {
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      return TRUE;
    }
  g_assert_true (pv_index_verify (index, damage, &error));
  g_assert_no_error (error);
  return damage->len > 0;
}

static void
flip (const char *path, gsize offset, guint bit)
{
  g_auto(PvFd) fd = open (path, O_RDWR | O_CLOEXEC);
  guint8 byte;

  g_assert_cmpint (pread (fd, &byte, 1, (off_t) offset), ==, 1);
  byte ^= (guint8) (1u << bit);
  g_assert_cmpint (pwrite (fd, &byte, 1, (off_t) offset), ==, 1);
}

/* Bits all over @file: each is found by verify, or (@harmless) makes the file one that is not used. */
static void
check_flips (Fixture *self, const char *file, guint n, gsize first)
{
  g_autofree char *path = g_build_filename (self->directory, file, NULL);
  struct stat st;

  g_clear_pointer (&self->index, pv_index_unref);
  g_assert_false (is_found (self->directory));
  g_assert_cmpint (stat (path, &st), ==, 0);
  for (guint i = 0; i < n; i++)
    {
      gsize offset = first + ((gsize) st.st_size - first) * i / n + i % 7;
      guint bit = (i * 5) % 8;

      flip (path, offset, bit);
      if (!is_found (self->directory))
        g_error ("%s: bit %u of byte %" G_GSIZE_FORMAT " is not missed", file, bit, offset);
      flip (path, offset, bit);
    }
  g_assert_false (is_found (self->directory));
  self->index = pv_index_open (self->directory, FALSE, NULL);
}

static void
test_flip_database (Fixture *self, gconstpointer data)
{
  check_flips (self, PV_INDEX_FILE, 400, 0);
}

static void
test_flip_filter (Fixture *self, gconstpointer data)
{
  check_flips (self, PV_INDEX_FILTER_FILE, 200, 40); /* with a damaged head it is not used */
}

/* The filter may vanish or become another's: writers make a new one. */
static void
test_lost_filter (Fixture *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename (self->directory, PV_INDEX_FILTER_FILE, NULL);

  for (guint i = 0; i < 3; i++)
    {
      g_auto(Writing) writing = { NULL, PV_FD_NONE };

      if (i == 0)
        g_assert_cmpint (unlink (path), ==, 0);
      else
        flip (path, i == 1 ? 20 : 3, 1); /* its id; its magic */
      reopen_small (self);
      assert_undamaged (self->index);
      assert_snapshot (self, 3, TRUE);
      writing = try_begin (self, NULL);
      g_assert_cmpuint (writer_find (&writing, 5), !=, 0);
      g_assert_cmpint (access (path, F_OK), ==, 0);
    }
}

static const Case commit_case = { NULL, act_commit, assert_commit, "index.*", 3 };
static const Case optimize_case = { prepare_optimize, act_optimize, assert_nothing, "index.*", 2 };
static const Case retire_case = { NULL, act_retire, assert_retire, "index.*", 1 };

#define ADD(name, data, function) g_test_add ("/index-crash/" name, Fixture, data, set_up_small, function, tear_down)

int
main (int argc, char **argv)
{
  if (argc == 5 && g_str_equal (argv[1], "--child"))
    return run_child (argv[2], g_ascii_strtoull (argv[3], NULL, 10), (guint) atoi (argv[4]));
  g_test_init (&argc, &argv, NULL);
  ADD ("fail/commit", &commit_case, test_fail);
  ADD ("fail/optimize", &optimize_case, test_fail);
  ADD ("fail/retire", &retire_case, test_fail);
  ADD ("kill", NULL, test_kill);
  ADD ("together", NULL, test_together);
  ADD ("threads", NULL, test_threads);
  ADD ("flip/database", NULL, test_flip_database);
  ADD ("flip/filter", NULL, test_flip_filter);
  ADD ("lost-filter", NULL, test_lost_filter);
  return g_test_run ();
}
