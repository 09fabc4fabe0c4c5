/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPagerWarm: reads, in threads of its own, what a pager is about to read, so that it finds it decoded: the requests
 * behind the oldest one, and what lies behind a request when requests come one after the other in the order of memory.
 *
 * What it cannot read is said by the pager when it comes to it. One thread; letting go waits for the reads under way.
 */
#pragma once

#include "restore/pager-shared.h"
#include "restore/pager-source.h"

G_BEGIN_DECLS

typedef struct _PvPagerWarm PvPagerWarm;

/* @source must outlive it. */
PvPagerWarm *pv_pager_warm_new (PvPagerSource *source);
void pv_pager_warm_free (PvPagerWarm *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPagerWarm, pv_pager_warm_free)

/* Looks at the requests in the ring: starts what has not been started. */
void pv_pager_warm_requests (PvPagerWarm *self, const PvPagerShared *shared);

/* The nice value of the calling thread: reading ahead shall not keep requests waiting. */
#define PV_PAGER_NICE_REQUESTS (-10)
#define PV_PAGER_NICE_AHEAD 5
void pv_pager_set_nice (int nice);

G_END_DECLS
