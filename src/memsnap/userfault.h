/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* userfaultfd(2) and PAGEMAP_SCAN, thinly: constants newer than the oldest headers pagevault builds with, and the
 * retries that their contracts ask for.
 *
 * What returns int gives 0 or an errno value, allocates nothing and writes only to its own stack: it may be called
 * where the caller's other memory may be write-protected.
 */
#pragma once

#include <glib.h>
#include <linux/userfaultfd.h>

G_BEGIN_DECLS

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#define PV_UFFD_WP_HUGETLBFS_SHMEM (G_GUINT64_CONSTANT (1) << 12) /* Linux 5.19 */
#define PV_UFFD_WP_UNPOPULATED (G_GUINT64_CONSTANT (1) << 13)     /* Linux 6.4 */
#define PV_UFFD_WP_ASYNC (G_GUINT64_CONSTANT (1) << 15)           /* Linux 6.7 */

/* What this kernel's userfaultfd can do (UFFD_FEATURE_ bits); 0 when it cannot be had at all. */
guint64 pv_userfault_features (void);

/* A userfaultfd (close-on-exec, non-blocking) with @features switched on. @user_mode_only: faults of system calls are
 * not caught (they fail with EFAULT), which any user may have. -1 with PV_ERROR_DENIED or PV_ERROR_UNSUPPORTED. */
int pv_userfault_open (guint64 features, gboolean user_mode_only, GError **error);

/* @mode: UFFDIO_REGISTER_MODE_ bits. EBUSY: another userfaultfd has the range. */
int pv_userfault_register (int fd, guint64 start, guint64 length, guint64 mode);
int pv_userfault_unregister (int fd, guint64 start, guint64 length);
/* Write-protects the range, or lifts that and wakes who waited for it. EAGAIN: an event must be read first. */
int pv_userfault_protect (int fd, guint64 start, guint64 length, gboolean on);
/* Fills missing pages at once and wakes who waited; pages that are there already are left as they are. EAGAIN: with
 * events switched on, one must be read first; then the same call again. */
int pv_userfault_copy (int fd, guint64 to, guint64 from, guint64 length, guint64 page_size);
int pv_userfault_zero (int fd, guint64 start, guint64 length, guint64 page_size);
int pv_userfault_wake (int fd, guint64 start, guint64 length);

/* One run of pages from PAGEMAP_SCAN. */
typedef struct
{
  guint64 start, end; /* addresses */
  guint64 categories; /* not told: it would cut runs to pieces */
} PvPageRun;

enum
{
  PV_PAGE_IS_WRITTEN = 1 << 1, /* since the last pv_pagemap_scan_written() */
  PV_PAGE_IS_PRESENT = 1 << 3,
  PV_PAGE_IS_SWAPPED = 1 << 4, /* or was not there and is protected all the same */
};

/* Finds the runs of pages in [*@start, @end) written since the last such scan that are in any of @categories as well
 * (0: whatever they are), and write-protects them again in the same step. Fills at most @n_runs; *@found: how many,
 * *@start: where to go on. @pagemap: /proc/PID/pagemap, opened for reading. Needs a userfaultfd with PV_UFFD_WP_ASYNC
 * over the range (EPERM otherwise). */
int pv_pagemap_scan_written (int pagemap, guint64 categories, guint64 *start, guint64 end, PvPageRun *runs,
                             guint n_runs, guint *found);

/* The runs of pages that are in none of @categories; changes nothing. Otherwise as above. */
int pv_pagemap_scan_without (int pagemap, guint64 categories, guint64 *start, guint64 end, PvPageRun *runs,
                             guint n_runs, guint *found);

/* The runs of pages that are in all of @all and in any of @any (0: whatever they are); changes nothing. Otherwise as
 * above. */
int pv_pagemap_scan (int pagemap, guint64 all, guint64 any, guint64 *start, guint64 end, PvPageRun *runs, guint n_runs,
                     guint *found);

G_END_DECLS
