/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDrain: takes a stream out of a pipe or socket as fast as it comes and hands it on as fast as somebody can take it.
 *
 *   new (two threads start) -> wait until it is over -> free;   stop at any time
 *
 *   pipe -> reader thread -> blocks in memory (bounded) -> consumer thread -> sink
 *                        \-> spill file, when memory is full and the policy says so -/
 *
 * QEMU keeps a page of a running guest write-protected until it could send it: the reader never waits for the sink as
 * long as there is room. The order of bytes is kept.
 *
 * When the sink fails, or the buffer overran, the reader closes its end, so that QEMU's write fails; or, with
 * to_the_end, it goes on reading and throws away what it reads until QEMU is through: engine-qemu.c tells why.
 */
#pragma once

#include "capture/capture-options.h"

G_BEGIN_DECLS

/* Called in the consumer's thread. FALSE with @error ends the drain. */
typedef gboolean (*PvDrainSink) (const guint8 *bytes, gsize n, gpointer data, GError **error);

typedef struct
{
  guint64 buffer;        /* bytes of memory for what waits */
  PvOverrun on_overrun;
  const char *spill_directory; /* (nullable) unless spilling */
  PvDrainSink sink;
  gpointer data;         /* for sink */
  gboolean to_the_end;   /* never close before the sender did, except by stop() */
  void (*beat) (gpointer beat_data); /* (nullable): called in the reader's thread, at least every PV_DRAIN_BEAT_MS,
                                      * unless it waits for the sink for more than PV_DRAIN_STUCK_MS */
  gpointer beat_data;
} PvDrainOptions;

enum
{
  PV_DRAIN_BEAT_MS = 250,
  PV_DRAIN_STUCK_MS = 20 * 1000,
};

typedef struct _PvDrain PvDrain;

/* Takes over @fd, a pipe or a stream socket. @options is copied, but not its strings. */
PvDrain *pv_drain_new (int fd, const PvDrainOptions *options);
/* Stops, waits for the threads. */
void pv_drain_free (PvDrain *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDrain, pv_drain_free)

/* Waits up to @timeout_ms. @done: TRUE when the stream came to its end and the sink has had all of it. FALSE with
 * @error when it failed: the sink's error; PV_ERROR_NO_SPACE of the spill file; PV_ERROR_FAILED when the buffer
 * overran under PV_OVERRUN_FAIL. */
gboolean pv_drain_wait (PvDrain *self, guint timeout_ms, gboolean *done, GError **error);
/* TRUE when the stream has ended: the sender is done with it, whatever still waits here. Never blocks. */
gboolean pv_drain_at_end (PvDrain *self);
/* Closes our end and forgets what waits; wait() then fails with PV_ERROR_CANCELLED. Any thread. */
void pv_drain_stop (PvDrain *self);
/* The same, but reads on to the end with to_the_end. Does not wait for it. */
void pv_drain_discard (PvDrain *self);

guint64 pv_drain_received (PvDrain *self); /* bytes read so far */
guint64 pv_drain_overrun (PvDrain *self);  /* bytes that went through the spill file */

G_END_DECLS
