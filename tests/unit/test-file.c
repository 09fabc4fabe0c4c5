/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fault.h"

typedef struct
{
  char *directory; /* (owned) */
} Fixture;

static void
set_up (Fixture *self, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_dir_make_tmp ("pagevault-test-XXXXXX", &error);
  g_assert_no_error (error);
}

static void
tear_down (Fixture *self, gconstpointer data)
{
  g_assert_true (pv_remove_tree (self->directory, NULL));
  g_assert_false (g_file_test (self->directory, G_FILE_TEST_EXISTS));
  g_free (self->directory);
}

static char *
inside (Fixture *self, const char *name)
{
  return g_build_filename (self->directory, name, NULL);
}

static guint
count_entries (Fixture *self)
{
  g_autoptr(GDir) dir = g_dir_open (self->directory, 0, NULL);
  guint n = 0;

  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static gboolean
is_open (int fd)
{
  return fcntl (fd, F_GETFD) >= 0;
}

static void
test_fd (Fixture *self, gconstpointer data)
{
  int number, kept;

  {
    g_auto(PvFd) fd = pv_openat (AT_FDCWD, self->directory, O_RDONLY | O_DIRECTORY, 0, NULL);

    number = fd;
    g_assert_true (is_open (number));
    g_assert_cmpint (fcntl (number, F_GETFD) & FD_CLOEXEC, !=, 0);
  }
  g_assert_false (is_open (number));
  {
    g_auto(PvFd) fd = pv_openat (AT_FDCWD, self->directory, O_RDONLY | O_DIRECTORY, 0, NULL);

    kept = pv_fd_steal (&fd);
    g_assert_cmpint (fd, ==, PV_FD_NONE);
    errno = ENOTTY;
    pv_fd_clear (&fd);
    g_assert_cmpint (errno, ==, ENOTTY);
  }
  g_assert_true (is_open (kept));
  close (kept);
}

static void
test_open_errors (Fixture *self, gconstpointer data)
{
  g_autofree char *path = inside (self, "missing");
  g_autoptr(GError) error = NULL;

  g_assert_cmpint (pv_openat (AT_FDCWD, path, O_RDONLY, 0, &error), ==, -1);
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_nonnull (strstr (error->message, path));
}

static void
test_read_and_write (Fixture *self, gconstpointer data)
{
  g_autofree char *path = inside (self, "file");
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, NULL);
  g_autoptr(GError) error = NULL;
  char text[20] = "";

  g_assert_true (pv_write_all (fd, "0123456789", 10, path, NULL));
  g_assert_true (pv_pwrite_all (fd, "xy", 2, 4, path, NULL));
  g_assert_true (pv_pread_exact (fd, text, 10, 0, path, NULL));
  g_assert_cmpstr (text, ==, "0123xy6789");
  g_assert_cmpint (pv_pread_full (fd, text, sizeof text, 7, path, NULL), ==, 3);
  g_assert_cmpint (pv_pread_full (fd, text, sizeof text, 1000, path, NULL), ==, 0);
  g_assert_cmpint (lseek (fd, 2, SEEK_SET), ==, 2);
  g_assert_cmpint (pv_read_full (fd, text, sizeof text, path, NULL), ==, 8);
  g_assert_false (pv_pread_exact (fd, text, 4, 7, path, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_true (pv_fsync (fd, path, NULL));
}

static void
test_io_errors (Fixture *self, gconstpointer data)
{
  g_auto(PvFd) directory = pv_openat (AT_FDCWD, self->directory, O_RDONLY | O_DIRECTORY, 0, NULL);
  g_auto(PvFd) full = pv_openat (AT_FDCWD, "/dev/full", O_RDWR, 0, NULL);
  g_autoptr(GError) read_error = NULL, pread_error = NULL, write_error = NULL, full_error = NULL;
  char byte;

  g_assert_cmpint (pv_read_full (directory, &byte, 1, "it", &read_error), ==, -1);
  g_assert_error (read_error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_cmpint (pv_pread_full (directory, &byte, 1, 0, "it", &pread_error), ==, -1);
  g_assert_error (pread_error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_false (pv_write_all (directory, "x", 1, "it", &write_error));
  g_assert_error (write_error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_false (pv_write_all (full, "x", 1, "it", &full_error));
  g_assert_error (full_error, PV_ERROR, PV_ERROR_NO_SPACE);
}

static gpointer
drain_slowly (gpointer data)
{
  g_auto(PvFd) fd = GPOINTER_TO_INT (data);
  guint8 buffer[1000];
  gsize total = 0;
  gssize n;

  while ((n = read (fd, buffer, sizeof buffer)) > 0)
    {
      for (gssize i = 0; i < n; i++)
        g_assert_cmpuint (buffer[i], ==, (guint8) ((total + (gsize) i) / 7));
      total += (gsize) n;
    }
  return GSIZE_TO_POINTER (total);
}

/* Through a pipe, where writes and reads are short. */
static void
test_short_transfers (Fixture *self, gconstpointer data)
{
  gsize size = 300001;
  g_autofree guint8 *bytes = g_malloc (size);
  GThread *thread;
  int fds[2];

  for (gsize i = 0; i < size; i++)
    bytes[i] = (guint8) (i / 7);
  g_assert_cmpint (pipe2 (fds, O_CLOEXEC), ==, 0);
  thread = g_thread_new ("drain", drain_slowly, GINT_TO_POINTER (fds[0]));
  g_assert_true (pv_write_all (fds[1], bytes, size, "pipe", NULL));
  close (fds[1]);
  g_assert_cmpuint (GPOINTER_TO_SIZE (g_thread_join (thread)), ==, size);
}

static void
test_write_file (Fixture *self, gconstpointer data)
{
  g_autofree char *path = inside (self, "file");
  g_autoptr(GBytes) read = NULL;
  struct stat st;

  g_assert_true (pv_write_file (path, "one", 3, NULL));
  g_assert_true (pv_write_file (path, "three", 5, NULL));
  g_assert_cmpint (stat (path, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0600);
  read = pv_read_file (path, 5, NULL);
  g_assert_cmpmem (g_bytes_get_data (read, NULL), g_bytes_get_size (read), "three", 5);
  g_assert_cmpuint (count_entries (self), ==, 1);
}

/* Old or new, never a mixture, and nothing left beside it. */
static void
test_write_file_faults (Fixture *self, gconstpointer data)
{
  g_autofree char *path = inside (self, "file");
  guint n_failed = 0;

  g_assert_true (pv_write_file (path, "old", 3, NULL));
  for (guint nth = 1;; nth++)
    {
      g_autofree char *content = NULL;
      gboolean written;

      pv_fault_arm_nth ("file.*", nth);
      written = pv_write_file (path, "new", 3, NULL);
      pv_fault_disarm ();
      g_assert_true (g_file_get_contents (path, &content, NULL, NULL));
      g_assert_cmpuint (count_entries (self), ==, 1);
      if (!pv_fault_fired ())
        {
          g_assert_true (written);
          g_assert_cmpstr (content, ==, "new");
          break;
        }
      g_assert_false (written);
      g_assert_true (g_str_equal (content, "old") || g_str_equal (content, "new"));
      n_failed++;
    }
  g_assert_cmpuint (n_failed, ==, 4); /* write, fsync, rename, fsync of the directory */
}

static void
test_read_file_limits (Fixture *self, gconstpointer data)
{
  g_autofree char *path = inside (self, "file");
  g_autoptr(GError) large = NULL, missing = NULL;
  g_autoptr(GBytes) empty = NULL;

  g_assert_null (pv_read_file (path, 10, &missing));
  g_assert_error (missing, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_assert_true (pv_write_file (path, "0123456789", 10, NULL));
  g_assert_null (pv_read_file (path, 9, &large));
  g_assert_error (large, PV_ERROR, PV_ERROR_CORRUPT);
  g_assert_true (pv_write_file (path, "", 0, NULL));
  empty = pv_read_file (path, 0, NULL);
  g_assert_cmpuint (g_bytes_get_size (empty), ==, 0);
}

static void
test_read_lines (Fixture *self, gconstpointer data)
{
  static const struct
  {
    const char *content, *wanted; /* each line with a bar behind it */
  } cases[] = { { "", "" }, { "torn", "" }, { "\n", "|" }, { "one\n", "one|" }, { "one\ntwo\ntorn", "one|two|" },
                { "a\n\nb\n", "a||b|" } };
  g_autofree char *path = inside (self, "lines");

  g_assert_null (pv_read_lines (path, 100, NULL));
  for (guint i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_auto(GStrv) lines = NULL;
      g_autoptr(GString) joined = g_string_new (NULL);

      g_assert_true (pv_write_file (path, cases[i].content, strlen (cases[i].content), NULL));
      lines = pv_read_lines (path, 100, NULL);
      for (char **line = lines; *line != NULL; line++)
        g_string_append_printf (joined, "%s|", *line);
      g_assert_cmpstr (joined->str, ==, cases[i].wanted);
    }
}

static void
test_publish (Fixture *self, gconstpointer data)
{
  g_autofree char *from = inside (self, "from"), *to = inside (self, "to");
  g_autofree char *content = NULL;
  g_autoptr(GError) error = NULL;

  g_assert_true (g_file_set_contents (from, "x", 1, NULL));
  g_assert_true (pv_publish (from, to, NULL));
  g_assert_true (g_file_get_contents (to, &content, NULL, NULL));
  g_assert_false (g_file_test (from, G_FILE_TEST_EXISTS));
  g_assert_false (pv_publish (from, to, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
}

static void
test_unlink (Fixture *self, gconstpointer data)
{
  g_autofree char *path = inside (self, "file");
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_unlink (path, NULL));
  g_assert_true (g_file_set_contents (path, "x", 1, NULL));
  g_assert_true (pv_unlink (path, NULL));
  g_assert_false (g_file_test (path, G_FILE_TEST_EXISTS));
  g_assert_false (pv_unlink (self->directory, &error));
  g_assert_nonnull (error);
}

/* What a symbolic link inside points to stays. */
static void
test_remove_tree (Fixture *self, gconstpointer data)
{
  g_autofree char *tree = inside (self, "tree"), *deep = inside (self, "tree/a/b/c");
  g_autofree char *file = inside (self, "tree/a/file"), *outside = inside (self, "outside");
  g_autofree char *kept = inside (self, "outside/kept"), *link = inside (self, "tree/a/link");
  struct stat st;

  g_assert_true (pv_mkdirs (deep, 0700, NULL));
  g_assert_true (pv_mkdirs (deep, 0700, NULL));
  g_assert_cmpint (stat (deep, &st), ==, 0);
  g_assert_cmpint (st.st_mode & 07777, ==, 0700);
  g_assert_true (pv_mkdirs (outside, 0700, NULL));
  g_assert_true (g_file_set_contents (file, "x", 1, NULL));
  g_assert_true (g_file_set_contents (kept, "x", 1, NULL));
  g_assert_cmpint (symlink (outside, link), ==, 0);
  g_assert_true (pv_remove_tree (tree, NULL));
  g_assert_false (g_file_test (tree, G_FILE_TEST_EXISTS));
  g_assert_true (g_file_test (kept, G_FILE_TEST_EXISTS));
  g_assert_true (pv_remove_tree (tree, NULL));
}

static void
test_mkdirs_in_the_way (Fixture *self, gconstpointer data)
{
  g_autofree char *file = inside (self, "file"), *below = inside (self, "file/below");
  g_autoptr(GError) error = NULL;

  g_assert_true (g_file_set_contents (file, "x", 1, NULL));
  g_assert_false (pv_mkdirs (below, 0700, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
}

static void
test_flock (Fixture *self, gconstpointer data)
{
  g_autofree char *path = inside (self, "lock");
  g_auto(PvFd) one = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, NULL);
  g_auto(PvFd) two = pv_openat (AT_FDCWD, path, O_RDWR, 0, NULL);
  g_autoptr(GError) error = NULL;

  g_assert_true (pv_flock (one, LOCK_SH, path, NULL));
  g_assert_true (pv_flock (two, LOCK_SH | LOCK_NB, path, NULL));
  g_assert_false (pv_flock (two, LOCK_EX | LOCK_NB, path, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  pv_fd_clear (&one);
  g_assert_true (pv_flock (two, LOCK_EX | LOCK_NB, path, NULL));
}

#define ADD(name, function) g_test_add ("/file/" name, Fixture, NULL, set_up, function, tear_down)

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  ADD ("fd", test_fd);
  ADD ("open-errors", test_open_errors);
  ADD ("read-and-write", test_read_and_write);
  ADD ("io-errors", test_io_errors);
  ADD ("short-transfers", test_short_transfers);
  ADD ("write-file", test_write_file);
  ADD ("write-file-faults", test_write_file_faults);
  ADD ("read-file-limits", test_read_file_limits);
  ADD ("read-lines", test_read_lines);
  ADD ("publish", test_publish);
  ADD ("unlink", test_unlink);
  ADD ("remove-tree", test_remove_tree);
  ADD ("mkdirs-in-the-way", test_mkdirs_in_the_way);
  ADD ("flock", test_flock);
  return g_test_run ();
}
