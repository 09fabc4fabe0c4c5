/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPagerShared: what a pager must know to take over from one that was killed, in memory that outlives both.
 *
 * It lies in a memfd that the pager and its keeper hold; a pager writes down what it is about to do before it does it
 * and what it did afterwards, so that it may be killed between any two instructions:
 *
 *   (S1) .sent has a bit for each page that went into the channel whole; a page goes in once (QEMU takes a second copy
 *        for a fault of the channel).
 *   (S2) .intent is set while it is not known whether the pages in .intent_pages (or the end) went in; the answer
 *        is the PONG to .sequence, which went in together with them or not at all.
 *   (S3) a request is in the ring, or its page is in .sent or .intent_pages, before it is taken off the channel.
 *
 * Written by one thread of one process. Not for other versions of the program: the magic tells.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_PAGER_BATCH 7u         /* pages that go into the channel at once: under 32 KiB, one buffer of the kernel */
#define PV_PAGER_RING 4096u       /* requests waiting */
#define PV_PAGER_RECORDED 65536u  /* requests remembered for the working set */

typedef enum
{
  PV_PAGER_STARTING, /* the guest has not run */
  PV_PAGER_RUNNING,  /* pages go in */
  PV_PAGER_ENDING,   /* all pages are in, the end was sent */
  PV_PAGER_OVER,     /* nothing is left to do: QEMU is complete, or gone */
} PvPagerPhase;

typedef enum
{
  PV_INTENT_NONE,
  PV_INTENT_PAGES,
  PV_INTENT_END,
  PV_INTENT_TORN, /* only a part of something went in: the channel is of no use any more */
} PvPagerIntent;

typedef struct
{
  guint64 magic;
  guint64 size;            /* bytes of all of it */
  guint64 n_pages;
  gint phase;              /* PvPagerPhase; atomic */
  gint intent;             /* PvPagerIntent; atomic */
  guint32 sequence;        /* of the last PING */
  guint32 n_intent_pages;
  guint64 intent_pages[PV_PAGER_BATCH];
  gint64 last_block;       /* of the last request by name; -1: none yet */
  guint32 ring_first, ring_n;
  guint64 ring[PV_PAGER_RING];
  guint64 n_sent;          /* bits in .sent */
  guint64 n_requested;     /* requests for pages that were not there yet */
  guint64 demand_us;       /* spent on them: from the request's arrival to the page in the channel */
  guint64 n_ahead;         /* pages sent before the guest ran */
  guint64 n_takeovers;     /* times that another pager went on */
  guint32 n_recorded;
  guint64 recorded[PV_PAGER_RECORDED]; /* pages in the order in which they were requested */
  guint8 sent[];           /* a bit for each page, little-endian */
} PvPagerShared;

/* Makes it for @n_pages, or maps what @fd has. @fd: (inout): -1: a new memfd is made. NULL with PV_ERROR_CORRUPT when
 * it is not of this version or not for @n_pages. */
PvPagerShared *pv_pager_shared_map (int *fd, guint64 n_pages, GError **error);
/* What @fd has, whatever the number of pages. */
PvPagerShared *pv_pager_shared_open (int fd, GError **error);
void pv_pager_shared_unmap (PvPagerShared *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPagerShared, pv_pager_shared_unmap)

gboolean pv_pager_shared_is_sent (const PvPagerShared *self, guint64 page);
void pv_pager_shared_set_sent (PvPagerShared *self, guint64 page);
/* The bits of pages @first to @first + @n from @bits, little-endian, in place of what there was. */
void pv_pager_shared_load_sent (PvPagerShared *self, guint64 first, guint64 n, const guint8 *bits);

/* Adds a request; FALSE: the ring is full. One for a page that was sent, or waits already, is fine and forgotten. */
gboolean pv_pager_shared_request (PvPagerShared *self, guint64 page);
/* The oldest request, which stays until dropped; FALSE: there is none. */
gboolean pv_pager_shared_peek (const PvPagerShared *self, guint64 *page);
void pv_pager_shared_drop (PvPagerShared *self);

/* (S2): say what is about to go into the channel, and what became of it. */
void pv_pager_shared_intend (PvPagerShared *self, PvPagerIntent intent, const guint64 *pages, guint n);
void pv_pager_shared_done (PvPagerShared *self);   /* it went in */
void pv_pager_shared_forget (PvPagerShared *self); /* it did not */

G_END_DECLS
