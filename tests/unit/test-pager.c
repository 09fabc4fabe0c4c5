/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/pager.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "memsnap/pager-link.h"
#include "memsnap/userfault.h"
#include "util/error.h"
#include "util/file.h"

#define PAGE ((gsize) 4096)

/* Page n is full of this. */
static guint64
word_of (guint64 page)
{
  return (page + 1) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);
}

/* What pagers do beside reading; shared with them. */
typedef struct
{
  guint sleep_us;  /* before each page */
  guint die_after; /* pages; 0: never */
  guint fail_at;   /* page + 1 that cannot be read */
  guint read;      /* pages */
  guint wanted;
  int finished;    /* pagers that came to their end */
} Orders;

static Orders *orders;

static gboolean
read_page (guint64 offset, gpointer page, gsize size, gboolean is_wanted, gpointer data, GError **error)
{
  guint n = __atomic_add_fetch (&orders->read, 1, __ATOMIC_RELAXED);

  g_assert_cmpuint (size, ==, PAGE);
  if (orders->fail_at == offset / PAGE + 1)
    return pv_throw (error, PV_ERROR_FAILED, "this page is broken");
  if (is_wanted)
    __atomic_add_fetch (&orders->wanted, 1, __ATOMIC_RELAXED);
  if (orders->sleep_us > 0)
    g_usleep (orders->sleep_us);
  if (orders->die_after > 0 && n >= orders->die_after)
    kill (getpid (), SIGKILL);
  for (gsize i = 0; i < size / 8; i++)
    ((guint64 *) page)[i] = word_of (offset / PAGE);
  return TRUE;
}

/* A pager in a process of its own. */
static pid_t
start_pager (PvPagedMemory *memory, gboolean pull)
{
  g_autoptr(GError) error = NULL;
  int ends[2];
  pid_t pid;

  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
  pid = fork ();
  if (pid == 0)
    {
      g_autoptr(PvPager) pager = NULL;
      gboolean ok;

      prctl (PR_SET_PDEATHSIG, SIGKILL);
      pager = pv_pager_new_receive (ends[1], read_page, NULL, &error);
      if (pager == NULL)
        _exit (2);
      pv_pager_set_pull (pager, pull);
      ok = pv_pager_run (pager, &error);
      __atomic_add_fetch (&orders->finished, 1, __ATOMIC_RELAXED);
      _exit (ok ? 0 : 1);
    }
  close (ends[1]);
  pv_paged_memory_send (memory, ends[0], &error);
  g_assert_no_error (error);
  close (ends[0]);
  return pid;
}

static int
end_of (pid_t pid)
{
  int status;

  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  return WIFEXITED (status) ? WEXITSTATUS (status) : -WTERMSIG (status);
}

static PvPagedMemory *
new_memory (gsize pages)
{
  g_autoptr(GError) error = NULL;
  PvPagedMemory *memory = pv_paged_memory_new (pages * PAGE, NULL, &error);

  memset (orders, 0, sizeof *orders);
  g_assert_no_error (error);
  return memory;
}

static void
assert_page (PvPagedMemory *memory, guint64 page)
{
  const guint64 *words = (const guint64 *) pv_paged_memory_get_address (memory) + page * (PAGE / 8);

  for (gsize i = 0; i < PAGE / 8; i++)
    g_assert_cmphex (words[i], ==, word_of (page));
}

/* Touched pages come first, then all of them; at the end it is memory like any other. */
static void
test_pull (void)
{
  PvPagedMemory *memory = new_memory (500);
  guint8 *plain;
  pid_t pid;

  orders->sleep_us = 100;
  pid = start_pager (memory, TRUE);
  assert_page (memory, 499);
  assert_page (memory, 250);
  for (gsize page = 0; page < 500; page++)
    assert_page (memory, page);
  g_assert_cmpint (end_of (pid), ==, 0);
  g_assert_cmpuint (orders->wanted, >=, 1);
  g_assert_true (pv_paged_memory_is_whole (memory));
  plain = pv_paged_memory_get_address (memory);
  /* Nobody is asked any more. */
  madvise (plain, PAGE, MADV_DONTNEED);
  g_assert_cmpuint (plain[0], ==, 0);
  plain = pv_paged_memory_steal (memory);
  g_assert_cmphex (*(guint64 *) (gpointer) (plain + 7 * PAGE), ==, word_of (7));
  munmap (plain, 500 * PAGE);
}

/* Without pulling only what is touched is read. */
static void
test_on_demand (void)
{
  g_autoptr(PvPagedMemory) memory = new_memory (100);
  pid_t pid = start_pager (memory, FALSE);

  assert_page (memory, 3);
  ((guint8 *) pv_paged_memory_get_address (memory))[70 * PAGE] = 9;
  g_assert_cmpuint (orders->read, ==, 2);
  g_assert_cmpuint (orders->wanted, ==, 2);
  g_assert_false (pv_paged_memory_is_whole (memory));
  for (gsize page = 0; page < 70; page++)
    assert_page (memory, page);
  for (gsize page = 71; page < 100; page++)
    assert_page (memory, page);
  g_assert_cmpint (end_of (pid), ==, 0);
  g_assert_cmpuint (orders->read, ==, 100);
}

typedef struct
{
  PvPagedMemory *memory;
  gsize pages, first;
} Toucher;

static gpointer
touch (gpointer data)
{
  Toucher *toucher = data;

  for (gsize i = 0; i < toucher->pages; i++)
    {
      gsize page = (i * 37 + toucher->first) % toucher->pages;
      guint64 *words = (guint64 *) pv_paged_memory_get_address (toucher->memory) + page * (PAGE / 8);

      /* Each writes one word of every page; the others must be what was brought. */
      g_assert_cmphex (words[100], ==, word_of (page));
      words[toucher->first] = i;
    }
  return NULL;
}

/* A pager that ends between placing a page and noting that: page @page is there, its state does not say so. */
static void
place_and_die (PvPagedMemory *memory, guint64 page)
{
  g_autoptr(GError) error = NULL;
  guint64 words[PAGE / 8];
  PvPagerLink link;
  guint8 *states;
  int ends[2], fault, states_fd;

  for (gsize i = 0; i < PAGE / 8; i++)
    words[i] = word_of (page);
  g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
  pv_paged_memory_send (memory, ends[0], &error);
  g_assert_no_error (error);
  g_assert_true (pv_pager_link_receive (ends[1], &link, &fault, &states_fd, &error));
  states = mmap (NULL, link.size / PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, states_fd, 0);
  states[page] = PV_PAGER_PLACING;
  g_assert_cmpint (pv_userfault_copy (fault, link.address + page * PAGE, (guint64) (gsize) words, PAGE, PAGE), ==, 0);
  munmap (states, link.size / PAGE);
  close (states_fd);
  close (fault);
  close (ends[0]);
  close (ends[1]);
}

/* Nobody touches that page again: the next pager must see to it, also one that brings only what is touched. */
static void
test_half_done (void)
{
  g_autoptr(PvPagedMemory) memory = new_memory (20);
  guint64 *words = pv_paged_memory_get_address (memory);
  pid_t pid;

  place_and_die (memory, 7);
  words[7 * (PAGE / 8) + 1] = 5;
  g_assert_false (pv_paged_memory_is_whole (memory));
  pid = start_pager (memory, FALSE);
  for (guint64 page = 0; page < 20; page++)
    {
      if (page != 7)
        assert_page (memory, page);
    }
  g_assert_cmpint (end_of (pid), ==, 0);
  g_assert_true (pv_paged_memory_is_whole (memory));
  g_assert_cmphex (words[7 * (PAGE / 8) + 1], ==, 5);
}

/* Pager after pager is killed while threads touch pages. */
static void
test_killed (void)
{
  const gsize pages = 37 * 20 + 1;
  g_autoptr(PvPagedMemory) memory = new_memory (pages);
  Toucher touchers[3];
  GThread *threads[3];
  guint n_pagers = 0;
  int end;

  for (guint i = 0; i < 3; i++)
    {
      touchers[i] = (Toucher){ memory, pages, i };
      threads[i] = g_thread_new ("touch", touch, &touchers[i]);
    }
  do
    {
      pid_t pid;

      orders->read = 0;
      /* Some die by themselves with a page in their hands, some at any moment, the last may live. */
      orders->die_after = n_pagers % 2 == 0 && n_pagers < 40 ? (guint) g_test_rand_int_range (1, 40) : 0;
      orders->sleep_us = n_pagers < 40 ? 20 : 0;
      pid = start_pager (memory, n_pagers % 3 != 0);
      if (orders->die_after == 0 && n_pagers < 40)
        {
          g_usleep ((gulong) g_test_rand_int_range (0, 4000));
          kill (pid, SIGKILL);
        }
      end = end_of (pid);
      n_pagers++;
    }
  while (end != 0);
  for (guint i = 0; i < 3; i++)
    g_thread_join (threads[i]);
  g_assert_true (pv_paged_memory_is_whole (memory));
  g_test_message ("%u pagers", n_pagers);
  for (gsize page = 0; page < pages; page++)
    g_assert_cmphex (((guint64 *) pv_paged_memory_get_address (memory))[page * (PAGE / 8) + 3], ==, word_of (page));
}

/* What the program discards is not brought back, by no pager. */
static void
test_discarded (void)
{
  g_autoptr(PvPagedMemory) memory = new_memory (50);
  guint8 *bytes = pv_paged_memory_get_address (memory);
  pid_t pid = start_pager (memory, FALSE);

  assert_page (memory, 1);
  assert_page (memory, 2);
  madvise (bytes + 2 * PAGE, 2 * PAGE, MADV_DONTNEED);
  g_assert_cmpuint (bytes[2 * PAGE], ==, 0);
  kill (pid, SIGKILL);
  end_of (pid);
  pid = start_pager (memory, FALSE);
  for (gsize i = 2 * PAGE; i < 4 * PAGE; i++)
    g_assert_cmpuint (bytes[i], ==, 0);
  assert_page (memory, 1);
  assert_page (memory, 4);
  kill (pid, SIGKILL);
  end_of (pid);
  pid = start_pager (memory, TRUE);
  g_assert_cmpint (end_of (pid), ==, 0);
  assert_page (memory, 49);
  g_assert_cmpuint (bytes[3 * PAGE + 5], ==, 0);
}

/* A source that cannot read a page ends its pager, and the next one goes on. */
static void
test_source_fails (void)
{
  g_autoptr(PvPagedMemory) memory = new_memory (50);

  orders->fail_at = 31;
  g_assert_cmpint (end_of (start_pager (memory, TRUE)), ==, 1);
  g_assert_false (pv_paged_memory_is_whole (memory));
  orders->fail_at = 0;
  g_assert_cmpint (end_of (start_pager (memory, TRUE)), ==, 0);
  for (gsize page = 0; page < 50; page++)
    assert_page (memory, page);
}

/* The process ends: so does its pager. */
static void
test_process_ends (void)
{
  PvPagedMemory *memory = new_memory (50);
  pid_t pager = start_pager (memory, FALSE);

  assert_page (memory, 1);
  pv_paged_memory_free (memory);
  g_assert_cmpint (end_of (pager), ==, 0);
}

static void
send_bytes (int socket, gconstpointer bytes, gsize size, const int *fds, guint n_fds)
{
  union { struct cmsghdr header; char space[CMSG_SPACE (8 * sizeof (int))]; } control = { 0 };
  struct iovec io = { (gpointer) bytes, size };
  struct msghdr message = { .msg_iov = &io, .msg_iovlen = 1 };

  if (n_fds > 0)
    {
      message.msg_control = &control;
      message.msg_controllen = CMSG_SPACE (n_fds * sizeof (int));
      control.header.cmsg_level = SOL_SOCKET;
      control.header.cmsg_type = SCM_RIGHTS;
      control.header.cmsg_len = CMSG_LEN (n_fds * sizeof (int));
      memcpy (CMSG_DATA (&control.header), fds, n_fds * sizeof (int));
    }
  g_assert_cmpint (sendmsg (socket, &message, 0), ==, (gssize) size);
}

/* What comes over the socket is believed only as far as it can be checked. */
static void
test_foreign (void)
{
  struct { char magic[8]; guint64 address, size; } link = { "PVPAGER", 0x10000, 4 * PAGE };
  int zero = memfd_create ("short", MFD_CLOEXEC), states = memfd_create ("states", MFD_CLOEXEC);
  const int good[] = { zero, states }, many[] = { zero, states, zero, zero, zero };
  const struct { guint64 size; gsize length; const int *fds; guint n_fds; } cases[] = {
    { 4 * PAGE, 24, NULL, 0 },       { 4 * PAGE, 24, good, 1 },      { 4 * PAGE, 23, good, 2 },
    { 8 * PAGE, 24, good, 2 },       { 0, 24, good, 2 },             { 4 * PAGE + 1, 24, good, 2 },
    { G_MAXUINT64 - 4095, 24, good, 2 }, { 4 * PAGE, 24, many, 5 }, /* not sealed */
  };

  link.magic[7] = '1';
  g_assert_cmpint (ftruncate (states, 4), ==, 0);
  for (gsize i = 0; i < G_N_ELEMENTS (cases); i++)
    {
      g_autoptr(GError) error = NULL;
      int ends[2];

      g_assert_cmpint (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), ==, 0);
      link.size = cases[i].size;
      send_bytes (ends[0], &link, cases[i].length, cases[i].fds, cases[i].n_fds);
      g_assert_null (pv_pager_new_receive (ends[1], read_page, NULL, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      close (ends[0]);
      g_clear_error (&error);
      g_assert_null (pv_pager_new_receive (ends[1], read_page, NULL, &error));
      g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
      close (ends[1]);
    }
  close (zero);
  close (states);
}

int
main (int argc, char **argv)
{
  g_autoptr(PvPagedMemory) probe = NULL;
  g_autoptr(GError) error = NULL;

  g_test_init (&argc, &argv, NULL);
  orders = mmap (NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_assert_null (pv_paged_memory_new (PAGE + 1, NULL, NULL));
  probe = pv_paged_memory_new (PAGE, NULL, &error);
  g_test_add_func ("/pager/foreign", test_foreign);
  if (probe == NULL)
    g_test_message ("n/a: %s", error->message);
  else
    {
      g_test_add_func ("/pager/pull", test_pull);
      g_test_add_func ("/pager/on-demand", test_on_demand);
      g_test_add_func ("/pager/half-done", test_half_done);
      g_test_add_func ("/pager/killed", test_killed);
      g_test_add_func ("/pager/discarded", test_discarded);
      g_test_add_func ("/pager/source-fails", test_source_fails);
      g_test_add_func ("/pager/process-ends", test_process_ends);
    }
  return g_test_run ();
}
