/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* futex(2) on a word in memory that may be shared with another process. Safe in signal handlers. */
#pragma once

#include <glib.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

G_BEGIN_DECLS

/* Waits while *@word is @value; returns early now and then. @milliseconds: 0 for no end. */
static inline void
pv_futex_wait (int *word, int value, guint milliseconds)
{
  struct timespec limit = { milliseconds / 1000, (long) (milliseconds % 1000) * 1000000 };

  syscall (SYS_futex, word, FUTEX_WAIT, value, milliseconds == 0 ? NULL : &limit, NULL, 0);
}

static inline void
pv_futex_wake (int *word)
{
  syscall (SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

G_END_DECLS
