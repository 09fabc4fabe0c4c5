/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What happens when the bound on copies is reached: tests for each engine (memsnap-contract.h). */
#pragma once

#include "memsnap-fixture.h"

#include <string.h>

#include "util/error.h"

#define LIMITED (256 * PAGE) /* bytes: many times what may be held */

static guint8 *
new_filled (Kind kind)
{
  guint8 *memory = new_memory (kind, LIMITED);

  fill (memory, LIMITED, 1);
  return memory;
}

/* Not taken yet. */
static PvMemsnap *
new_limited (PvMemsnapEngine engine, guint8 *memory, guint n_pages, PvMemsnapOverrun overrun)
{
  PvMemsnap *snapshot = new_snapshot (engine, memory, LIMITED);

  pv_memsnap_set_limit (snapshot, n_pages * PAGE, overrun, NULL);
  return snapshot;
}

static void
test_spill (gconstpointer data)
{
  const Case *one = data;
  gsize size = LIMITED;
  guint8 *memory = new_filled (one->kind);
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autofree guint8 *copy = g_malloc (size);
  g_autoptr(GError) error = NULL;
  const guint8 *view;
  PvMemsnapStats stats;

  snapshot = new_limited (one->engine, memory, 16, PV_MEMSNAP_SPILL);
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
  gsize size = LIMITED;
  guint8 *memory = new_filled (one->kind);
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autofree guint8 *copy = g_malloc (size);
  g_autoptr(GError) error = NULL;
  const guint8 *view;

  snapshot = new_limited (one->engine, memory, 16, PV_MEMSNAP_FAIL);
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
  fill (data, LIMITED, 2);
  return NULL;
}

static void
test_throttle (gconstpointer data)
{
  const Case *one = data;
  gsize size = LIMITED;
  guint8 *memory = new_filled (one->kind);
  g_autoptr(PvMemsnap) snapshot = NULL;
  g_autoptr(PvMemsnapIter) iter = NULL;
  g_autofree guint8 *copy = g_malloc (size);
  g_autoptr(GError) error = NULL;
  PvMemsnapStats stats;
  PvMemsnapPiece piece;
  GThread *writer;

  snapshot = new_limited (one->engine, memory, 16, PV_MEMSNAP_THROTTLE);
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
  snapshot = new_limited (one->engine, memory, 2, PV_MEMSNAP_THROTTLE);
  take (snapshot);
  writer = g_thread_new ("writer", overwrite, memory);
  do
    pv_memsnap_get_stats (snapshot, &stats);
  while (stats.copies < 2);
  g_clear_pointer (&snapshot, pv_memsnap_free);
  g_thread_join (writer);
  munmap (memory, size);
}
