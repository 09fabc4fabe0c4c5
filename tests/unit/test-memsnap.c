/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/memsnap.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"

#define PAGE ((gsize) 4096)
#define HUGE ((gsize) 2 << 20)

typedef enum
{
  ANONYMOUS,
  THP,
  SHARED,
  HUGETLB,
} Kind;

/* NULL when the host has no such memory. */
static guint8 *G_GNUC_NO_INLINE
new_memory (Kind kind, gsize size)
{
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
  guint8 *memory, *aligned;
  int fd = -1;

  if (kind == SHARED)
    {
      fd = memfd_create ("test", MFD_CLOEXEC);
      g_assert_cmpint (ftruncate (fd, (off_t) size), ==, 0);
      flags = MAP_SHARED;
    }
  if (kind == HUGETLB)
    flags |= MAP_HUGETLB;
  if (kind == THP)
    {
      memory = mmap (NULL, size + HUGE, PROT_READ | PROT_WRITE, flags, -1, 0);
      aligned = (guint8 *) (((gsize) memory + HUGE - 1) & ~(HUGE - 1));
      munmap (memory, (gsize) (aligned - memory));
      munmap (aligned + size, (gsize) (memory + HUGE - aligned));
      madvise (aligned, size, MADV_HUGEPAGE);
      return aligned;
    }
  memory = mmap (NULL, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (fd >= 0)
    close (fd);
  return memory == MAP_FAILED ? NULL : memory;
}

static PvMemsnap *
new_snapshot (PvMemsnapEngine engine, gpointer memory, gsize size)
{
  PvMemsnap *snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;

  pv_memsnap_set_engine (snapshot, engine);
  pv_memsnap_set_user_writes_only (snapshot, engine == PV_MEMSNAP_ENGINE_MPROTECT);
  pv_memsnap_add_region (snapshot, memory, size, &error);
  g_assert_no_error (error);
  return snapshot;
}

static const guint8 *
take (PvMemsnap *snapshot)
{
  g_autoptr(GError) error = NULL;

  pv_memsnap_take (snapshot, &error);
  g_assert_no_error (error);
  return pv_memsnap_get_address (snapshot, 0);
}

static void
fill (guint8 *memory, gsize size, guint seed)
{
  for (gsize i = 0; i < size; i += 8)
    *(guint64 *) (gpointer) (memory + i) = (i + seed) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
}

static void
assert_filled (const guint8 *memory, gsize size, guint seed)
{
  for (gsize i = 0; i < size; i += 8)
    {
      guint64 wanted = (i + seed) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
      guint64 found = *(const guint64 *) (gconstpointer) (memory + i);

      if (found != wanted)
        g_error ("offset %" G_GSIZE_FORMAT ": %" G_GINT64_MODIFIER "x instead of %" G_GINT64_MODIFIER "x", i, found,
                 wanted);
    }
}

typedef struct
{
  PvMemsnapEngine engine;
  Kind kind;
} Case;

/* Written over wholly, read by loads and by pv_memsnap_read(), bitmap and iterator. */
static void
test_plain (gconstpointer data)
{
  const Case *one = data;
  gsize size = one->kind == HUGETLB ? 2 * HUGE : 2 * HUGE + 3 * PAGE;
  gsize page_size = one->kind == HUGETLB ? HUGE : PAGE;
  g_autofree guint8 *copy = NULL;
  g_autofree guint64 *bitmap = NULL;
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autoptr(GError) error = NULL;
  guint8 *memory;
  const guint8 *view;
  gsize n;

  if (one->kind == THP)
    size = 2 * HUGE;
  memory = new_memory (one->kind, size);
  if (memory == NULL)
    {
      g_test_skip ("n/a: this host has no pool of huge pages");
      return;
    }
  fill (memory, size, 1);
  snapshot = new_snapshot (one->engine, memory, size);
  view = take (snapshot);
  g_assert_cmpuint (pv_memsnap_get_page_size (snapshot, 0), ==, page_size);
  bitmap = g_new0 (guint64, size / page_size / 64 + 1);
  g_assert_true (pv_memsnap_get_modified (snapshot, 0, bitmap, &n, &error));
  g_assert_cmpuint (n, ==, 0);

  /* One page first: it alone is modified, and only by its first store. */
  memory[page_size + 5]++;
  memory[page_size + 6]++;
  g_assert_true (pv_memsnap_get_modified (snapshot, 0, bitmap, &n, &error));
  g_assert_cmpuint (n, ==, 1);
  g_assert_cmpuint (bitmap[0], ==, 2);
  assert_filled (view, PAGE, 1);

  fill (memory, size, 2);
  assert_filled (view, size, 1);
  copy = g_malloc (size);
  g_assert_true (pv_memsnap_read (snapshot, 0, 3, copy + 3, size - 5, &error));
  memcpy (copy, view, 3);
  memcpy (copy + size - 2, view + size - 2, 2);
  assert_filled (copy, size, 1);
  assert_filled (memory, size, 2);
  g_assert_true (pv_memsnap_get_modified (snapshot, 0, bitmap, &n, &error));
  g_assert_cmpuint (n, ==, size / page_size);
  g_assert_true (pv_memsnap_check (snapshot, &error));
  g_clear_pointer (&snapshot, pv_memsnap_free);
  fill (memory, size, 3);
  assert_filled (memory, size, 3);
  munmap (memory, size);
}

/* Pages that were never touched read as zeros, before and after they are written to. */
static void
test_unpopulated (gconstpointer data)
{
  const Case *one = data;
  gsize size = 64 * PAGE;
  guint8 *memory = new_memory (one->kind, size);
  g_autoptr(PvMemsnap) snapshot = NULL;
  const guint8 *view;

  memset (memory + 7 * PAGE, 7, PAGE);
  snapshot = new_snapshot (one->engine, memory, size);
  view = take (snapshot);
  memset (memory, 9, 32 * PAGE);
  for (gsize i = 0; i < size; i++)
    g_assert_cmpuint (view[i], ==, i / PAGE == 7 ? 7 : 0);
  for (gsize i = 0; i < size; i++)
    g_assert_cmpuint (memory[i], ==, i / PAGE < 32 ? 9 : 0);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  munmap (memory, size);
}

/* --- writers on all cores --- */

enum
{
  RING = 24,     /* pages of one writer */
  WORDS = 8,     /* words that it writes in each */
  FOLLOWERS = 2, /* writers that copy what the first has reached */
};

typedef struct
{
  guint64 *pages;    /* RING pages */
  const guint64 *leader; /* (nullable): word with the leader's step */
  guint64 *reached;  /* a word of the region: the step that is done */
  const int *stop;
} Writer;

/* Step after step, in this order: eight words of the next page, then the word that tells it. A follower's step is the
 * leader's as it sees it. */
static gpointer
write_on (gpointer data)
{
  Writer *writer = data;
  guint64 step = 0;

  while (!__atomic_load_n (writer->stop, __ATOMIC_RELAXED))
    {
      guint64 *page;

      step = writer->leader == NULL ? step + 1 : __atomic_load_n (writer->leader, __ATOMIC_ACQUIRE);
      page = writer->pages + step % RING * (PAGE / 8);
      for (guint i = 0; i < WORDS; i++)
        __atomic_store_n (&page[i * (PAGE / 8 / WORDS)], step, __ATOMIC_RELEASE);
      __atomic_store_n (writer->reached, step, __ATOMIC_RELEASE);
    }
  return NULL;
}

/* Exactly what was there at one moment: all pages of steps up to @reached, and perhaps some words of the next. */
static void
check_leader (const guint64 *pages, guint64 reached)
{
  for (guint64 step = reached < RING ? 1 : reached - RING + 1; step <= reached; step++)
    {
      const guint64 *page = pages + step % RING * (PAGE / 8);
      gboolean older = FALSE;

      for (guint i = 0; i < WORDS; i++)
        {
          guint64 word = page[i * (PAGE / 8 / WORDS)];

          if (step + RING == reached + 1 && word == reached + 1 && !older)
            continue;
          older = TRUE;
          if (word != step)
            g_error ("step %" G_GUINT64_FORMAT " of %" G_GUINT64_FORMAT ": word %u is of step %" G_GUINT64_FORMAT, step,
                     reached, i, word);
        }
    }
}

static void
test_writers (gconstpointer data)
{
  const Case *one = data;
  guint rounds = g_test_slow () ? 3000 : 60;
  gsize span = (RING + 1) * PAGE, size = (1 + FOLLOWERS) * span;
  guint8 *memory = new_memory (one->kind, one->kind == THP ? HUGE : size);
  Writer writers[1 + FOLLOWERS];
  GThread *threads[1 + FOLLOWERS];
  int stop = 0;

  memset (memory, 0, size);
  for (guint i = 0; i <= FOLLOWERS; i++)
    {
      writers[i] = (Writer){ .pages = (gpointer) (memory + i * span), .stop = &stop,
                             .reached = (gpointer) (memory + i * span + RING * PAGE) };
      writers[i].leader = i == 0 ? NULL : writers[0].reached;
      threads[i] = g_thread_new ("writer", write_on, &writers[i]);
    }
  for (guint round = 0; round < rounds; round++)
    {
      g_autoptr(PvMemsnap) snapshot = new_snapshot (one->engine, memory, size);
      g_autofree guint8 *copy = g_malloc (size);
      g_autoptr(GError) error = NULL;
      const guint8 *view;
      guint64 reached;

      if (round % 2 == 0)
        pv_memsnap_prepare (snapshot, &error);
      view = take (snapshot);
      if (round % 3 == 0)
        pv_memsnap_read (snapshot, 0, 0, copy, size, &error);
      else
        memcpy (copy, view, size);
      g_assert_no_error (error);
      g_assert_cmpint (memcmp (copy, view, size), ==, 0);
      reached = *(guint64 *) (gpointer) (copy + RING * PAGE);
      check_leader ((gpointer) copy, reached);
      /* A follower cannot be ahead of what it follows. */
      for (guint i = 1; i <= FOLLOWERS; i++)
        {
          for (gsize word = 0; word < span / 8; word++)
            g_assert_cmpuint (((guint64 *) (gpointer) (copy + i * span))[word], <=, reached);
        }
      g_assert_true (pv_memsnap_check (snapshot, &error));
    }
  __atomic_store_n (&stop, 1, __ATOMIC_RELAXED);
  for (guint i = 0; i <= FOLLOWERS; i++)
    g_thread_join (threads[i]);
  munmap (memory, size);
}

/* Several snapshots of the same memory at once, ended in another order than begun. */
static void
test_several (gconstpointer data)
{
  const Case *one = data;
  gsize size = 32 * PAGE;
  guint8 *memory = new_memory (one->kind, size);
  PvMemsnap *snapshots[4];
  const guint8 *views[4];

  for (guint i = 0; i < 4; i++)
    {
      fill (memory, size, i);
      /* The third has only the middle. */
      snapshots[i] = i == 2 ? new_snapshot (one->engine, memory + 8 * PAGE, 8 * PAGE)
                            : new_snapshot (one->engine, memory, size);
      views[i] = take (snapshots[i]);
      memory[i * PAGE] = 0;
    }
  fill (memory, size, 9);
  assert_filled (views[1], size, 1);
  pv_memsnap_free (snapshots[1]);
  fill (memory, size, 10);
  assert_filled (views[0], size, 0);
  assert_filled (views[3], size, 3);
  for (gsize i = 0; i < 8 * PAGE; i += 8)
    g_assert_cmphex (*(const guint64 *) (gconstpointer) (views[2] + i), ==,
                     (i + 8 * PAGE + 2) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15));
  pv_memsnap_free (snapshots[0]);
  pv_memsnap_free (snapshots[3]);
  fill (memory, size, 11);
  pv_memsnap_free (snapshots[2]);
  fill (memory, size, 12);
  assert_filled (memory, size, 12);
  munmap (memory, size);
}

/* Modified pages come first, every page once, each as it was. */
static void
test_iterator (gconstpointer data)
{
  const Case *one = data;
  gsize size = 300 * PAGE;
  guint8 *memory = new_memory (one->kind, size);
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autoptr(PvMemsnapIter) iter = NULL;
  g_autofree guint8 *copy = g_malloc0 (size);
  g_autoptr(GError) error = NULL;
  PvMemsnapPiece piece;
  gsize given = 0;
  PvMemsnapStats stats;

  fill (memory, size, 1);
  snapshot = new_snapshot (one->engine, memory, size);
  take (snapshot);
  memset (memory + 200 * PAGE, 1, 2 * PAGE);
  memset (memory + 99 * PAGE, 1, PAGE);
  iter = pv_memsnap_iter_new (snapshot, 16 * PAGE, TRUE);
  while (pv_memsnap_iter_next (iter, &piece, &error))
    {
      if (given == 0)
        g_assert_cmpuint (piece.offset, ==, 99 * PAGE);
      else if (given == PAGE)
        g_assert_cmpuint (piece.offset, ==, 200 * PAGE);
      g_assert_cmpuint (piece.length, <=, 16 * PAGE);
      memcpy (copy + piece.offset, piece.data, piece.length);
      given += piece.length;
      memset (memory + (given * 7) % size / PAGE * PAGE, 2, PAGE);
    }
  g_assert_no_error (error);
  g_assert_cmpuint (given, ==, size);
  assert_filled (copy, size, 1);
  pv_memsnap_get_stats (snapshot, &stats);
  if (one->engine != PV_MEMSNAP_ENGINE_FORK)
    g_assert_cmpuint (stats.held_bytes, ==, 0);
  g_assert_false (pv_memsnap_read (snapshot, 0, 0, copy, 1, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_pointer (&iter, pv_memsnap_iter_free);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  munmap (memory, size);
}

/* --- limits --- */

static void
test_spill (gconstpointer data)
{
  const Case *one = data;
  gsize size = 256 * PAGE;
  guint8 *memory = new_memory (one->kind, size);
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autofree guint8 *copy = g_malloc (size);
  g_autoptr(GError) error = NULL;
  const guint8 *view;
  PvMemsnapStats stats;

  fill (memory, size, 1);
  snapshot = new_snapshot (one->engine, memory, size);
  pv_memsnap_set_limit (snapshot, 16 * PAGE, PV_MEMSNAP_SPILL, NULL);
  view = take (snapshot);
  assert_filled (view, size / 2, 1);
  fill (memory, size, 2);
  do
    pv_memsnap_get_stats (snapshot, &stats);
  while (stats.spilled_bytes < size - 16 * PAGE);   /* a child's memory is looked at now and then */
  g_assert_true (pv_memsnap_read (snapshot, 0, 0, copy, size, &error));
  assert_filled (copy, size, 1);
  assert_filled (view, size, 1);
  pv_memsnap_get_stats (snapshot, &stats);
  if (one->engine != PV_MEMSNAP_ENGINE_FORK)
    g_assert_cmpuint (stats.held_max_bytes, <=, (16 + 64) * PAGE);
  pv_memsnap_release (snapshot, 0, 0, size);
  pv_memsnap_get_stats (snapshot, &stats);
  g_assert_cmpuint (stats.spilled_bytes, ==, 0);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  munmap (memory, size);
}

static void
test_fail (gconstpointer data)
{
  const Case *one = data;
  gsize size = 256 * PAGE;
  guint8 *memory = new_memory (one->kind, size);
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autofree guint8 *copy = g_malloc (size);
  g_autoptr(GError) error = NULL;
  const guint8 *view;

  fill (memory, size, 1);
  snapshot = new_snapshot (one->engine, memory, size);
  pv_memsnap_set_limit (snapshot, 16 * PAGE, PV_MEMSNAP_FAIL, NULL);
  view = take (snapshot);
  fill (memory, size, 2);
  while (pv_memsnap_check (snapshot, NULL))
    g_thread_yield ();
  assert_filled (memory, size, 2);
  g_assert_false (pv_memsnap_read (snapshot, 0, 0, copy, size, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  memcpy (copy, view, size);   /* may be read, says nothing */
  g_clear_pointer (&snapshot, pv_memsnap_free);
  assert_filled (memory, size, 2);
  munmap (memory, size);
}

static gpointer
overwrite (gpointer data)
{
  fill (data, 256 * PAGE, 2);
  return NULL;
}

static void
test_throttle (gconstpointer data)
{
  const Case *one = data;
  gsize size = 256 * PAGE;
  guint8 *memory = new_memory (one->kind, size);
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autoptr(PvMemsnapIter) iter = NULL;
  g_autofree guint8 *copy = g_malloc (size);
  g_autoptr(GError) error = NULL;
  PvMemsnapStats stats;
  PvMemsnapPiece piece;
  GThread *writer;

  fill (memory, size, 1);
  snapshot = new_snapshot (one->engine, memory, size);
  pv_memsnap_set_limit (snapshot, 16 * PAGE, PV_MEMSNAP_THROTTLE, NULL);
  take (snapshot);
  writer = g_thread_new ("writer", overwrite, memory);
  do
    pv_memsnap_get_stats (snapshot, &stats);
  while (stats.copies < 16);
  iter = pv_memsnap_iter_new (snapshot, 4 * PAGE, TRUE);
  while (pv_memsnap_iter_next (iter, &piece, &error))
    memcpy (copy + piece.offset, piece.data, piece.length);
  g_assert_no_error (error);
  g_thread_join (writer);
  assert_filled (copy, size, 1);
  assert_filled (memory, size, 2);
  pv_memsnap_get_stats (snapshot, &stats);
  g_assert_cmpuint (stats.held_max_bytes, <=, 16 * PAGE);
  g_clear_pointer (&iter, pv_memsnap_iter_free);
  g_clear_pointer (&snapshot, pv_memsnap_free);

  /* The end of a snapshot lets the waiting go on, too. */
  snapshot = new_snapshot (one->engine, memory, size);
  pv_memsnap_set_limit (snapshot, 2 * PAGE, PV_MEMSNAP_THROTTLE, NULL);
  take (snapshot);
  writer = g_thread_new ("writer", overwrite, memory);
  do
    pv_memsnap_get_stats (snapshot, &stats);
  while (stats.copies < 2);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  g_thread_join (writer);
  munmap (memory, size);
}

/* --- what a program does meanwhile --- */

/* System calls write into the memory and read from the view. */
static void
test_system_calls (gconstpointer data)
{
  const Case *one = data;
  gsize size = 16 * PAGE;
  guint8 *memory = new_memory (one->kind, size);
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autofree guint8 *copy = g_malloc (size);
  const guint8 *view;
  int ends[2];

  fill (memory, size, 1);
  snapshot = new_snapshot (one->engine, memory, size);
  view = take (snapshot);
  g_assert_cmpint (pipe (ends), ==, 0);
  g_assert_cmpint (write (ends[1], view, size), ==, (gssize) size);
  g_assert_cmpint (read (ends[0], memory + PAGE, size - PAGE), ==, (gssize) (size - PAGE));
  g_assert_cmpint (read (ends[0], copy, size), ==, (gssize) PAGE);
  g_assert_cmpint (memcmp (memory + PAGE, view, size - PAGE), ==, 0);
  assert_filled (view, size, 1);
  close (ends[0]);
  close (ends[1]);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  munmap (memory, size);
}

/* The program forks, and both go on writing. */
static void
test_program_forks (gconstpointer data)
{
  const Case *one = data;
  gsize size = 64 * PAGE;
  guint8 *memory = new_memory (one->kind, size);
  g_autoptr(PvMemsnap) snapshot = NULL;
  const guint8 *view;
  int status;
  pid_t pid;

  fill (memory, size, 1);
  snapshot = new_snapshot (one->engine, memory, size);
  view = take (snapshot);
  memory[0]++;
  pid = fork ();
  if (pid == 0)
    {
      for (gsize i = 0; one->kind == ANONYMOUS && i < size && one->engine != PV_MEMSNAP_ENGINE_MPROTECT; i++)
        memory[i] = 77;
      _exit (3);
    }
  fill (memory, size, 2);
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_cmpint (WEXITSTATUS (status), ==, 3);
  assert_filled (view, size, 1);
  assert_filled (memory, size, 2);
  /* The child that holds memory is not the program's to wait for. */
  g_assert_cmpint (waitpid (-1, &status, WNOHANG), ==, -1);
  g_assert_cmpint (errno, ==, ECHILD);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  munmap (memory, size);
}

/* Memory that is discarded or unmapped takes the snapshot with it, never quietly. */
static void
test_discarded (void)
{
  gsize size = 64 * PAGE;

  for (guint how = 0; how < 3; how++)
    {
      guint8 *memory = new_memory (ANONYMOUS, size);
      g_autoptr(PvMemsnap) snapshot = NULL;
      g_autofree guint8 *copy = g_malloc (size);
      g_autoptr(GError) error = NULL;

      fill (memory, size, 1);
      snapshot = new_snapshot (PV_MEMSNAP_ENGINE_UFFD, memory, size);
      take (snapshot);
      memset (memory + PAGE, 1, PAGE);
      /* A page that was copied before may go. */
      madvise (memory + PAGE, PAGE, MADV_DONTNEED);
      g_assert_true (pv_memsnap_read (snapshot, 0, 0, copy, size, &error));
      assert_filled (copy, size, 1);
      if (how == 0)
        madvise (memory + 5 * PAGE, 2 * PAGE, MADV_DONTNEED);
      else if (how == 1)
        munmap (memory, size);
      else
        memory = mremap (memory, size, size, MREMAP_MAYMOVE | MREMAP_FIXED, new_memory (ANONYMOUS, size));
      g_assert_false (pv_memsnap_read (snapshot, 0, 4 * PAGE, copy, 2 * PAGE, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
      g_clear_pointer (&snapshot, pv_memsnap_free);
      if (how != 1)
        {
          memset (memory, 3, size);
          munmap (memory, size);
        }
    }
}

/* --- refusals --- */

static void
assert_refused (gpointer address, gsize length, PvMemsnapEngine engine, gint code)
{
  g_autoptr(PvMemsnap) snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;

  pv_memsnap_set_engine (snapshot, engine);
  if (pv_memsnap_add_region (snapshot, address, length, &error))
    g_assert_false (pv_memsnap_take (snapshot, &error));
  g_assert_error (error, PV_ERROR, code);
  g_test_message ("%s", error->message);
}

static void
test_refused (void)
{
  guint8 *memory = new_memory (ANONYMOUS, 4 * PAGE);
  guint8 *shared = new_memory (SHARED, 4 * PAGE);
  g_autoptr(PvMemsnap) snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;

  assert_refused (memory + 1, PAGE, PV_MEMSNAP_ENGINE_AUTO, PV_ERROR_INVALID);
  assert_refused (memory, PAGE + 1, PV_MEMSNAP_ENGINE_AUTO, PV_ERROR_INVALID);
  assert_refused (memory, 0, PV_MEMSNAP_ENGINE_AUTO, PV_ERROR_INVALID);
  assert_refused (shared, 4 * PAGE, PV_MEMSNAP_ENGINE_FORK, PV_ERROR_UNSUPPORTED);
  assert_refused (memory, 4 * PAGE, PV_MEMSNAP_ENGINE_MPROTECT, PV_ERROR_UNSUPPORTED);
  munmap (memory + 2 * PAGE, PAGE);
  assert_refused (memory, 4 * PAGE, PV_MEMSNAP_ENGINE_AUTO, PV_ERROR_INVALID);
  g_assert_false (pv_memsnap_take (snapshot, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_true (pv_memsnap_add_region (snapshot, shared, 2 * PAGE, &error));
  g_assert_false (pv_memsnap_add_region (snapshot, shared + PAGE, PAGE, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  errno = 0;
  g_assert_null (memory_snapshot_create (memory + 1, PAGE));
  g_assert_cmpint (errno, ==, EINVAL);
  munmap (memory, PAGE);
  munmap (shared, 4 * PAGE);
}

/* The calls of 2013. */
static void
test_create_delete (void)
{
  gsize size = 100 * PAGE;
  guint8 *memory = new_memory (ANONYMOUS, size);
  const guint8 *first, *second;

  fill (memory, size, 1);
  first = memory_snapshot_create (memory, size);
  g_assert_nonnull (first);
  fill (memory, size, 2);
  second = memory_snapshot_create (memory, size);
  g_assert_nonnull (second);
  fill (memory, size, 3);
  assert_filled (first, size, 1);
  memory_snapshot_delete ((gpointer) first);
  assert_filled (second, size, 2);
  memory_snapshot_delete ((gpointer) second);
  memory_snapshot_delete (NULL);
  assert_filled (memory, size, 3);
  munmap (memory, size);
}

/* Two regions of one instant, chosen by AUTO. */
static void
test_regions (void)
{
  guint8 *one = new_memory (ANONYMOUS, 10 * PAGE), *two = new_memory (SHARED, 20 * PAGE);
  g_autoptr(PvMemsnap) snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;

  fill (one, 10 * PAGE, 1);
  fill (two, 20 * PAGE, 2);
  g_assert_true (pv_memsnap_add_region (snapshot, one, 10 * PAGE, &error));
  g_assert_true (pv_memsnap_add_region (snapshot, two, 20 * PAGE, &error));
  g_assert_null (pv_memsnap_get_engine (snapshot, NULL));
  g_assert_true (pv_memsnap_take (snapshot, &error));
  g_assert_cmpstr (pv_memsnap_get_engine (snapshot, NULL), ==, "uffd");
  fill (one, 10 * PAGE, 3);
  fill (two, 20 * PAGE, 4);
  assert_filled (pv_memsnap_get_address (snapshot, 0), 10 * PAGE, 1);
  assert_filled (pv_memsnap_get_address (snapshot, 1), 20 * PAGE, 2);
  g_assert_cmpuint (pv_memsnap_get_n_regions (snapshot), ==, 2);
  g_assert_cmpuint (pv_memsnap_get_length (snapshot, 1), ==, 20 * PAGE);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  munmap (one, 10 * PAGE);
  munmap (two, 20 * PAGE);
}

/* --- the SIGSEGV handler --- */

static sigjmp_buf back;
static int n_caught;

static void
catch (int signum, siginfo_t *info, gpointer context)
{
  n_caught++;
  siglongjmp (back, 1);
}

static void
test_handlers (void)
{
  struct sigaction mine = { .sa_sigaction = catch, .sa_flags = SA_SIGINFO }, before, now;
  guint8 *memory = new_memory (ANONYMOUS, 4 * PAGE);
  guint8 *wall = mmap (NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  g_autoptr(PvMemsnap) snapshot = NULL;

  sigaction (SIGSEGV, &mine, &before);
  fill (memory, 4 * PAGE, 1);
  snapshot = new_snapshot (PV_MEMSNAP_ENGINE_MPROTECT, memory, 4 * PAGE);
  take (snapshot);
  /* Faults of the program still reach its handler, twice in a row as well. */
  for (int i = 1; i <= 3; i++)
    {
      if (sigsetjmp (back, 1) == 0)
        *(volatile guint8 *) wall = 1;
      g_assert_cmpint (n_caught, ==, i);
    }
  fill (memory, 4 * PAGE, 2);
  assert_filled (pv_memsnap_get_address (snapshot, 0), 4 * PAGE, 1);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  sigaction (SIGSEGV, NULL, &now);
  g_assert_true (now.sa_sigaction == catch);

  /* One that came later stays. */
  snapshot = new_snapshot (PV_MEMSNAP_ENGINE_MPROTECT, memory, 4 * PAGE);
  sigaction (SIGSEGV, &before, NULL);
  take (snapshot);
  sigaction (SIGSEGV, &mine, NULL);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  sigaction (SIGSEGV, NULL, &now);
  g_assert_true (now.sa_sigaction == catch);
  sigaction (SIGSEGV, &before, NULL);
  munmap (memory, 4 * PAGE);
  munmap (wall, PAGE);
}

/* More lone pages than the kernel has areas for. */
static void
test_crowded (void)
{
  gsize size = 140000 * PAGE;
  guint8 *memory = new_memory (ANONYMOUS, size);
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autofree guint8 *copy = g_malloc (size);
  g_autoptr(GError) error = NULL;

  for (gsize page = 0; page < size / PAGE; page++)
    *(guint64 *) (gpointer) (memory + page * PAGE) = page;
  snapshot = new_snapshot (PV_MEMSNAP_ENGINE_MPROTECT, memory, size);
  take (snapshot);
  for (gsize page = 0; page < size / PAGE; page += 2)
    *(guint64 *) (gpointer) (memory + page * PAGE) = 1;
  g_assert_true (pv_memsnap_read (snapshot, 0, 0, copy, size, &error));
  for (gsize page = 0; page < size / PAGE; page++)
    g_assert_cmpuint (*(guint64 *) (gpointer) (copy + page * PAGE), ==, page);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  munmap (memory, size);
}

static const char *const engine_names[] = { "auto", "uffd", "fork", "mprotect" };
static const char *const kind_names[] = { "anonymous", "thp", "shared", "hugetlb" };

static void
add (const char *what, PvMemsnapEngine engine, Kind kind, GTestDataFunc func)
{
  g_autofree char *path = g_strdup_printf ("/memsnap/%s/%s/%s", what, engine_names[engine], kind_names[kind]);
  Case *one = g_new (Case, 1);

  *one = (Case){ engine, kind };
  g_test_add_data_func_full (path, one, func, g_free);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  for (PvMemsnapEngine engine = PV_MEMSNAP_ENGINE_UFFD; engine <= PV_MEMSNAP_ENGINE_MPROTECT; engine++)
    {
      for (Kind kind = ANONYMOUS; kind <= HUGETLB; kind++)
        {
          if (engine == PV_MEMSNAP_ENGINE_FORK && kind >= SHARED)
            continue;
          add ("plain", engine, kind, test_plain);
          if (kind == HUGETLB)
            continue;
          add ("unpopulated", engine, kind, test_unpopulated);
          add ("writers", engine, kind, test_writers);
          if (kind == THP)
            continue;
          add ("several", engine, kind, test_several);
          add ("iterator", engine, kind, test_iterator);
          add ("spill", engine, kind, test_spill);
          add ("fail", engine, kind, test_fail);
          if (engine != PV_MEMSNAP_ENGINE_FORK)
            add ("throttle", engine, kind, test_throttle);
          if (engine != PV_MEMSNAP_ENGINE_MPROTECT)
            add ("system-calls", engine, kind, test_system_calls);
          add ("program-forks", engine, kind, test_program_forks);
        }
    }
  g_test_add_func ("/memsnap/discarded", test_discarded);
  g_test_add_func ("/memsnap/refused", test_refused);
  g_test_add_func ("/memsnap/create-delete", test_create_delete);
  g_test_add_func ("/memsnap/regions", test_regions);
  g_test_add_func ("/memsnap/handlers", test_handlers);
  g_test_add_func ("/memsnap/crowded", test_crowded);
  return g_test_run ();
}
