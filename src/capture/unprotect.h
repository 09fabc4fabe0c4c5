/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The last resort for a guest whose background snapshot broke off.
 *
 * QEMU up to some version after 7.2 stops write-protecting the guest's memory only when a background snapshot came to
 * its end. When it was cancelled or its reader went away, pages stay protected by a userfaultfd that nobody reads any
 * more, and the guest hangs on the first one that it writes to. pagevault therefore reads every such stream to its end;
 * this is for the case that all its processes were killed at once.
 *
 * The userfaultfd is an open descriptor of QEMU's: taken out with pidfd_getfd(2), it unregisters the memory from here.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Lifts the protection of all memory of the QEMU process that runs domain @uuid on this host. @n_ranges: (out): how
 * many pieces of memory were protected. PV_ERROR_NOT_FOUND without such a process, DENIED without CAP_SYS_PTRACE. */
gboolean pv_unprotect_memory (const char *uuid, guint *n_ranges, GError **error);

G_END_DECLS
