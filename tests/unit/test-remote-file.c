/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdio.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "remote/rate-limit.h"
#include "unit/remote-contract.h"
#include "util/fault.h"

typedef struct
{
  char *directory; /* (owned) */
  PvRemote *remote;
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *url = NULL;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
  url = g_strconcat ("file://", self->directory, "/", NULL);
  self->remote = pv_remote_open (url, NULL, &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  pv_remote_unref (self->remote);
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_free (self->directory);
}

/* Temporary files that lie about. */
static guint
count_incoming (Fixture *self)
{
  g_autofree char *path = g_build_filename (self->directory, ".incoming", NULL);
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_contract (Fixture *self, gconstpointer data)
{
  contract_objects (self->remote);
  contract_ranges (self->remote);
  g_assert_true (contract_if_absent (self->remote));
  contract_list (self->remote);
  contract_files (self->remote, 3000001);
  contract_short_file (self->remote);
  contract_cancelled (self->remote);
  contract_threads (self->remote);
  g_assert_cmpuint (count_incoming (self), ==, 0);
}

static void
test_keys (void)
{
  static const char *const good[] = { "a", "packs/ab/0f.pack", "_-", "A/9/z", "a..b" };
  static const char *const bad[] = { "",    "/a",   "a/",   "a//b", ".",      "..",     "a/../b",
                                     "../a", ".a",   "a/.b", "a b",  "a\n",    "\303\244", "a%2f", "a\\b" };
  g_autofree char *longest = g_strnfill (PV_REMOTE_KEY_MAX, 'a'), *longer = g_strnfill (PV_REMOTE_KEY_MAX + 1, 'a');

  for (guint i = 0; i < G_N_ELEMENTS (good); i++)
    g_assert_true (pv_remote_key_is_valid (good[i]));
  for (guint i = 0; i < G_N_ELEMENTS (bad); i++)
    g_assert_false (pv_remote_key_is_valid (bad[i]));
  g_assert_true (pv_remote_key_is_valid (longest));
  g_assert_false (pv_remote_key_is_valid (longer));
}

static void
test_urls (Fixture *self, gconstpointer data)
{
  static const struct
  {
    const char *url;
    int code;
  } cases[] = { { "file://relative", PV_ERROR_INVALID },
                { "file://", PV_ERROR_INVALID },
                { "file:///", PV_ERROR_INVALID },
                { "file:///no/such/directory", PV_ERROR_INVALID },
                { "ftp://x/y", PV_ERROR_UNSUPPORTED },
                { "", PV_ERROR_UNSUPPORTED } };
  g_autofree char *url = g_strconcat ("file://", self->directory, NULL);

  g_assert_cmpstr (pv_remote_url (self->remote), ==, url);
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;

      g_assert_null (pv_remote_open (cases[i].url, NULL, &error));
      g_assert_error (error, PV_ERROR, cases[i].code);
    }
}

/* A mount that has gone is not an empty remote, and no put goes to what lies below. */
static void
test_directory_gone (Fixture *self, gconstpointer data)
{
  g_autofree char *aside = g_strconcat (self->directory, ".aside", NULL);
  g_autoptr(GBytes) bytes = contract_bytes ("x");
  g_autoptr(GError) put = NULL, get = NULL, list = NULL;

  contract_put (self->remote, "a", "x");
  g_assert_cmpint (rename (self->directory, aside), ==, 0);
  g_assert_false (pv_remote_put (self->remote, "b/c", bytes, PV_REMOTE_PUT_DEFAULT, NULL, &put));
  g_assert_error (put, PV_ERROR, PV_ERROR_INVALID);
  g_assert_null (pv_remote_get (self->remote, "a", 0, 1, NULL, &get));
  g_assert_error (get, PV_ERROR, PV_ERROR_INVALID);
  g_assert_false (pv_remote_list (self->remote, "", NULL, contract_collect, NULL, NULL, &list));
  g_assert_error (list, PV_ERROR, PV_ERROR_INVALID);
  g_assert_false (g_file_test (self->directory, G_FILE_TEST_EXISTS));
  g_assert_cmpint (rename (aside, self->directory), ==, 0);
}

/* Whatever step fails: the old object or the new one, and nothing left beside it. */
static void
test_put_faults (Fixture *self, gconstpointer data)
{
  g_autoptr(GBytes) new_bytes = contract_bytes ("new");
  PvRemotePutFlags flags = (PvRemotePutFlags) GPOINTER_TO_INT (data);
  guint n_failed = 0;

  for (guint nth = 1;; nth++)
    {
      g_autofree char *key = g_strdup_printf ("folder%u/object", nth);
      g_autoptr(GBytes) there = NULL;
      gboolean done;

      if (flags == PV_REMOTE_PUT_DEFAULT)
        contract_put (self->remote, key, "old");
      pv_fault_arm_nth ("file.*", nth);
      done = pv_remote_put (self->remote, key, new_bytes, flags, NULL, NULL);
      pv_fault_disarm ();
      there = pv_remote_get_all (self->remote, key, 3, NULL, NULL);
      if (flags == PV_REMOTE_PUT_DEFAULT)
        g_assert_nonnull (there);
      if (there != NULL && !g_bytes_equal (there, new_bytes))
        g_assert_cmpmem (g_bytes_get_data (there, NULL), 3, "old", 3);
      g_assert_cmpuint (count_incoming (self), ==, 0);
      if (!pv_fault_fired ())
        {
          g_assert_true (done);
          g_assert_true (g_bytes_equal (there, new_bytes));
          break;
        }
      g_assert_false (done);
      n_failed++;
    }
  g_assert_cmpuint (n_failed, >=, 4); /* write, fsync, rename, fsync of the directory */
}

static void
test_put_file_faults (Fixture *self, gconstpointer data)
{
  g_auto(PvFd) fd = contract_file (100000);

  for (guint nth = 1;; nth++)
    {
      g_autofree char *key = g_strdup_printf ("folder%u/object", nth);
      gboolean done, there;
      guint64 size = 0;

      pv_fault_arm_nth ("file.*", nth);
      done = pv_remote_put_file (self->remote, key, fd, 100000, NULL, NULL, NULL, NULL);
      pv_fault_disarm ();
      there = pv_remote_stat (self->remote, key, &size, NULL, NULL);
      g_assert_true (there || !done);
      g_assert_true (!there || size == 100000);
      g_assert_cmpuint (count_incoming (self), ==, 0);
      if (!pv_fault_fired ())
        break;
      g_assert_false (done);
    }
}

/* What is not an object of ours is not listed, and no link is followed. */
static void
test_foreign_files (Fixture *self, gconstpointer data)
{
  static const char *const names[] = { "lost+found", ".hidden", "a b", "\303\244" };
  g_autofree char *loop = g_build_filename (self->directory, "loop", NULL);
  g_autofree char *pipe = g_build_filename (self->directory, "pipe", NULL);

  for (guint i = 0; i < G_N_ELEMENTS (names); i++)
    {
      g_autofree char *path = g_build_filename (self->directory, names[i], NULL);

      g_assert_true (g_file_set_contents (path, "x", 1, NULL));
    }
  g_assert_cmpint (symlink (self->directory, loop), ==, 0);
  g_assert_cmpint (mkfifo (pipe, 0600), ==, 0);
  contract_put (self->remote, "ours", "x");
  contract_list_is (self->remote, "", NULL, "ours:1 ");
}

static void
test_sweep (Fixture *self, gconstpointer data)
{
  g_autofree char *folder = g_build_filename (self->directory, ".incoming", NULL);
  g_autofree char *old = g_build_filename (folder, "put.old", NULL);
  g_autofree char *young = g_build_filename (folder, "put.new", NULL);
  struct timeval long_ago[2] = { { 1000, 0 }, { 1000, 0 } };
  guint64 n_removed = 99;

  contract_put (self->remote, "a", "x");
  g_assert_true (g_file_set_contents (old, "x", 1, NULL) && g_file_set_contents (young, "x", 1, NULL));
  g_assert_cmpint (utimes (old, long_ago), ==, 0);
  g_assert_true (pv_remote_sweep (self->remote, 86400, &n_removed, NULL, NULL));
  g_assert_cmpuint (n_removed, ==, 1);
  g_assert_false (g_file_test (old, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (young, G_FILE_TEST_EXISTS));
  contract_is (self->remote, "a", "x");
}

/* 3 MB at 10 MB/s by two threads: never sooner than that. */
static gpointer
take_some (gpointer data)
{
  for (guint i = 0; i < 15; i++)
    pv_rate_limit_take (data, 100000, NULL);
  return NULL;
}

static void
test_rate_limit (void)
{
  g_autoptr(PvRateLimit) limit = pv_rate_limit_new (10000000), none = pv_rate_limit_new (0);
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  gint64 start = g_get_monotonic_time ();
  GThread *thread = g_thread_new ("take", take_some, limit);

  take_some (limit);
  g_thread_join (thread);
  pv_rate_limit_take (limit, 0, NULL); /* the last piece has had its time, too */
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 300 * G_TIME_SPAN_MILLISECOND);
  pv_rate_limit_take (none, G_MAXUINT64, NULL);
  g_cancellable_cancel (cancellable);
  pv_rate_limit_take (limit, G_GUINT64_CONSTANT (1) << 60, cancellable);
  pv_rate_limit_take (limit, 1, cancellable); /* after centuries, or at once */
  g_assert_cmpuint (pv_rate_limit_step (limit), ==, 1000000);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/remote-file/keys", test_keys);
  g_test_add_func ("/remote-file/rate-limit", test_rate_limit);
#define ADD(name, data, function) g_test_add ("/remote-file/" name, Fixture, data, set_up, function, tear_down)
  ADD ("contract", NULL, test_contract);
  ADD ("urls", NULL, test_urls);
  ADD ("directory-gone", NULL, test_directory_gone);
  ADD ("put-faults/replace", GINT_TO_POINTER (PV_REMOTE_PUT_DEFAULT), test_put_faults);
  ADD ("put-faults/if-absent", GINT_TO_POINTER (PV_REMOTE_PUT_IF_ABSENT), test_put_faults);
  ADD ("put-faults/file", NULL, test_put_file_faults);
  ADD ("foreign-files", NULL, test_foreign_files);
  ADD ("sweep", NULL, test_sweep);
#undef ADD
  return g_test_run ();
}
