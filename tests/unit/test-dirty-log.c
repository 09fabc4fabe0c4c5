/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/dirty-log.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "dirty-log-mirror.h"
#include "memsnap/memsnap.h"
#include "util/error.h"
#include "util/file.h"

typedef PvDirtyLog *(*NewLog) (gpointer address, gsize length, GError **error);

static guint8 *G_GNUC_NO_INLINE
new_memory (gboolean shared, gsize size)
{
  g_auto(PvFd) fd = PV_FD_NONE;
  guint8 *memory;

  if (shared)
    {
      fd = memfd_create ("test", MFD_CLOEXEC);
      g_assert_cmpint (ftruncate (fd, (off_t) size), ==, 0);
    }
  memory = mmap (NULL, size, PROT_READ | PROT_WRITE, shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS, fd, 0);
  g_assert_true (memory != MAP_FAILED);
  return memory;
}

/* NULL where this kernel cannot do it. */
static PvDirtyLog *
new_log (NewLog make, gpointer address, gsize length)
{
  g_autoptr(GError) error = NULL;
  PvDirtyLog *log = make (address, length, &error);

  if (g_error_matches (error, PV_ERROR, PV_ERROR_UNSUPPORTED))
    g_test_skip_printf ("n/a: %s", error->message);
  else
    g_assert_no_error (error);
  return log;
}

/* Exactly the pages that were written to, each once; what is given stays as it is while writing goes on. */
static void
test_exact (gconstpointer data)
{
  NewLog make = *(const NewLog *) data;
  gsize size = 200 * PAGE, n;
  g_autoptr(GError) error = NULL;
  const guint64 *dirty, *later;

  for (int shared = 0; shared < 2; shared++)
    {
      guint8 *memory = new_memory (shared, size);
      g_autoptr(PvDirtyLog) log = NULL;

      memset (memory, 1, 100 * PAGE);   /* and 100 that are not there yet */
      log = new_log (make, memory, size);
      if (log == NULL)
        return;
      g_assert_cmpuint (pv_dirty_log_get_n_pages (log), ==, 200);
      dirty = pv_dirty_log_switch (log, &n, &error);
      g_assert_no_error (error);
      g_assert_cmpuint (n, ==, 0);
      memory[3 * PAGE] = memory[3 * PAGE + 9] = memory[199 * PAGE] = memory[64 * PAGE] = 2;
      dirty = pv_dirty_log_switch (log, &n, &error);
      g_assert_cmpuint (n, ==, 3);
      g_assert_true (has_bit (dirty, 3) && has_bit (dirty, 64) && has_bit (dirty, 199));
      memory[3 * PAGE] = memory[5 * PAGE] = 3;
      g_assert_false (has_bit (dirty, 5));
      later = pv_dirty_log_switch (log, &n, &error);
      g_assert_true (later != dirty);
      g_assert_cmpuint (n, ==, 2);
      g_assert_true (has_bit (later, 3) && has_bit (later, 5));
      pv_dirty_log_switch (log, &n, &error);
      g_assert_cmpuint (n, ==, 0);
      g_clear_pointer (&log, pv_dirty_log_free);
      memset (memory, 4, size);
      munmap (memory, size);
    }
}

/* --- writers on all cores: a copy that only follows the log ends up equal --- */

enum
{
  WRITERS = 3,
  PAGES = 96,
};

typedef struct
{
  guint8 *memory;
  guint seed;
  int *stop;
} Writer;

static gpointer
write_on (gpointer data)
{
  Writer *writer = data;
  guint32 x = writer->seed;

  while (!__atomic_load_n (writer->stop, __ATOMIC_RELAXED))
    {
      x = x * 1664525 + 1013904223;
      /* Each writer has words of its own in all pages. */
      __atomic_store_n ((guint32 *) (gpointer) (writer->memory + (x >> 8) % PAGES * PAGE + writer->seed * 4), x,
                        __ATOMIC_RELAXED);
    }
  return NULL;
}

static void
test_writers (gconstpointer data)
{
  NewLog make = *(const NewLog *) data;
  guint rounds = g_test_slow () ? 20000 : 1000;
  guint8 *memory = new_memory (FALSE, PAGES * PAGE);
  g_autofree guint8 *mirror = g_malloc0 (PAGES * PAGE);
  g_autoptr(PvDirtyLog) log = new_log (make, memory, PAGES * PAGE);
  Writer writers[WRITERS];
  GThread *threads[WRITERS];
  int stop = 0;
  gsize seen = 0;

  for (guint i = 0; log != NULL && i < WRITERS; i++)
    {
      writers[i] = (Writer){ memory, i + 1, &stop };
      threads[i] = g_thread_new ("writer", write_on, &writers[i]);
    }
  for (guint round = 0; log != NULL && (round < rounds || seen < 20 * PAGES); round++)
    seen += follow (log, memory, mirror);
  __atomic_store_n (&stop, 1, __ATOMIC_RELAXED);
  for (guint i = 0; log != NULL && i < WRITERS; i++)
    g_thread_join (threads[i]);
  if (log != NULL)
    {
      seen += follow (log, memory, mirror);
      g_assert_cmpuint (seen, >, 0);
      g_assert_cmpint (memcmp (memory, mirror, PAGES * PAGE), ==, 0);
    }
  g_clear_pointer (&log, pv_dirty_log_free);
  munmap (memory, PAGES * PAGE);
}

/* System calls write, too, where the source can see them. */
static void
test_system_calls (void)
{
  guint8 *memory = new_memory (FALSE, 8 * PAGE);
  g_autoptr(PvDirtyLog) log = new_log (pv_dirty_log_new_uffd, memory, 8 * PAGE);
  g_auto(PvFd) zero = open ("/dev/zero", O_RDONLY | O_CLOEXEC);
  g_autoptr(GError) error = NULL;
  const guint64 *dirty;
  gsize n;

  if (log == NULL)
    return;
  g_assert_cmpint (read (zero, memory + 2 * PAGE, 2 * PAGE), ==, 2 * PAGE);
  dirty = pv_dirty_log_switch (log, &n, &error);
  g_assert_cmpuint (n, ==, 2);
  g_assert_true (has_bit (dirty, 2) && has_bit (dirty, 3));
  g_clear_pointer (&log, pv_dirty_log_free);
  munmap (memory, 8 * PAGE);
}

static void
test_refused (gconstpointer data)
{
  NewLog make = *(const NewLog *) data;
  guint8 *memory = new_memory (FALSE, 4 * PAGE);
  g_autoptr(GError) error = NULL;

  g_assert_null (make (memory + 1, PAGE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_null (make (memory, 0, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  munmap (memory + 2 * PAGE, PAGE);
  g_assert_null (make (memory, 4 * PAGE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  munmap (memory, 4 * PAGE);
}

/* One userfaultfd a range: a snapshot is refused while the log lives, and taken after it. */
static void
test_busy (void)
{
  guint8 *memory = new_memory (FALSE, 4 * PAGE);
  g_autoptr(PvDirtyLog) log = new_log (pv_dirty_log_new_uffd, memory, 4 * PAGE);
  g_autoptr(PvMemsnap) first = pv_memsnap_new (), second = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;
  gsize n;

  if (log == NULL)
    return;
  pv_memsnap_set_engine (first, PV_MEMSNAP_ENGINE_UFFD);
  g_assert_true (pv_memsnap_add_region (first, memory, 4 * PAGE, &error));
  g_assert_false (pv_memsnap_take (first, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  g_clear_error (&error);
  /* The refusal has not disturbed the log. */
  memory[0]++;
  g_assert_nonnull (pv_dirty_log_switch (log, &n, &error));
  g_assert_cmpuint (n, ==, 1);
  g_clear_pointer (&log, pv_dirty_log_free);
  pv_memsnap_set_engine (second, PV_MEMSNAP_ENGINE_UFFD);
  g_assert_true (pv_memsnap_add_region (second, memory, 4 * PAGE, &error));
  g_assert_true (pv_memsnap_take (second, &error));
  g_clear_pointer (&second, pv_memsnap_free);
  munmap (memory, 4 * PAGE);
}

int
main (int argc, char **argv)
{
  static const NewLog uffd = pv_dirty_log_new_uffd, by_mprotect = pv_dirty_log_new_mprotect;

  g_test_init (&argc, &argv, NULL);
  g_test_add_data_func ("/dirty-log/exact/uffd", &uffd, test_exact);
  g_test_add_data_func ("/dirty-log/exact/mprotect", &by_mprotect, test_exact);
  g_test_add_data_func ("/dirty-log/writers/uffd", &uffd, test_writers);
  g_test_add_data_func ("/dirty-log/writers/mprotect", &by_mprotect, test_writers);
  g_test_add_data_func ("/dirty-log/refused/uffd", &uffd, test_refused);
  g_test_add_data_func ("/dirty-log/refused/mprotect", &by_mprotect, test_refused);
  g_test_add_func ("/dirty-log/system-calls", test_system_calls);
  g_test_add_func ("/dirty-log/busy", test_busy);
  return g_test_run ();
}
