/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The end of a background snapshot's write-protection, also of one that broke off.
 *
 * QEMU 7.2 stops write-protecting the guest's memory only when a background snapshot comes to its end. When it was
 * cancelled or its reader went away, pages stay protected by a userfaultfd that nobody reads any more: the guest
 * hangs on the first one that it writes to, and QEMU, which believes that it tracks writes still, fails in every
 * migration. pagevault therefore reads each such stream to its end; this is for the case that all its processes were
 * killed at once: protection is lifted from outside (unprotect.h), then a background snapshot that nobody keeps is
 * run to its end, which makes QEMU forget.
 */
#pragma once

#include "virt/guest.h"

G_BEGIN_DECLS

/* The capability background-snapshot is set, no migration is under way. On return memory is not protected. @was:
 * (nullable): the run state to leave the guest in, as in PV_STEP_BEGIN; NULL: as it is. */
gboolean pv_write_protection_end (PvGuest *guest, const char *was, GError **error);

G_END_DECLS
