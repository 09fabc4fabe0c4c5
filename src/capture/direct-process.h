/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The QEMU process of a guest, for the direct engine: found, and its userfaultfd obtained. */
#pragma once

#include <sys/types.h>

#include "virt/guest.h"

G_BEGIN_DECLS

/* A pidfd of the guest's QEMU, to be closed, and its @pid: (out). -1 with PV_ERROR_UNSUPPORTED when it is not on this
 * host. */
int pv_direct_process_open (PvGuest *guest, pid_t *pid, GError **error);

/* A userfaultfd of that process, to be closed; one system call is made inside it. -1 on error, as
 * pv_process_memory_userfaultfd() tells. */
int pv_direct_process_userfaultfd (PvGuest *guest, pid_t pid, int pidfd, GError **error);

G_END_DECLS
