/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Threads that write to memory all the time in an order that shows, in every snapshot of it, whether it is of one
 * instant. A test for each engine (memsnap-contract.h). */
#pragma once

#include "memsnap-fixture.h"

#include <string.h>

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
