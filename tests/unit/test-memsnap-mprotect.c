/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap-contract.h"

#include <setjmp.h>
#include <signal.h>

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

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  memsnap_contract_add (PV_MEMSNAP_ENGINE_MPROTECT);
  g_test_add_func ("/memsnap/handlers", test_handlers);
  g_test_add_func ("/memsnap/crowded", test_crowded);
  return g_test_run ();
}
