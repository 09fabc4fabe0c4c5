/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A system call that opens a descriptor, run inside another process; the descriptor is taken over and closed there. How
 * it stays harmless is told in process-memory.h.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Runs system call @number (@argument its first) in the first thread of the process @pid, of which @pidfd is. Returns
 * the descriptor, now ours (close-on-exec); -1 with @error. */
int pv_remote_call (int pid, int pidfd, long number, guint64 argument, GError **error);

G_END_DECLS
