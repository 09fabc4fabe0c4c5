/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of a background snapshot's write-protection, also of one that broke off.
 *
 * QEMU 7.2 stops write-protecting the guest's memory only when a background snapshot comes to its end. When it was
 * cancelled or its reader went away, pages stay protected by a userfaultfd that nobody reads any more: the guest
 * hangs on the first one that it writes to, and QEMU, which believes that it tracks writes still, fails in every
 * migration. pagevault therefore reads each such stream to its end; this is for the case that all its processes were
 * killed at once: protection is lifted from outside (unprotect.h), then a background snapshot that nobody keeps is
 * run to its end, which makes QEMU forget.
 *
 * QEMU's own main thread may be what hangs: it writes to guest memory for the guest's devices. Then its monitor does
 * not answer, nor does libvirt, and protection must be lifted before anything is asked for.
 */
#pragma once

#include "capture/journal.h"
#include "virt/guest.h"

G_BEGIN_DECLS

/* Nobody reads the stream of a background snapshot any more, that may be under way: makes QEMU answer. Writes
 * PV_STEP_LIFT into @journal (not owned) before it lifts protection. What fails shows in the steps that follow. */
void pv_write_protection_wake (PvGuest *guest, PvJournal *journal);

/* The capability background-snapshot is set, no migration is under way. On return memory is not protected. @was:
 * (nullable): the run state to leave the guest in, as in PV_STEP_BEGIN; NULL: as it is. @lifted: @journal has
 * PV_STEP_LIFT already. */
gboolean pv_write_protection_end (PvGuest *guest, PvJournal *journal, gboolean lifted, const char *was,
                                  GError **error);

G_END_DECLS
