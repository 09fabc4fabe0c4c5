/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The memory of another process: a userfaultfd that was made inside it, and reading.
 *
 * userfaultfd(2) always serves the process that calls it. So that one system call is run in the first thread of the
 * target, by ptrace(2), and the descriptor is taken over with pidfd_getfd(2). The thread is not made to depend on us:
 * its registers, its floating-point state and its signal mask are written below its stack as the frame of a signal
 * handler, and the system call returns into rt_sigreturn(2), which puts them back. From the moment it is sent there,
 * the target finds its own way, whether we live or not; before that moment nothing of it is changed. It is stopped for
 * well under a millisecond as a rule, and the kernel lets it run on when we die.
 *
 * Needs the right to trace the target (same user and not forbidden by Yama, or CAP_SYS_PTRACE), x86-64, Linux 5.6, and
 * a target whose first thread stands on its own stack. A target under a seccomp filter might be killed by the system
 * call: it is left alone unless the caller knows that the filter allows userfaultfd and close.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  PV_PROCESS_MEMORY_TRACK = 1 << 0,      /* asynchronous write protection, for pv_dirty_log_new_process(): no right in
                                            the target is needed */
  PV_PROCESS_MEMORY_SECCOMP_OK = 1 << 1, /* the target's seccomp filter is known to allow it */
} PvProcessMemoryFlags;

/* A userfaultfd of the process @pidfd, close-on-exec and non-blocking, its UFFDIO_API done, and closed again in the
 * target; closing it ends all it did. -1 with PV_ERROR_DENIED, UNSUPPORTED, NOT_FOUND (the target has ended) or BUSY
 * (it was at a place where it must not be disturbed: try again). Takes some milliseconds; any thread. */
int pv_process_memory_userfaultfd (int pidfd, PvProcessMemoryFlags flags, GError **error);

/* The process that @pidfd is of; -1 with PV_ERROR_NOT_FOUND when it has ended. */
int pv_process_memory_get_pid (int pidfd, GError **error);

/* Copies @size bytes at @address of process @pid; pages that are not there read as zeros, unmapped ones fail. */
gboolean pv_process_memory_read (int pid, guint64 address, gpointer buffer, gsize size, GError **error);

G_END_DECLS
