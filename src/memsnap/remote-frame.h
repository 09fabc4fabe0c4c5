/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The frame of a signal handler, as the kernel itself would write it, for a thread that is stopped by ptrace: returning
 * into rt_sigreturn(2) with the stack pointer on it puts the thread back to where it was. x86-64.
 */
#pragma once

#include <glib.h>
#include <sys/user.h>

G_BEGIN_DECLS

enum
{
  PV_REMOTE_FRAME_MAX = 24 * 1024, /* bytes */
};

typedef struct
{
  guint64 address; /* where in the target the bytes belong, and what its stack pointer is to be */
  gsize size;
  guint8 bytes[PV_REMOTE_FRAME_MAX] __attribute__ ((aligned (64)));
} PvRemoteFrame;

/* Makes the frame of the stopped thread @tid with registers @regs. @restorer: address of code in the target that calls
 * rt_sigreturn. A system call that the stop has interrupted is begun again by the frame.
 * PV_ERROR_BUSY when that cannot be done now, UNSUPPORTED when the thread's state cannot be put back so. */
gboolean pv_remote_frame_make (int tid, const struct user_regs_struct *regs, guint64 restorer, PvRemoteFrame *frame,
                               GError **error);

G_END_DECLS
