/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvEngineOps: how a capture gets at the memory of a guest: one table for each engine.
 *
 *   prepare -> freeze -> [XML, NVRAM, disks] -> arm -> … the stream is drained … -> settle
 *
 * Each callback may fail at any point: the journal says what it has done, and pv_undo_run() takes it back. Nothing
 * that a callback does to the guest comes before its line in the journal. Between freeze and the end of arm the guest
 * is paused.
 */
#pragma once

#include "capture/capture-options.h"
#include "capture/drain.h"
#include "capture/guardian.h"
#include "capture/ram-ingest.h"
#include "capture/tracker.h"
#include "virt/guest.h"

G_BEGIN_DECLS

typedef struct _PvEngineOps PvEngineOps;

/* What the parts of one capture share. The job's; one thread. */
typedef struct
{
  PvGuest *guest;       /* (owned): replaced when libvirtd was restarted */
  PvGuestEvents *events; /* (owned) (nullable): from before the guest is touched */
  const PvCaptureOptions *options;
  const char *was;      /* the user's run state: "running", "paused", "shutoff" */
  PvJournal *journal;   /* (owned) */
  PvGuardian *guardian; /* (owned) */
  GCancellable *cancellable; /* (nullable) */
  const char *scratch;  /* directory for the spill file */
  PvRamIngest *ram;     /* (owned) (nullable) */
  PvDrain *drain;       /* (owned) (nullable): of the engine's prepare; NULL: the engine takes memory in itself */
  PvFd channel;         /* the engine's: its end of a socket that it can answer on */
  gpointer engine_data; /* (owned) (nullable): the engine's */
  GDestroyNotify free_engine_data;
  PvStore *store;       /* (not owned) */
  PvSnapshot *base;     /* (not owned) (nullable): what the transaction builds on */
  gboolean tracked;     /* only what was written since base was read */
  PvTracking *tracking; /* (owned) (nullable): of the engine's settle: to be started when the snapshot is there */
  void (*tick) (gpointer tick_data); /* while something lasts: progress */
  gpointer tick_data;
} PvCapture;

struct _PvEngineOps
{
  const char *name;

  /* Guest running (or paused by the user): capabilities, parameters, descriptors, drain. Everything that takes time.
   * Here an engine that this host or guest does not allow fails, with PV_ERROR_UNSUPPORTED and the reason. */
  gboolean (*prepare) (PvCapture *capture, GError **error);
  /* On return the guest is paused, at the instant that is captured. */
  gboolean (*freeze) (PvCapture *capture, GError **error);
  /* The disks are frozen. On return memory and device state of that instant are safe from the guest, and the guest is
   * in the user's run state again. */
  gboolean (*arm) (PvCapture *capture, GError **error);
  /* The stream has come to its end: QEMU must agree that it is whole. Without a stream: the engine takes in what is
   * left of memory. */
  gboolean (*settle) (PvCapture *capture, GError **error);
};

extern const PvEngineOps pv_engine_direct;
extern const PvEngineOps pv_engine_qemu;
extern const PvEngineOps pv_engine_live;
extern const PvEngineOps pv_engine_paused;

/* --- what engines have in common ---------------------------------------------------------------------------------- */

/* Before each step: TRUE unless cancelled, the guardian is gone or took over, or a test wants @point to fail. */
gboolean pv_capture_step (PvCapture *self, const char *point, GError **error);

/* Written into the journal, then done. */
gboolean pv_capture_set_capability (PvCapture *self, const char *name, GError **error);
gboolean pv_capture_set_parameter (PvCapture *self, const char *name, gint64 value, GError **error);
/* Hands @fd over under the name that pv_capture_migrate() uses. */
gboolean pv_capture_give_fd (PvCapture *self, int fd, GError **error);
/* @kind: as in PV_STEP_MIGRATE. */
gboolean pv_capture_migrate (PvCapture *self, const char *kind, GError **error);
/* Pauses a guest that runs; written down in either case. */
gboolean pv_capture_pause (PvCapture *self, GError **error);
/* The guest is in the user's run state: seen to, and written down, so that nobody touches it later. */
gboolean pv_capture_resume (PvCapture *self, GError **error);
/* Starts to drain @fd (taken over) into capture->ram. @to_the_end: as in PvDrainOptions. */
void pv_capture_start_drain (PvCapture *self, int fd, gboolean to_the_end);
/* TRUE while the drain is well and nobody wants us to stop; one turn of a waiting loop: @wait_ms. */
gboolean pv_capture_wait_a_little (PvCapture *self, guint wait_ms, GError **error);

G_END_DECLS
