/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/filter.h"

#include <sys/stat.h>

#include "index-fixture.h"

typedef struct
{
  char *directory; /* (owned) */
  char *path;      /* (owned) */
} Case;

static void
case_set_up (Case *self, gconstpointer data)
{
  self->directory = g_dir_make_tmp ("pv-filter-XXXXXX", NULL);
  self->path = g_build_filename (self->directory, "filter", NULL);
}

static void
case_tear_down (Case *self, gconstpointer data)
{
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_free (self->directory);
  g_free (self->path);
}

static PvFilter *
make_filter (Case *self, guint n)
{
  g_autoptr(GError) error = NULL;
  PvFilter *filter = pv_filter_new (self->path, n, &error);

  g_assert_no_error (error);
  g_assert_true (pv_filter_publish (filter, self->path, &error));
  for (guint i = 0; i < n; i++)
    {
      PvName name = make_name (i);

      pv_filter_add (filter, &name);
    }
  return filter;
}

static guint
count (const PvFilter *filter, guint64 first, guint n)
{
  guint hits = 0;

  for (guint i = 0; i < n; i++)
    {
      PvName name = make_name (first + i);

      hits += pv_filter_test (filter, &name);
    }
  return hits;
}

/* Never denies what was added; at its capacity takes fewer than one other name in 500 for known. */
static void
test_answers (Case *self, gconstpointer data)
{
  guint n = PV_FILTER_CAPACITY_MIN;
  g_autoptr(PvFilter) filter = make_filter (self, n);
  guint wrong = count (filter, G_GUINT64_CONSTANT (1) << 40, n);

  g_assert_cmpuint (pv_filter_capacity (filter), ==, n);
  g_assert_cmpuint (count (filter, 0, n), ==, n);
  g_test_message ("%u of %u taken for known", wrong, n);
  g_assert_cmpuint (wrong, <, n / 500);
}

static void
test_reopen (Case *self, gconstpointer data)
{
  g_autoptr(PvFilter) filter = make_filter (self, 1000);
  g_autoptr(PvFilter) again = NULL;
  g_autoptr(GError) error = NULL;
  guint8 id[PV_FILTER_ID_SIZE];
  struct stat st;
  PvName name = make_name (2000);

  memcpy (id, pv_filter_id (filter), sizeof id);
  g_assert_cmpint (stat (self->path, &st), ==, 0);
  g_assert_cmphex (st.st_mode & 0777, ==, 0600);
  again = pv_filter_open (self->path, id, sizeof id, &error); /* a second user at the same time */
  g_assert_no_error (error);
  pv_filter_add (filter, &name);
  g_assert_true (pv_filter_test (again, &name));
  g_clear_pointer (&filter, pv_filter_unref);
  g_clear_pointer (&again, pv_filter_unref);

  again = pv_filter_open (self->path, id, sizeof id, &error);
  g_assert_no_error (error);
  g_assert_true (pv_filter_verify (again, &error));
  g_assert_cmpuint (count (again, 0, 1000), ==, 1000);
  g_clear_pointer (&again, pv_filter_unref);
  id[0] ^= 1;
  g_assert_null (pv_filter_open (self->path, id, sizeof id, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

static void
change (Case *self, gsize offset, gconstpointer bytes, gsize size)
{
  g_auto(PvFd) fd = open (self->path, O_RDWR | O_CLOEXEC);

  g_assert_cmpint (pwrite (fd, bytes, size, (off_t) offset), ==, (gssize) size);
}

/* A file that was in use when the machine went down is not relied on. */
static void
test_other_boot (Case *self, gconstpointer data)
{
  g_autoptr(PvFilter) filter = make_filter (self, 1000);
  g_autoptr(PvFilter) again = NULL;
  g_autoptr(GError) error = NULL;
  guint8 id[PV_FILTER_ID_SIZE];
  guint32 unsettled = 0;

  memcpy (id, pv_filter_id (filter), sizeof id);
  g_clear_pointer (&filter, pv_filter_unref);
  change (self, 56, "another boot", 12);
  change (self, 40, &unsettled, sizeof unsettled);
  again = pv_filter_open (self->path, id, sizeof id, &error);
  g_assert_null (again);
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

static void
test_changed (Case *self, gconstpointer data)
{
  g_autoptr(PvFilter) filter = make_filter (self, 1000);
  g_autoptr(PvFilter) again = NULL;
  g_autoptr(GError) error = NULL;
  guint8 id[PV_FILTER_ID_SIZE];

  memcpy (id, pv_filter_id (filter), sizeof id);
  g_clear_pointer (&filter, pv_filter_unref);
  change (self, 23456, "x", 1);
  again = pv_filter_open (self->path, id, sizeof id, &error);
  g_assert_no_error (error);
  g_assert_false (pv_filter_verify (again, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
}

/* Whatever is in the file, opening it reads no further than it is long. */
static void
test_foreign (Case *self, gconstpointer data)
{
  g_autoptr(PvFilter) filter = make_filter (self, 1000);
  g_autofree char *content = NULL;
  guint8 id[PV_FILTER_ID_SIZE];
  gsize size;

  memcpy (id, pv_filter_id (filter), sizeof id);
  g_clear_pointer (&filter, pv_filter_unref);
  g_assert_true (g_file_get_contents (self->path, &content, &size, NULL));
  for (guint i = 0; i < 48; i++)
    {
      g_autoptr(GError) error = NULL;
      gsize kept = i < 8 ? i * 700 : size;
      char other = i >= 8 ? (char) (content[i - 8] ^ 0x5a) : 0;

      g_assert_true (pv_write_file (self->path, content, kept, NULL));
      if (i >= 8)
        change (self, i - 8, &other, 1); /* each byte of the head */
      g_assert_null (pv_filter_open (self->path, id, sizeof id, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
    }
}

static void
test_unpublished (Case *self, gconstpointer data)
{
  g_autoptr(GDir) directory = NULL;
  PvFilter *filter = pv_filter_new (self->path, 1000, NULL);

  pv_filter_unref (filter);
  directory = g_dir_open (self->directory, 0, NULL);
  g_assert_null (g_dir_read_name (directory));
}

#define ADD(name, function) g_test_add ("/filter/" name, Case, NULL, case_set_up, function, case_tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("answers", test_answers);
  ADD ("reopen", test_reopen);
  ADD ("other-boot", test_other_boot);
  ADD ("changed", test_changed);
  ADD ("foreign", test_foreign);
  ADD ("unpublished", test_unpublished);
  return g_test_run ();
}
