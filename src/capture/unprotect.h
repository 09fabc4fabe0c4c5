/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lifting the write-protection of a QEMU process's memory from outside: write-protection.h tells when that is needed.
 *
 * The userfaultfd is an open descriptor of QEMU's: taken out with pidfd_getfd(2), it unregisters the memory from here.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Whether memory of the QEMU process that runs domain @uuid on this host is write-protected by a userfaultfd; FALSE
 * also when that cannot be seen. */
gboolean pv_unprotect_needed (const char *uuid);
/* Lifts the protection of all its memory. PV_ERROR_NOT_FOUND without such a process, DENIED without CAP_SYS_PTRACE. */
gboolean pv_unprotect_memory (const char *uuid, GError **error);

G_END_DECLS
