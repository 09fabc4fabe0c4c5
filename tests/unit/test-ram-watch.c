/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/ram-watch.h"

#include "memsnap/userfault.h"
#include "ram-fixture.h"
#include "util/error.h"
#include "util/file.h"

#define FEATURES (UFFD_FEATURE_PAGEFAULT_FLAG_WP | PV_UFFD_WP_UNPOPULATED | PV_UFFD_WP_ASYNC)

/* This process watches itself. */
typedef struct
{
  List list;
  PvFd userfaultfd;
  PvRamMap *map;
  PvRamWatch *watch;
  guint8 *copy;    /* what was taken, block by block at its offset */
  guint64 n_read;  /* pages that were taken */
  guint64 n_zero;  /* pages that were told to be zero */
} Fixture;

static void
watch_anew (Fixture *f)
{
  g_autoptr(GError) error = NULL;

  g_clear_pointer (&f->watch, pv_ram_watch_free);
  f->watch = pv_ram_watch_new (f->map, getpid (), f->userfaultfd, &error);
  g_assert_no_error (error);
}

/* FALSE: skipped, this kernel cannot. */
static gboolean
set_up (Fixture *f)
{
  g_autoptr(GError) error = NULL;

  *f = (Fixture){ .userfaultfd = pv_userfault_open (FEATURES, TRUE, &error) };
  if (f->userfaultfd < 0)
    {
      g_test_skip_printf ("n/a: %s", error->message);
      return FALSE;
    }
  list_set_up (&f->list);
  f->map = list_map ();
  f->copy = g_malloc0 (MEMORY_BYTES);
  watch_anew (f);
  return TRUE;
}

static void
tear_down (Fixture *f)
{
  g_clear_pointer (&f->watch, pv_ram_watch_free);
  g_clear_pointer (&f->map, pv_ram_map_free);
  pv_fd_clear (&f->userfaultfd);
  list_tear_down (&f->list);
  g_free (f->copy);
}

static guint8 *
page_of (Fixture *f, guint64 page)
{
  return f->list.memory + page * PAGE;
}

static void
discard (Fixture *f, guint64 page, guint64 n)
{
  g_assert_cmpint (madvise (page_of (f, page), n * PAGE, MADV_DONTNEED), ==, 0);
}

static void
scan (Fixture *f)
{
  g_autoptr(GError) error = NULL;

  pv_ram_watch_scan (f->watch, &error);
  g_assert_no_error (error);
}

static void
note (Fixture *f, const PvRamPiece *piece, gsize max)
{
  guint8 *to = f->copy + f->list.blocks[piece->block]->offset + piece->offset;

  g_assert_cmpuint (piece->size, >, 0);
  g_assert_cmpuint (piece->size % PAGE, ==, 0);
  g_assert_cmpuint (piece->offset + piece->size, <=, pv_ram_map_block (f->map, piece->block)->size);
  if (piece->bytes == NULL)
    {
      f->n_zero += piece->size / PAGE;
      memset (to, 0, piece->size);
      return;
    }
  g_assert_cmpuint (piece->size, <=, max);
  f->n_read += piece->size / PAGE;
  memcpy (to, piece->bytes, piece->size);
}

/* All that is to be taken, @max bytes at a time. */
static void
take_all (Fixture *f, gsize max)
{
  g_autoptr(PvRamPages) pages = pv_ram_pages_new (max);
  g_autoptr(GError) error = NULL;

  f->n_read = f->n_zero = 0;
  do
    {
      pv_ram_watch_take (f->watch, pages, &error);
      g_assert_no_error (error);
      for (guint i = 0; i < pages->pieces->len; i++)
        note (f, &g_array_index (pages->pieces, PvRamPiece, i), max);
    }
  while (pages->pieces->len > 0);
  g_assert_cmpuint (pv_ram_watch_pending (f->watch), ==, 0);
}

/* Looks at pages that were never touched as well: the kernel puts them there, and the next scan finds them. */
static void
assert_whole (Fixture *f)
{
  g_assert_true (memcmp (f->copy, f->list.memory, RAM_BYTES) == 0);
  g_assert_true (memcmp (f->copy + TABLES_AT, f->list.memory + TABLES_AT, TABLES_BYTES) == 0);
}

/* What was written up to now is found and taken. */
static void
round_of (Fixture *f)
{
  scan (f);
  take_all (f, 64 * PAGE);
}

static guint64
peek (Fixture *f)
{
  g_autoptr(GError) error = NULL;
  guint64 n;

  pv_ram_watch_peek (f->watch, &n, &error);
  g_assert_no_error (error);
  return n;
}

/* Ten pages, one far from them, one of the tables. */
static void
write_first (Fixture *f)
{
  for (guint i = 0; i < 10; i++)
    memset (page_of (f, i), (int) i + 1, PAGE);
  memset (page_of (f, 100), 100, PAGE);
  memset (f->list.memory + TABLES_AT + PAGE, 200, PAGE);
}

/* All that is there, and nothing that is not. */
static void
test_first (void)
{
  Fixture f;

  if (!set_up (&f))
    return;
  write_first (&f);
  scan (&f);
  g_assert_cmpuint (pv_ram_watch_pending (f.watch), ==, 12);
  take_all (&f, 4 * PAGE);
  g_assert_cmpuint (f.n_read, ==, 12);
  g_assert_cmpuint (f.n_zero, ==, 0);
  assert_whole (&f);
  tear_down (&f);
}

/* Then what was written since, each time. */
static void
test_written (void)
{
  Fixture f;

  if (!set_up (&f))
    return;
  write_first (&f);
  round_of (&f);
  page_of (&f, 3)[5]++;
  page_of (&f, 5)[4095]++;
  page_of (&f, RAM_PAGES - 1)[0]++; /* was not there before */
  g_assert_cmpuint (peek (&f), ==, 3);
  g_assert_cmpuint (peek (&f), ==, 3);
  scan (&f);
  g_assert_cmpuint (peek (&f), ==, 0);
  g_assert_cmpuint (pv_ram_watch_pending (f.watch), ==, 3);
  page_of (&f, 3)[6]++; /* after the scan: for this round and for the next */
  take_all (&f, 64 * PAGE);
  g_assert_cmpuint (f.n_read, ==, 3);
  g_assert_cmpuint (f.copy[3 * PAGE + 6], ==, page_of (&f, 3)[6]);
  round_of (&f);
  g_assert_cmpuint (f.n_read, ==, 1);
  assert_whole (&f);
  tear_down (&f);
}

/* What a balloon gives back is zero, is told once, and may be written to again. */
static void
test_discarded (void)
{
  Fixture f;

  if (!set_up (&f))
    return;
  write_first (&f);
  round_of (&f);
  discard (&f, 2, 2);
  scan (&f);
  g_assert_cmpuint (pv_ram_watch_pending (f.watch), ==, 2);
  take_all (&f, 64 * PAGE);
  g_assert_cmpuint (f.n_read, ==, 0);
  g_assert_cmpuint (f.n_zero, ==, 2);
  scan (&f);
  g_assert_cmpuint (pv_ram_watch_pending (f.watch), ==, 0);
  page_of (&f, 2)[0] = 7;
  round_of (&f);
  g_assert_cmpuint (f.n_read, ==, 1);
  assert_whole (&f);
  tear_down (&f);
}

/* More runs than are asked for at a time, and than one system call reads. */
static void
test_scattered (void)
{
  Fixture f;

  if (!set_up (&f))
    return;
  for (guint64 page = 0; page < RAM_PAGES; page += 2)
    memset (page_of (&f, page), (int) (page % 251) + 1, PAGE);
  scan (&f);
  g_assert_cmpuint (pv_ram_watch_pending (f.watch), ==, RAM_PAGES / 2);
  take_all (&f, RAM_BYTES);
  g_assert_cmpuint (f.n_read, ==, RAM_PAGES / 2);
  assert_whole (&f);
  tear_down (&f);
}

/* The capture after: what was not written to since is kept, and none of it twice. */
static void
test_keep (void)
{
  static const guint64 kept[][2] = { { 0, 1 }, { 2, 3 }, { 6, 4 }, { 100, 1 } };
  g_autoptr(GArray) pieces = g_array_new (FALSE, FALSE, sizeof (PvRamPiece));
  Fixture f;

  if (!set_up (&f))
    return;
  write_first (&f);
  round_of (&f);
  page_of (&f, 1)[0]++;
  discard (&f, 5, 1);
  watch_anew (&f);
  scan (&f);
  g_assert_cmpuint (pv_ram_watch_pending (f.watch), ==, 1);
  pv_ram_watch_keep (f.watch, pieces);
  g_assert_cmpuint (pieces->len, ==, G_N_ELEMENTS (kept) + 1);
  for (guint i = 0; i < G_N_ELEMENTS (kept); i++)
    {
      const PvRamPiece *piece = &g_array_index (pieces, PvRamPiece, i);

      g_assert_cmpuint (piece->block, ==, 0);
      g_assert_cmpuint (piece->offset, ==, kept[i][0] * PAGE);
      g_assert_cmpuint (piece->size, ==, kept[i][1] * PAGE);
      g_assert_null (piece->bytes);
    }
  g_assert_cmpuint (g_array_index (pieces, PvRamPiece, pieces->len - 1).block, ==, 1);
  g_array_set_size (pieces, 0);
  pv_ram_watch_keep (f.watch, pieces);
  g_assert_cmpuint (pieces->len, ==, 0);
  take_all (&f, 64 * PAGE);
  g_assert_cmpuint (f.n_read, ==, 1);
  discard (&f, 6, 1); /* one that was kept is zero now */
  round_of (&f);
  g_assert_cmpuint (f.n_zero, ==, 1);
  tear_down (&f);
}

/* --- a guest that writes all the time --- */

typedef struct
{
  Fixture *f;
  int stop;
} Writer;

static gpointer
write_on (gpointer data)
{
  Writer *writer = data;
  g_autoptr(GRand) rand = g_rand_new_with_seed (1);
  guint64 n = 0;

  while (!__atomic_load_n (&writer->stop, __ATOMIC_RELAXED))
    {
      guint64 page = (guint64) g_rand_int_range (rand, 0, RAM_PAGES);

      if (n % 50 == 49)
        discard (writer->f, page, 1);
      else
        *(guint64 *) (gpointer) (page_of (writer->f, page) + n % 512 * 8) = n;
      n++;
    }
  return NULL;
}

/* @huge: on huge pages, which the first write to a page splits. */
static void
test_rounds (gconstpointer huge)
{
  Fixture f;
  Writer writer = { &f, 0 };
  GThread *thread;

  if (!set_up (&f))
    return;
  if (huge != NULL)
    {
      madvise (f.list.memory, MEMORY_BYTES, MADV_HUGEPAGE);
      memset (f.list.memory, 1, RAM_BYTES);
    }
  thread = g_thread_new ("guest", write_on, &writer);
  for (guint round = 0; round < 200; round++)
    {
      scan (&f);
      take_all (&f, round % 2 == 0 ? 7 * PAGE : 256 * PAGE);
    }
  __atomic_store_n (&writer.stop, 1, __ATOMIC_RELAXED);
  g_thread_join (thread);
  scan (&f);
  take_all (&f, 256 * PAGE);
  assert_whole (&f);
  tear_down (&f);
}

/* --- what cannot be --- */

static void
test_busy (void)
{
  Fixture f;
  g_auto(PvFd) other = PV_FD_NONE;
  g_autoptr(PvRamWatch) watch = NULL;
  g_autoptr(GError) error = NULL;

  if (!set_up (&f))
    return;
  other = pv_userfault_open (FEATURES, TRUE, &error);
  g_assert_no_error (error);
  watch = pv_ram_watch_new (f.map, getpid (), other, &error);
  g_assert_null (watch);
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  tear_down (&f);
}

/* Memory that is watched no more is not believed to be unwritten. */
static void
test_unwatched (void)
{
  Fixture f;
  g_autoptr(GError) error = NULL;

  if (!set_up (&f))
    return;
  write_first (&f);
  round_of (&f);
  g_assert_cmpint (pv_userfault_unregister (f.userfaultfd, (guint64) (gsize) f.list.memory, RAM_BYTES), ==, 0);
  g_assert_false (pv_ram_watch_scan (f.watch, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  tear_down (&f);
}

/* Nor is memory that went away taken for something. */
static void
test_gone (void)
{
  Fixture f;
  g_autoptr(PvRamPages) pages = pv_ram_pages_new (64 * PAGE);
  g_autoptr(GError) error = NULL;

  if (!set_up (&f))
    return;
  write_first (&f);
  scan (&f);
  munmap (page_of (&f, 4), PAGE);
  g_assert_false (pv_ram_watch_take (f.watch, pages, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_BUSY);
  tear_down (&f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/ram-watch/first", test_first);
  g_test_add_func ("/ram-watch/written", test_written);
  g_test_add_func ("/ram-watch/discarded", test_discarded);
  g_test_add_func ("/ram-watch/scattered", test_scattered);
  g_test_add_func ("/ram-watch/keep", test_keep);
  g_test_add_data_func ("/ram-watch/rounds", NULL, test_rounds);
  g_test_add_data_func ("/ram-watch/rounds-huge", GINT_TO_POINTER (1), test_rounds);
  g_test_add_func ("/ram-watch/busy", test_busy);
  g_test_add_func ("/ram-watch/unwatched", test_unwatched);
  g_test_add_func ("/ram-watch/gone", test_gone);
  return g_test_run ();
}
