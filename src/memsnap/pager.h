/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPager: memory of a process whose pages another process brings when they are first touched.
 *
 * In the process that has the memory:
 *
 *   memory = pv_paged_memory_new (size, &error);
 *   pv_paged_memory_send (memory, socket, &error);           // to a pager; again to another one when that has died
 *   … pv_paged_memory_get_address (memory) … pv_paged_memory_is_whole (memory) …
 *
 * In the pager:
 *
 *   pager = pv_pager_new_receive (socket, read_page, data, &error);
 *   pv_pager_run (pager, &error);                            // until every page is in place
 *
 * What is touched first comes first; the rest is pulled in the background. When all pages are in place the memory is
 * handed over: it is plain anonymous memory, and nobody's userfaultfd watches it any more. A pager may be killed at any
 * moment; threads that wait for a page go on waiting until the next pager has the memory. What was in place stays as
 * it is.
 *
 * Page states are kept in shared memory that travels with the userfaultfd, so that a later pager never brings back what
 * the program has discarded (madvise) or placed. The pager trusts the process no further than its own descriptors: a
 * wrong size is refused, a page is a page.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* --- the side that has the memory --- */

typedef struct _PvPagedMemory PvPagedMemory;

/* @size bytes of new anonymous memory, whole pages, without content. System calls that touch it wait as well where a
 * userfaultfd may be had with rights (see docs/memsnap.md), otherwise they fail with EFAULT; @user_only: (out)
 * (optional): which. */
PvPagedMemory *pv_paged_memory_new (gsize size, gboolean *user_only, GError **error);
/* Gives what a pager needs to the other end of the Unix stream @socket. */
gboolean pv_paged_memory_send (PvPagedMemory *self, int socket, GError **error);
gpointer pv_paged_memory_get_address (PvPagedMemory *self);
/* TRUE when every page is in place; from then on no pager is needed. */
gboolean pv_paged_memory_is_whole (PvPagedMemory *self);
/* Ends the paging; the memory stays mapped as plain memory, pages not in place read as zeros: (transfer full) its
 * address, to be unmapped with munmap(2). */
gpointer pv_paged_memory_steal (PvPagedMemory *self);
/* Unmaps it. @self: (nullable). */
void pv_paged_memory_free (PvPagedMemory *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPagedMemory, pv_paged_memory_free)

/* --- the pager --- */

typedef struct _PvPager PvPager;

/* Fills @page with the @size bytes at @offset of the memory, or returns FALSE with @error. From the thread of
 * pv_pager_run(). @is_wanted: somebody waits for it. */
typedef gboolean (*PvPagerRead) (guint64 offset, gpointer page, gsize size, gboolean is_wanted, gpointer data,
                                 GError **error);

/* Takes what pv_paged_memory_send() sends at the other end of @socket, which is not taken. */
PvPager *pv_pager_new_receive (int socket, PvPagerRead read_page, gpointer data, GError **error);
/* Only pages that are touched, until told otherwise. TRUE by default. */
void pv_pager_set_pull (PvPager *self, gboolean pull);
/* Serves until all pages are in place (TRUE; handed over), the process is gone (TRUE), pv_pager_stop() (TRUE), or a
 * page cannot be read (FALSE: who waits for it goes on waiting for another pager). */
gboolean pv_pager_run (PvPager *self, GError **error);
/* Ends pv_pager_run() soon. Any thread. */
void pv_pager_stop (PvPager *self);

typedef struct
{
  guint64 n_pages;  /* of the memory */
  guint64 placed;   /* by anyone so far */
  guint64 on_demand; /* by this pager, because somebody waited */
} PvPagerStats;

void pv_pager_get_stats (PvPager *self, PvPagerStats *stats);
void pv_pager_free (PvPager *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPager, pv_pager_free)

G_END_DECLS
