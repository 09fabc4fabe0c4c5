/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvCaptureJob: one live checkpoint of one guest, from checks to a listed snapshot.
 *
 *   CHECKING -> PREPARING -> FROZEN -> DRAINING -> COMMITTING -> MERGING -> DONE
 *                    any but the last two -> UNDOING -> FAILED
 *
 * A GObject with signals, emitted in the thread that runs the job:
 *   state-changed (guint state)             each step of the table above
 *   progress (guint64 done, guint64 total)  bytes of memory and disks, at most ten times a second
 *
 * The guest is sacred: however pv_capture_job_run() ends, and also when this process is killed at any instruction, the
 * guest is back in the run state that the user had it in, on a valid disk chain (a guardian process sees to it).
 */
#pragma once

#include <glib-object.h>

#include "capture/capture-options.h"
#include "store/txn.h"
#include "virt/guest.h"

G_BEGIN_DECLS

typedef enum
{
  PV_CAPTURE_CHECKING,
  PV_CAPTURE_PREPARING,
  PV_CAPTURE_FROZEN,     /* the guest is paused: milliseconds */
  PV_CAPTURE_DRAINING,   /* the guest runs; memory and disks are taken in */
  PV_CAPTURE_COMMITTING,
  PV_CAPTURE_MERGING,    /* the snapshot is listed; overlays go back into their bases, or are registered */
  PV_CAPTURE_DONE,
  PV_CAPTURE_UNDOING,
  PV_CAPTURE_FAILED,
} PvCaptureState;
const char *pv_capture_state_to_string (PvCaptureState state);

typedef struct
{
  PvSnapshot *snapshot;   /* (owned) */
  char *engine;           /* (owned) */
  GPtrArray *passed_over; /* (owned) (element-type utf8): "qemu: reason" of engines that auto did not take */
  double pause_ms;        /* measured: guest not running, by QEMU's own event times */
  double total_ms;
  guint64 ram_bytes, disk_bytes; /* of the guest */
  guint64 overrun_bytes;  /* that went to the spill file */
  PvTxnStats stats;
  GPtrArray *warnings;    /* (owned) (element-type utf8): sentences: the snapshot is good, something beside it is not */
} PvCaptureResult;
void pv_capture_result_clear (PvCaptureResult *self);

#define PV_TYPE_CAPTURE_JOB (pv_capture_job_get_type ())
G_DECLARE_FINAL_TYPE (PvCaptureJob, pv_capture_job, PV, CAPTURE_JOB, GObject)

PvCaptureJob *pv_capture_job_new (PvStore *store, PvGuest *guest, const PvCaptureOptions *options);
/* Blocks. Cancelling undoes everything cleanly (PV_ERROR_CANCELLED). @result: (out): set on success only. */
gboolean pv_capture_job_run (PvCaptureJob *self, PvCaptureResult *result, GCancellable *cancellable, GError **error);

/* Finishes or undoes what a killed capture (whose guardian was killed as well) left of @guest; TRUE when nothing was or
 * nothing is left. Every command that touches a guest calls it first. PV_ERROR_BUSY while a capture or its guardian
 * is at work. @mended: (out) (optional): what was done, a sentence, NULL when nothing (transfer full). */
gboolean pv_capture_recover (PvStore *store, PvGuest *guest, char **mended, GError **error);

G_END_DECLS
