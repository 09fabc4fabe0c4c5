/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of PvCaptureJob share: capture-job.c drives, capture-live.c takes a running guest, capture-off.c one
 * that is off, capture-disks.c reads the disks of both. */
#pragma once

#include "capture/capture-job.h"
#include "capture/disk-plan.h"
#include "capture/documents.h"
#include "capture/engine.h"

G_BEGIN_DECLS

struct _PvCaptureJob
{
  GObject parent_instance;

  PvStore *store;             /* (owned) */
  PvCaptureOptions options;
  PvCaptureState state;
  gint64 started;             /* monotonic microseconds */

  PvFd lock;                  /* of the guest */
  char *run_directory;        /* (owned) */
  PvStoreScratch *scratch;    /* (owned) (nullable) */
  PvCapture capture;          /* the guest is in it */
  const PvEngineOps *engine;  /* (nullable): for disks alone */
  PvDomainXml *domain;        /* (owned): live, or the definition of a domain that is off */
  PvDiskPlan *plan;           /* (owned) */
  PvDocuments documents;
  PvSnapshot *base;           /* (owned) (nullable): the newest snapshot of this domain */
  PvTxn *txn;                 /* (owned) */

  gint64 instant_us;          /* microseconds since 1970: the consistency point */
  double pause_ms;
  PvGuestState guest_state;   /* for the snapshot */
  guint64 overrun_bytes, ram_bytes, disk_bytes;
  guint64 disk_done, disk_total; /* bytes, for progress */
  gint64 last_progress;       /* monotonic microseconds */
  GPtrArray *passed_over;     /* (owned) (element-type utf8) */
  GPtrArray *warnings;        /* (owned) (element-type utf8) */
};

/* Emits state-changed. */
void pv_capture_job_set_state (PvCaptureJob *self, PvCaptureState state);
/* Emits progress, when it is time. */
void pv_capture_job_progress (PvCaptureJob *self);

/* What the engine holds; it may be prepared anew, or another one. */
void pv_capture_job_forget_engine (PvCaptureJob *self);
/* Sets .base and .txn. */
gboolean pv_capture_job_begin_txn (PvCaptureJob *self, GError **error);
/* All disks that take part, one after the other. */
gboolean pv_capture_job_take_disks (PvCaptureJob *self, GError **error);

/* From the checks to all that the snapshot holds being in the transaction. */
gboolean pv_capture_job_take_live (PvCaptureJob *self, GError **error);
gboolean pv_capture_job_take_off (PvCaptureJob *self, GError **error);
/* For an off domain, last before the commit: nobody has started it. */
gboolean pv_capture_job_still_off (PvCaptureJob *self, GError **error);
/* After the commit: --keep-overlay is written down, to be done with all the rest by pv_undo_run(). */
gboolean pv_capture_job_keep_overlays (PvCaptureJob *self, GError **error);

G_END_DECLS
