/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvGuardian: a process that outlives the capture and puts the guest back when the capture cannot.
 *
 *   start (before the guest is touched) -> check before each step … -> done -> free;   free without done: it takes over
 *
 * The guardian holds the lock of the capture and knows where its journal is going to be, has a libvirt
 * connection of its own that is open already, and lives in a session of its own. When the socket to the job closes
 * without a word, it undoes what the journal says, however long libvirtd may be away.
 *
 * While watched, the job beats: the thread that takes the memory stream in says that it is alive. When it is silent for
 * PV_GUARDIAN_PATIENCE_MS and stopped, by a signal or a debugger, or silent for PV_GUARDIAN_STARVED_MS though it could
 * run (a dead disk, a machine out of breath), the guest may be waiting for it: the guardian ends the migration and lets
 * the guest run. The job finds out by check(), at the latest before it commits, and fails.
 *
 * While frozen() is on, which is while the guest is paused by the capture, the job's own thread has to come along at
 * check(), too: it may hang in a call where the reader does not (a disk that answers no more, a libvirtd that hangs),
 * and only it lets the guest go on. It gets PV_GUARDIAN_HUNG_MS.
 *
 * The other way round check() fails when the guardian died: then the job undoes everything by itself.
 */
#pragma once

#include "capture/journal.h"
#include "virt/guest.h"

G_BEGIN_DECLS

enum
{
  PV_GUARDIAN_PATIENCE_MS = 1500,
  PV_GUARDIAN_STARVED_MS = 9000, /* a multiple of it */
  PV_GUARDIAN_HUNG_MS = 20000,
};

typedef struct _PvGuardian PvGuardian;

/* Starts the process pagevault-guardian, before there is a journal. @path, @copy: as for pv_journal_create(). @lock_fd:
 * pv_journal_lock()'s, not taken over. Returns before it is ready: see pv_guardian_wait_ready(). */
PvGuardian *pv_guardian_start (PvGuest *guest, const char *path, const char *copy, int lock_fd, GError **error);
/* Waits until it has its connection to libvirt. */
gboolean pv_guardian_wait_ready (PvGuardian *self, GError **error);
void pv_guardian_free (PvGuardian *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvGuardian, pv_guardian_free)

/* Gives it the reading end of the memory stream's pipe (not taken over): it reads the rest when we cannot. */
gboolean pv_guardian_give_stream (PvGuardian *self, int fd, GError **error);

/* Gives it our end of the socket that QEMU migrates into (not taken over): it shuts it down when we cannot answer. QEMU
 * sends the rest of a switch-over with its lock held, and does not even hear its monitor until that is gone. */
gboolean pv_guardian_give_channel (PvGuardian *self, int fd, GError **error);

/* FALSE with PV_ERROR_FAILED when it is gone, or took over. Tells a guardian that watches frozen() that the caller is
 * alive. Any thread; costs a system call. */
gboolean pv_guardian_check (PvGuardian *self, GError **error);
/* Whether it took over: then what failed since failed because of that. */
gboolean pv_guardian_took (PvGuardian *self);
/* From now on (or no more) it expects a beat. */
void pv_guardian_watch (PvGuardian *self, gboolean on);
/* From now on (or no more) it expects check(). */
void pv_guardian_frozen (PvGuardian *self, gboolean on);
/* I am alive. Any thread, as often as you like. */
void pv_guardian_beat (PvGuardian *self);
/* All is put back or in its place: it may go; waits for it. */
void pv_guardian_done (PvGuardian *self);

/* What the two say to each other, a byte each. */
enum
{
  PV_GUARDIAN_READY = 'r', /* guardian: my connection is open */
  PV_GUARDIAN_TOOK = 't',  /* guardian: the job was silent, I let the guest run */
  PV_GUARDIAN_WATCH = 'w',
  PV_GUARDIAN_UNWATCH = 'u',
  PV_GUARDIAN_BEAT = 'b',
  PV_GUARDIAN_FROZEN = 'f',
  PV_GUARDIAN_RUNS = 'n',
  PV_GUARDIAN_CHECK = 'k',
  PV_GUARDIAN_STREAM = 's', /* comes with the descriptor */
  PV_GUARDIAN_CHANNEL = 'c', /* likewise */
  PV_GUARDIAN_DONE = 'd',
};

G_END_DECLS
