/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What src/memsnap/memsnap.h promises of every engine: memsnap_contract_add() adds the tests of one. */
#pragma once

#include "memsnap-fixture.h"
#include "memsnap-limits.h"
#include "memsnap-writers.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>

#include "util/error.h"

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
  guint n_pieces = 0;
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
      n_pieces++;
      memset (memory + (given * 7) % size / PAGE * PAGE, 2, PAGE);
    }
  g_assert_no_error (error);
  g_assert_cmpuint (given, ==, size);
  /* A page that is modified meanwhile is given alone; but all page tables are not walked for each such page. */
  if (one->engine == PV_MEMSNAP_ENGINE_FORK)
    g_assert_cmpuint (n_pieces, <, 300 / 4);
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

/* --- all of them --- */

static void
memsnap_contract_add_one (const char *what, PvMemsnapEngine engine, Kind kind, GTestDataFunc func)
{
  static const char *const engine_names[] = { "auto", "uffd", "fork", "mprotect" };
  static const char *const kind_names[] = { "anonymous", "thp", "shared", "hugetlb" };
  g_autofree char *path = g_strdup_printf ("/memsnap/%s/%s/%s", what, engine_names[engine], kind_names[kind]);
  Case *one = g_new (Case, 1);

  *one = (Case){ engine, kind };
  g_test_add_data_func_full (path, one, func, g_free);
}

static void
memsnap_contract_add_kind (PvMemsnapEngine engine, Kind kind)
{
  memsnap_contract_add_one ("plain", engine, kind, test_plain);
  if (kind == HUGETLB)
    return;
  memsnap_contract_add_one ("unpopulated", engine, kind, test_unpopulated);
  memsnap_contract_add_one ("writers", engine, kind, test_writers);
  if (kind == THP)
    return;
  memsnap_contract_add_one ("several", engine, kind, test_several);
  memsnap_contract_add_one ("iterator", engine, kind, test_iterator);
  memsnap_contract_add_one ("spill", engine, kind, test_spill);
  memsnap_contract_add_one ("fail", engine, kind, test_fail);
  if (engine != PV_MEMSNAP_ENGINE_FORK)
    memsnap_contract_add_one ("throttle", engine, kind, test_throttle);
  if (engine != PV_MEMSNAP_ENGINE_MPROTECT)
    memsnap_contract_add_one ("system-calls", engine, kind, test_system_calls);
  memsnap_contract_add_one ("program-forks", engine, kind, test_program_forks);
}

/* fork(2) shares no memory that is shared with others already. */
static void
memsnap_contract_add (PvMemsnapEngine engine)
{
  for (Kind kind = ANONYMOUS; kind <= HUGETLB; kind++)
    if (engine != PV_MEMSNAP_ENGINE_FORK || kind < SHARED)
      memsnap_contract_add_kind (engine, kind);
}
