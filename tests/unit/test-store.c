/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/store.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "chunk/name.h"
#include "store-fixture.h"
#include "store/store-format.h"

static void
assert_open_fails (const char *directory, PvStoreOpenFlags flags, PvError code)
{
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_store_open (directory, flags, &error));
  g_assert_error (error, PV_ERROR, (gint) code);
}

static guint
mode_of (const char *path)
{
  struct stat st;

  g_assert_cmpint (lstat (path, &st), ==, 0);
  return st.st_mode & 07777;
}

static void
test_modes (Fixture *f, gconstpointer user_data)
{
  g_autofree guint8 *data = g_malloc (MIB);
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(GPtrArray) files = NULL;
  const char *directories[] = { "", "packs", "snapshots", "tmp" };
  mode_t old = umask (0);

  fill_random (data, MIB, 1);
  a = take (f, "a", NULL, data, MIB, NULL);
  umask (old);
  files = list_files (f);
  g_assert_cmpuint (files->len, >=, 4);
  for (guint i = 0; i < files->len; i++)
    g_assert_cmpuint (mode_of (files->pdata[i]), ==, 0600);
  for (guint i = 0; i < G_N_ELEMENTS (directories); i++)
    {
      g_autofree char *path = g_build_filename (f->directory, directories[i], NULL);

      g_assert_cmpuint (mode_of (path), ==, 0700);
    }
}

static void
put (Fixture *f, const char *name, const char *content)
{
  g_autofree char *path = g_build_filename (f->root, name, NULL);
  g_autofree char *directory = g_path_get_dirname (path);

  g_assert_cmpint (g_mkdir_with_parents (directory, 0755), ==, 0);
  g_assert_true (g_file_set_contents (path, content, -1, NULL));
}

/* What is no store is left as it is. */
static void
test_not_a_store (Fixture *f, gconstpointer user_data)
{
  g_autofree char *missing = g_build_filename (f->root, "missing", NULL);
  g_autofree char *other = g_build_filename (f->root, "other", NULL);
  g_autofree char *file = g_build_filename (f->root, "other", "file", NULL);
  g_autofree char *lost = g_build_filename (f->root, "lost", NULL);
  g_autofree char *format = g_build_filename (f->directory, "format", NULL);
  g_autoptr(GDir) dir = NULL;

  assert_open_fails (missing, 0, PV_ERROR_NOT_FOUND);
  put (f, "other/file", "mine");
  assert_open_fails (other, 0, PV_ERROR_INVALID);
  assert_open_fails (other, PV_STORE_OPEN_CREATE, PV_ERROR_INVALID);
  assert_open_fails (file, PV_STORE_OPEN_CREATE, PV_ERROR_INVALID);
  dir = g_dir_open (other, 0, NULL);
  g_assert_cmpstr (g_dir_read_name (dir), ==, "file");
  g_assert_null (g_dir_read_name (dir));
  put (f, "lost/packs/00/x", "a pack of a store that lost its marker");
  assert_open_fails (lost, PV_STORE_OPEN_CREATE, PV_ERROR_INVALID);

  g_clear_pointer (&f->store, pv_store_unref);
  g_assert_true (g_file_set_contents (format, "pagevault store\n\002", -1, NULL));
  assert_open_fails (f->directory, PV_STORE_OPEN_CREATE, PV_ERROR_CORRUPT);
  g_assert_cmpint (unlink (format), ==, 0);
  g_assert_cmpint (symlink ("/etc/passwd", format), ==, 0);
  assert_open_fails (f->directory, PV_STORE_OPEN_CREATE, PV_ERROR_INVALID);
}

static void
test_format (void)
{
  PvStoreFormat format;
  PvStoreFormat parsed;
  g_autoptr(GBytes) bytes = NULL;
  gsize size;
  const guint8 *data;
  g_autoptr(GError) error = NULL;

  pv_store_format_init (&format);
  bytes = pv_store_format_serialize (&format);
  data = g_bytes_get_data (bytes, &size);
  g_assert_cmpuint (size, ==, PV_STORE_FORMAT_SIZE);
  g_assert_true (pv_store_format_parse (bytes, &parsed, &error));
  g_assert_cmpstr (parsed.uuid, ==, format.uuid);
  g_assert_cmpint (parsed.time, ==, format.time);
  for (gsize i = 0; i < size; i++)
    {
      g_autofree guint8 *copy = g_memdup2 (data, size);
      g_autoptr(GBytes) flipped = NULL;
      g_autoptr(GBytes) cut = g_bytes_new (data, i);

      copy[i] ^= (guint8) (1 << i % 8);
      flipped = g_bytes_new (copy, size);
      g_assert_false (pv_store_format_parse (flipped, &parsed, NULL));
      g_assert_false (pv_store_format_parse (cut, &parsed, NULL));
    }
}

/* A making that was interrupted after any step is completed by the next one. */
static void
test_half_made (Fixture *f, gconstpointer user_data)
{
  const char *made[] = { "lock", "packs", "snapshots", "tmp" };

  for (guint n = 0; n <= G_N_ELEMENTS (made); n++)
    {
      g_autofree char *directory = g_strdup_printf ("%s/half-%u", f->root, n);
      g_autoptr(GError) error = NULL;
      g_autoptr(PvStore) store = NULL;

      g_assert_cmpint (mkdir (directory, 0755), ==, 0);
      for (guint i = 0; i < n; i++)
        {
          g_autofree char *path = g_build_filename (directory, made[i], NULL);

          if (i == 0)
            g_assert_true (g_file_set_contents (path, "", 0, NULL));
          else
            g_assert_cmpint (mkdir (path, 0700), ==, 0);
        }
      assert_open_fails (directory, 0, PV_ERROR_NOT_FOUND);
      store = pv_store_open (directory, PV_STORE_OPEN_CREATE, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (mode_of (directory), ==, 0700);
    }
}

/* Many create at once: all end up in one store. */
static void
test_create_race (Fixture *f, gconstpointer user_data)
{
  enum { N = 6 };

  for (guint round = 0; round < 10; round++)
    {
      g_autofree char *directory = g_strdup_printf ("%s/deep/race-%u", f->root, round);
      g_autoptr(GError) error = NULL;
      g_autoptr(PvStore) store = NULL;
      g_autoptr(GPtrArray) list = NULL;
      pid_t children[N];

      for (guint i = 0; i < N; i++)
        {
          children[i] = fork ();
          if (children[i] == 0)
            {
              g_autofree char *name = g_strdup_printf ("s%u", i);
              Fixture mine = { .directory = directory };
              guint8 page[PV_CHUNK_SIZE];

              fill_random (page, sizeof page, i);
              fixture_open (&mine);
              pv_snapshot_unref (take (&mine, name, NULL, page, sizeof page, NULL));
              _exit (0);
            }
        }
      for (guint i = 0; i < N; i++)
        {
          int status;

          g_assert_cmpint (waitpid (children[i], &status, 0), ==, children[i]);
          g_assert_cmpint (status, ==, 0);
        }
      store = pv_store_open (directory, 0, &error);
      g_assert_no_error (error);
      list = pv_store_list (store, NULL, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (list->len, ==, N);
    }
}

static void
test_snapshots (Fixture *f, gconstpointer user_data)
{
  guint8 page[PV_CHUNK_SIZE];
  g_autoptr(PvSnapshot) a = NULL;
  g_autoptr(PvSnapshot) b = NULL;
  g_autoptr(PvSnapshot) latest = NULL;
  g_autoptr(GPtrArray) list = NULL;
  g_autoptr(GError) error = NULL;

  fill_random (page, sizeof page, 1);
  a = take (f, "a", NULL, page, sizeof page, NULL);
  b = take (f, "b", a, page, sizeof page, NULL);
  latest = pv_store_latest (f->store, "guest", &error);
  g_assert_cmpstr (pv_snapshot_name (latest), ==, "b");
  list = pv_store_list (f->store, "guest", &error);
  g_assert_cmpuint (list->len, ==, 2);
  g_assert_cmpstr (pv_snapshot_name (list->pdata[0]), ==, "a");
  g_clear_pointer (&list, g_ptr_array_unref);
  list = pv_store_list (f->store, "other", &error);
  g_assert_cmpuint (list->len, ==, 0);

  g_assert_null (pv_store_lookup (f->store, "guest", "c", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, "guest@c"));
  g_clear_error (&error);
  g_assert_null (pv_store_lookup (f->store, "../x", "c", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_false (pv_store_delete (f->store, "guest", "c", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);

  g_assert_cmpuint (count_entries (f, "snapshots"), ==, 2);
  g_assert_true (pv_store_delete (f->store, "guest", "a", &error));
  g_assert_no_error (error);
  g_assert_cmpuint (count_entries (f, "snapshots"), ==, 1);
  g_assert_null (pv_store_lookup (f->store, "guest", "a", NULL));
  assert_content (f->store, b, PV_VOLUME_RAM, "ram", page, sizeof page);
}

/* Scratch directories of the living stay, those of the dead go with the next open. */
static void
test_scratch (Fixture *f, gconstpointer user_data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStoreScratch) mine = pv_store_scratch_new (f->store, &error);
  g_autofree char *spill = NULL;
  pid_t child;
  int status;

  g_assert_no_error (error);
  spill = g_build_filename (pv_store_scratch_path (mine), "spill", NULL);
  g_assert_true (g_file_set_contents (spill, "x", 1, NULL));
  child = fork ();
  if (child == 0)
    {
      g_autoptr(PvStore) store = pv_store_open (f->directory, 0, NULL);
      PvStoreScratch *theirs = pv_store_scratch_new (store, NULL);
      g_autofree char *path = g_build_filename (pv_store_scratch_path (theirs), "spill", NULL);

      g_file_set_contents (path, "x", 1, NULL);
      kill (getpid (), SIGKILL);
    }
  g_assert_cmpint (waitpid (child, &status, 0), ==, child);
  g_assert_cmpuint (count_entries (f, "tmp"), ==, 2);
  fixture_open (f);
  g_assert_cmpuint (count_entries (f, "tmp"), ==, 1);
  g_assert_true (g_file_test (spill, G_FILE_TEST_EXISTS));
  g_clear_pointer (&mine, pv_store_scratch_free);
  g_assert_cmpuint (count_entries (f, "tmp"), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, func) g_test_add ("/store/" name, Fixture, NULL, fixture_setup, func, fixture_teardown)
  g_test_add_func ("/store/format", test_format);
  ADD ("modes", test_modes);
  ADD ("not-a-store", test_not_a_store);
  ADD ("half-made", test_half_made);
  ADD ("create-race", test_create_race);
  ADD ("snapshots", test_snapshots);
  ADD ("scratch", test_scratch);
  return g_test_run ();
}
