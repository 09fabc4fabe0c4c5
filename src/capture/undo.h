/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Putting a guest back: undoing what a journal says, newest step first.
 *
 * The job runs it at its end, however that came: overlays go back into their bases, capabilities are cleared, whatever
 * was paused runs. The guardian runs it when the job was killed, pv_capture_recover() when the guardian was killed too.
 * Each step looks at what is really there and may have been undone before, in part or whole. No step is left out
 * because another one failed.
 */
#pragma once

#include "capture/journal.h"
#include "virt/guest.h"

G_BEGIN_DECLS

/* @guest: (inout) (nullable): replaced when libvirtd went away: then waits up to @patience_ms for it, each time.
 * NULL: the guest is gone (a transient one that ended); its disks are put back all the same. When nothing is left to
 * do the journal is removed. @done: (out) (optional) (nullable) (transfer full): what was found to be undone, a
 * sentence. The first error is returned. */
gboolean pv_undo_run (PvGuest **guest, PvJournal *journal, guint patience_ms, char **done, GError **error);

/* For whoever comes after job and guardian were both killed: nobody reads the stream that QEMU may still send. Before
 * pv_undo_run(). */
void pv_undo_wake (PvGuest *guest, PvJournal *journal);

/* Only the steps that are about the running guest: all but the overlays. They are written down as over. */
gboolean pv_undo_live (PvGuest **guest, PvJournal *journal, guint patience_ms, GError **error);

/* Brings the guest into the run state that the user had it in, and only that: the part that cannot wait. @was: as in
 * PV_STEP_BEGIN. */
gboolean pv_undo_run_state (PvGuest *guest, const char *was, GError **error);

/* Ends a migration that is under way; waits until QEMU is done with it. @background: it is a background snapshot, whose
 * stream somebody reads: it is not cancelled, but waited for (engine-qemu.c tells why), and the guest gets into the run
 * state @was (nullable: leave it) as soon as its memory allows. */
gboolean pv_undo_migration (PvGuest *guest, gboolean background, const char *was, GError **error);

G_END_DECLS
