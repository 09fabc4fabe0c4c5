/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/page-vfs.h"

#include <sys/stat.h>

#include "index-fixture.h"
#include "index/database.h"
#include "util/fault.h"

static PvDatabase *
open_database (Fixture *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->directory, PV_INDEX_FILE, NULL);

  return pv_database_open (path, error);
}

static gsize
database_size (const char *path)
{
  struct stat st;

  g_assert_cmpint (stat (path, &st), ==, 0);
  return (gsize) st.st_size;
}

/* Every page has its checksum, and one in the wrong place is found, though it is whole. */
static void
test_pages (Fixture *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename (self->directory, PV_INDEX_FILE, NULL);
  g_autoptr(GError) error = NULL;
  guint8 first[PV_PAGE_SIZE];
  guint8 second[PV_PAGE_SIZE];
  guint64 page;

  {
    g_auto(Writing) writing = begin (self);

    add_pack (&writing, 1, 0, 5000);
    commit_ok (&writing, "web1", "a");
  }
  g_clear_pointer (&self->index, pv_index_unref); /* writes the WAL back */
  g_assert_cmpuint (database_size (path) % PV_PAGE_SIZE, ==, 0);
  {
    g_auto(PvFd) fd = open (path, O_RDWR | O_CLOEXEC);

    g_assert_cmpint (pread (fd, first, PV_PAGE_SIZE, 20 * PV_PAGE_SIZE), ==, PV_PAGE_SIZE);
    g_assert_cmpint (pread (fd, second, PV_PAGE_SIZE, 21 * PV_PAGE_SIZE), ==, PV_PAGE_SIZE);
    g_assert_cmpint (pwrite (fd, first, PV_PAGE_SIZE, 21 * PV_PAGE_SIZE), ==, PV_PAGE_SIZE);
  }
  {
    g_autoptr(PvDatabase) database = open_database (self, &error);

    g_assert_no_error (error);
    g_assert_true (pv_page_vfs_scan (pv_database_file (database), &page));
    g_assert_cmpuint (page, ==, 22);
  }
  {
    g_auto(PvFd) fd = open (path, O_RDWR | O_CLOEXEC);

    g_assert_cmpint (pwrite (fd, second, PV_PAGE_SIZE, 21 * PV_PAGE_SIZE), ==, PV_PAGE_SIZE);
  }
  self->index = pv_index_open (self->directory, FALSE, &error);
  g_assert_no_error (error);
}

/* A damaged page is refused by whoever reads it, with a way out. */
static void
test_refused (Fixture *self, gconstpointer data)
{
  g_autofree char *path = g_build_filename (self->directory, PV_INDEX_FILE, NULL);
  g_autoptr(GError) error = NULL;
  guint8 byte = 0;
  guint n_refused = 0;

  {
    g_auto(Writing) writing = begin (self);

    add_pack (&writing, 1, 0, 5000);
    commit_ok (&writing, "web1", "a");
  }
  g_clear_pointer (&self->index, pv_index_unref);
  for (guint turn = 0; turn < 2; turn++)
    {
      g_auto(PvFd) fd = open (path, O_RDWR | O_CLOEXEC);

      g_assert_cmpint (pread (fd, &byte, 1, 30 * PV_PAGE_SIZE + 77), ==, 1);
      byte ^= 0x40;
      g_assert_cmpint (pwrite (fd, &byte, 1, 30 * PV_PAGE_SIZE + 77), ==, 1);
      pv_fd_clear (&fd);
      self->index = pv_index_open (self->directory, FALSE, &error);
      g_assert_no_error (error);
      for (guint i = 0; turn == 0 && i < 5000; i++)
        {
          g_autoptr(GError) why = NULL;
          PvName name = make_name (i);
          PvLocation location;

          if (pv_index_lookup (self->index, &name, &location, NULL, &why))
            continue;
          g_assert_error (why, PV_ERROR, PV_ERROR_CORRUPT); /* never "not there" */
          g_assert_nonnull (strstr (why->message, "--rebuild-index"));
          n_refused++;
        }
      if (turn == 0)
        g_clear_pointer (&self->index, pv_index_unref);
    }
  g_assert_cmpuint (n_refused, >, 50);
  g_assert_cmpuint (n_refused, <, 200);
}

/* A write or sync that fails makes the commit fail, and nothing of it is seen. */
static void
test_faults (Fixture *self, gconstpointer data)
{
  static const char *const points[] = { "index.write", "index.sync" };

  for (guint i = 0; i < G_N_ELEMENTS (points); i++)
    {
      g_autoptr(GError) error = NULL;
      g_auto(Writing) writing = begin (self);

      add_pack (&writing, 1, 0, 10);
      pv_fault_arm_nth (points[i], 1);
      g_assert_false (commit (&writing, "web1", "a", &error));
      g_assert_true (pv_fault_fired ());
      pv_fault_disarm ();
      g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
      g_assert_cmpuint (find (self->index, 1, NULL), ==, 0);
    }
}

#define ADD(name, function) g_test_add ("/page-vfs/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("pages", test_pages);
  ADD ("refused", test_refused);
  ADD ("faults", test_faults);
  return g_test_run ();
}
