/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whatever step of writing to a store fails, and wherever the process is killed: the store is as before or as after. */
#include "config.h"

#include <glib/gstdio.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chunk/name.h"
#include "store-fixture.h"
#include "util/fault.h"

/* What may fail. "index.step", each step of each SQL statement, passes often: not every passing is tried. */
static const char *const points[] = { "file.*", "store.*", "gc.*", "pack.*", "index.add", "index.begin", "index.commit",
                                      "index.merge", "index.step" };

/* The passing to try after the @n-th. */
static guint
next_passing (const char *point, guint n)
{
  return g_str_equal (point, "index.step") ? n + 1 + n / 3 : n + 1;
}

enum
{
  SIZE = 2 * 1024 * 1024 + 40 * 4096, /* bytes: more than a leaf */
  STEPS_MAX = 1000,
};

/* Part k of 16 changes with every (k + 1)-th snapshot: packs die bit by bit. */
static void
make_content (guint8 *data, guint n)
{
  for (guint k = 0; k < 16; k++)
    fill_random (data + k * (SIZE / 16), SIZE / 16, k * 100000 + n / (k + 1));
}

/* Takes snapshot guest@sN over the one before. */
static gboolean
try_take (PvStore *store, guint n, GError **error)
{
  g_autofree guint8 *data = g_malloc (SIZE);
  g_autofree char *name = g_strdup_printf ("s%u", n);
  g_autoptr(PvSnapshot) base = pv_store_latest (store, "guest", NULL);
  PvTxnOptions options = { .base = base, .n_threads = 2 };
  PvSnapshotMeta meta = make_meta ("guest", name);
  g_autoptr(PvTxn) txn = pv_store_begin (store, &options, error);
  PvVolumeWriter *volume;
  g_autoptr(PvSnapshot) snapshot = NULL;

  make_content (data, n);
  if (txn == NULL)
    return FALSE;
  volume = pv_txn_add_volume (txn, PV_VOLUME_RAM, "ram", SIZE, error);
  if (volume == NULL || !pv_volume_writer_write (volume, 0, data, SIZE, error)
      || !pv_volume_writer_finish (volume, error))
    return FALSE;
  snapshot = pv_txn_commit (txn, &meta, error);
  return snapshot != NULL;
}

/* All listed snapshots are whole. (n of the newest, 0 = none) */
static guint
check_all (Fixture *f)
{
  g_autofree guint8 *data = g_malloc (SIZE);
  g_autoptr(GPtrArray) list = NULL;
  g_autoptr(GError) error = NULL;
  guint newest = 0;

  fixture_open (f);
  list = pv_store_list (f->store, NULL, &error);
  g_assert_no_error (error);
  for (guint i = 0; i < list->len; i++)
    {
      guint n = (guint) g_ascii_strtoull (pv_snapshot_name (list->pdata[i]) + 1, NULL, 10);

      make_content (data, n);
      assert_content (f->store, list->pdata[i], PV_VOLUME_RAM, "ram", data, SIZE);
      newest = MAX (newest, n);
    }
  assert_sound (f);
  return newest;
}

/* Nothing but what snapshots need lies in the store. */
static void
assert_no_garbage (Fixture *f)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) list = pv_store_list (f->store, NULL, &error);
  g_autoptr(GPtrArray) files = list_files (f);
  PvStoreStat stat;
  guint expected;
  guint found = 0;

  g_assert_true (pv_store_stat (f->store, &stat, &error));
  expected = (guint) (stat.n_packs + stat.n_snapshots);
  for (guint i = 0; i < files->len; i++)
    found += strstr (files->pdata[i], "/packs/") != NULL || strstr (files->pdata[i], "/snapshots/") != NULL;
  g_assert_cmpuint (found, ==, expected);
  g_assert_cmpuint (count_entries (f, "tmp"), ==, 0);
}

/* --- failing steps ------------------------------------------------------------------------------------------------ */

static void
delete_all_but (Fixture *f, guint n)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) list = pv_store_list (f->store, NULL, &error);

  g_assert_no_error (error);
  for (guint i = 0; i + n < list->len; i++)
    g_assert_true (pv_store_delete (f->store, "guest", pv_snapshot_name (list->pdata[i]), &error));
}

static gboolean
gc (PvStore *store, GError **error)
{
  PvGcResult result;

  return pv_store_gc (store, 95, &result, NULL, NULL, NULL, error);
}

/* The n-th passing of a point fails, for n = 1, 2, … until none does: each time the snapshot is there and whole, or is
 * not there; and the store goes on. */
static void
fail_at (Fixture *f, const char *point, guint *serial, guint *n_failed)
{
  for (guint n = 1;; n = next_passing (point, n))
    {
      g_autoptr(GError) error = NULL;
      guint before = check_all (f);
      gboolean ok;
      guint after;

      (*serial)++;
      pv_fault_arm_nth (point, n);
      ok = try_take (f->store, *serial, &error);
      pv_fault_disarm ();
      g_assert_true (ok == (error == NULL));
      after = check_all (f);
      g_assert_cmpuint (after, ==, ok ? *serial : before);
      assert_no_garbage (f);
      if (!pv_fault_fired ())
        return;
      *n_failed += 1;
    }
}

static void
test_fail (Fixture *f, gconstpointer user_data)
{
  guint serial = 0;
  guint n_failed = 0;

  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    {
      fail_at (f, points[i], &serial, &n_failed);
      delete_all_but (f, 1);
    }
  g_assert_cmpuint (n_failed, >, 20);
}

static void
test_fail_create (Fixture *f, gconstpointer user_data)
{
  for (guint step = 1; step < STEPS_MAX; step++)
    {
      g_autofree char *directory = g_strdup_printf ("%s/made-%u", f->root, step);
      g_autoptr(GError) error = NULL;
      g_autoptr(PvStore) store = NULL;

      pv_fault_arm_nth ("*", step);
      store = pv_store_open (directory, PV_STORE_OPEN_CREATE, &error);
      pv_fault_disarm ();
      if (store == NULL)
        {
          g_clear_error (&error);
          store = pv_store_open (directory, PV_STORE_OPEN_CREATE, &error);
          g_assert_no_error (error);
        }
      g_assert_true (try_take (store, 1, &error));
      if (!pv_fault_fired ())
        return;
    }
  g_assert_not_reached ();
}

/* Something to do for gc: a pack without, and packs with a few live objects. */
static void
make_garbage (Fixture *f, guint *serial)
{
  g_autoptr(GError) error = NULL;

  for (guint i = 0; i < 3; i++)
    {
      try_take (f->store, ++*serial, &error);
      g_assert_no_error (error);
    }
  delete_all_but (f, 2);
}

static void
test_fail_gc (Fixture *f, gconstpointer user_data)
{
  guint serial = 0;
  guint n_failed = 0;

  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    for (guint n = 1;; n = next_passing (points[i], n))
      {
        g_autoptr(GError) error = NULL;
        gboolean ok;

        make_garbage (f, &serial);
        pv_fault_arm_nth (points[i], n);
        ok = gc (f->store, &error);
        pv_fault_disarm ();
        g_assert_true (ok == (error == NULL));
        g_clear_error (&error);
        g_assert_cmpuint (check_all (f), ==, serial);
        gc (f->store, &error); /* the next one finishes the work */
        g_assert_no_error (error);
        assert_no_garbage (f);
        if (!pv_fault_fired ())
          break;
        n_failed++;
      }
  g_test_message ("failed %u times", n_failed);
  g_assert_cmpuint (n_failed, >, 25);
  check_all (f);
}

/* --- kill -9 ------------------------------------------------------------------------------------------------------ */

static int
wait_for (pid_t child)
{
  int status;

  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  return status;
}

/* In a process of its own: @func with PAGEVAULT_FAULT as given. */
static int
run_child (Fixture *f, const char *fault, guint n, void (*func) (PvStore *store, guint n))
{
  pid_t child = fork ();

  g_assert_cmpint (child, >=, 0);
  if (child == 0)
    {
      g_autoptr(PvStore) store = NULL;

      if (fault != NULL)
        pv_fault_arm (fault);
      store = pv_store_open (f->directory, 0, NULL);
      if (store != NULL)
        func (store, n);
      _exit (0);
    }
  return wait_for (child);
}

static void
child_take (PvStore *store, guint n)
{
  try_take (store, n, NULL);
}

static void
child_gc (PvStore *store, guint n)
{
  gc (store, NULL);
}

/* Killed at the n-th passing of every point, for all n. */
static void
test_kill (Fixture *f, gconstpointer user_data)
{
  guint serial = 0;
  guint n_killed = 0;

  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    for (guint n = 1;; n = next_passing (points[i], n))
      {
        g_autofree char *fault = g_strdup_printf ("%s:kill:%u", points[i], n);
        guint before = check_all (f);
        guint after;
        int status;

        g_clear_pointer (&f->store, pv_store_unref);
        status = run_child (f, fault, ++serial, child_take);
        after = check_all (f);
        g_assert_true (after == before || after == serial);
        assert_no_garbage (f);
        delete_all_but (f, 2);
        if (WIFEXITED (status))
          break;
        g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
        n_killed++;
      }
  g_assert_cmpuint (n_killed, >, 20);
}

static void
test_kill_gc (Fixture *f, gconstpointer user_data)
{
  guint serial = 0;
  guint n_killed = 0;

  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    for (guint n = 1;; n = next_passing (points[i], n))
      {
        g_autofree char *fault = g_strdup_printf ("%s:kill:%u", points[i], n);
        g_autoptr(GError) error = NULL;
        int status;

        make_garbage (f, &serial);
        g_clear_pointer (&f->store, pv_store_unref);
        status = run_child (f, fault, 0, child_gc);
        g_assert_cmpuint (check_all (f), ==, serial);
        gc (f->store, &error);
        g_assert_no_error (error);
        assert_no_garbage (f);
        if (WIFEXITED (status))
          break;
        n_killed++;
      }
  g_assert_cmpuint (n_killed, >, 25);
  check_all (f);
}

static void
child_forever (PvStore *store, guint n)
{
  for (;; n++)
    {
      g_autoptr(GPtrArray) list = NULL;

      try_take (store, n, NULL);
      list = pv_store_list (store, NULL, NULL);
      if (list != NULL && list->len > 3)
        pv_store_delete (store, "guest", pv_snapshot_name (list->pdata[0]), NULL);
      if (n % 3 == 0)
        gc (store, NULL);
    }
}

/* Killed at any time, two writers and gc at work at once. */
static void
test_kill_any_time (Fixture *f, gconstpointer user_data)
{
  guint rounds = g_test_slow () ? 500 : 12;

  g_clear_pointer (&f->store, pv_store_unref);
  for (guint i = 0; i < rounds; i++)
    {
      pid_t children[2];

      for (guint k = 0; k < G_N_ELEMENTS (children); k++)
        {
          children[k] = fork ();
          if (children[k] == 0)
            {
              g_autoptr(PvStore) store = pv_store_open (f->directory, 0, NULL);

              child_forever (store, i * 10000 + k * 5000 + 1);
            }
        }
      g_usleep ((gulong) g_test_rand_int_range (10000, 300000));
      for (guint k = 0; k < G_N_ELEMENTS (children); k++)
        g_assert_cmpint (kill (children[k], SIGKILL), ==, 0);
      for (guint k = 0; k < G_N_ELEMENTS (children); k++)
        wait_for (children[k]);
      check_all (f);
      g_clear_pointer (&f->store, pv_store_unref);
    }
  fixture_open (f);
  child_gc (f->store, 0);
  assert_no_garbage (f);
}

/* --- no space ----------------------------------------------------------------------------------------------------- */

static void
child_limited (PvStore *store, guint n)
{
  g_autoptr(GError) error = NULL;
  struct rlimit limit;
  gboolean ok;

  signal (SIGXFSZ, SIG_IGN);
  limit.rlim_cur = limit.rlim_max = n;
  setrlimit (RLIMIT_FSIZE, &limit);
  ok = try_take (store, 1000, &error);
  if (ok || error == NULL)
    _exit (1);
}

/* Files may not grow beyond a size (a full disk fails like that): an error, nothing left, and the store goes on. */
static void
test_limit (Fixture *f, gconstpointer user_data)
{
  g_assert_true (try_take (f->store, 1, NULL));
  for (guint limit = 0; limit < SIZE / 4; limit += 20000)
    {
      g_clear_pointer (&f->store, pv_store_unref);
      g_assert_cmpint (run_child (f, NULL, limit, child_limited), ==, 0);
      g_assert_cmpuint (check_all (f), ==, 1);
      assert_no_garbage (f);
    }
  g_assert_true (try_take (f->store, 2, NULL));
}

/* In a mount name space of its own, on a file system of @n KiB: opens a store, takes snapshots until it is full, makes
 * room. */
static void
child_full (const char *directory, guint n)
{
  g_autofree char *options = g_strdup_printf ("size=%uk", n);
  Fixture f = { .directory = (char *) directory };
  g_autoptr(GError) error = NULL;
  guint serial = 1;

  if (mount ("pagevault-test", directory, "tmpfs", 0, options) < 0)
    _exit (77);
  f.store = pv_store_open (directory, PV_STORE_OPEN_CREATE, &error);
  if (f.store == NULL)
    {
      g_assert_error (error, PV_ERROR, PV_ERROR_NO_SPACE);
      _exit (0);
    }
  while (try_take (f.store, serial, &error))
    serial++;
  g_assert_error (error, PV_ERROR, PV_ERROR_NO_SPACE);
  g_assert_cmpuint (check_all (&f), ==, serial - 1);
  assert_no_garbage (&f);
  g_clear_error (&error);
  delete_all_but (&f, 0);
  gc (f.store, &error);
  g_assert_no_error (error);
  if (serial > 3) /* else the index may be most of what is there */
    {
      try_take (f.store, 1, &error);
      g_assert_no_error (error);
    }
  _exit (0);
}

static void
test_full (Fixture *f, gconstpointer user_data)
{
  g_autofree char *mounted = g_build_filename (f->root, "full", NULL);
  guint most = g_test_slow () ? 20000 : 9000;

  g_assert_cmpint (g_mkdir (mounted, 0700), ==, 0);
  for (guint kib = 100; kib < most; kib += 300 + kib / 4)
    {
      pid_t child = fork ();
      int status;

      g_assert_cmpint (child, >=, 0);
      if (child == 0)
        {
          if (unshare (CLONE_NEWNS) < 0 || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
            _exit (77);
          child_full (mounted, kib);
        }
      status = wait_for (child);
      if (WIFEXITED (status) && WEXITSTATUS (status) == 77)
        {
          g_test_skip ("mounting is not permitted");
          return;
        }
      g_assert_cmpint (status, ==, 0);
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/store-crash/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  ADD ("fail", test_fail);
  ADD ("fail-create", test_fail_create);
  ADD ("fail-gc", test_fail_gc);
  ADD ("kill", test_kill);
  ADD ("kill-gc", test_kill_gc);
  ADD ("kill-any-time", test_kill_any_time);
  ADD ("limit", test_limit);
  ADD ("full", test_full);
  return g_test_run ();
}
