/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The tracker: a process that does nothing but hold the userfaultfd by which a guest's memory is watched, from one
 * capture with the direct engine to the next. As long as it does, the kernel goes on noting what is written, and the
 * next capture reads only that.
 *
 *   pv_tracking_new() -> the snapshot is committed: pv_tracking_start() -> … -> the next capture: pv_tracker_take()
 *
 * It ends when QEMU does, when its userfaultfd is taken, or when somebody kills it; nothing but time is lost by that.
 * Beside the guest's lock lies a file, "tracker", that says which process it is, which snapshot the memory was in when
 * watching began anew, and where its blocks lay: if any of that is not so any more, everything is read.
 */
#pragma once

#include "capture/ram-map.h"
#include "store/snapshot.h"

G_BEGIN_DECLS

/* What is to be held. */
typedef struct _PvTracking PvTracking;

/* Takes over @map and both descriptors: @userfaultfd, whose last scan was at the snapshot's instant, and @pidfd of
 * QEMU. */
PvTracking *pv_tracking_new (PvRamMap *map, int userfaultfd, int pidfd);
void pv_tracking_free (PvTracking *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvTracking, pv_tracking_free)
/* Starts the process pagevault-tracker for the guest @uuid, of which @snapshot is committed. The lock of the guest is
 * held. */
gboolean pv_tracking_start (PvTracking *self, const char *uuid, PvSnapshot *snapshot, GError **error);

/* Ends the tracker of the guest @uuid, if there is one, and takes its userfaultfd over: -1 when there is none, or when
 * it does not hold what was written since @snapshot (nullable: no snapshot will do) to the memory @map of process @pid.
 * The lock of the guest is held. */
int pv_tracker_take (const char *uuid, const PvRamMap *map, pid_t pid, PvSnapshot *snapshot);
/* Ends it: QEMU itself, or somebody else, is to watch the memory. */
void pv_tracker_drop (const char *uuid);

/* Descriptors of the process. */
enum
{
  PV_TRACKER_FD_USERFAULTFD = 3,
  PV_TRACKER_FD_QEMU = 4, /* a pidfd */
};

G_END_DECLS
