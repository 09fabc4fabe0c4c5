/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The trap: a SIGSEGV handler for pages that are protected by mprotect(2), and for views that no userfaultfd can fill.
 *
 * There is one in a process while somebody needs it. It hands on what is not its own to the handler that was there
 * before, and puts that one back in the end if nobody has replaced it. Faults are answered one at a time, in the thread
 * that faulted, under the trap lock; all signals are blocked meanwhile.
 */
#pragma once

#include "memsnap/memsnap-pages.h"

G_BEGIN_DECLS

/* Each pv_trap_acquire() wants a pv_trap_release(). */
gboolean pv_trap_acquire (GError **error);
void pv_trap_release (void);

/* Runs @func with the trap lock held. */
gint64 pv_trap_call (PvOwnerFunc func, PvMemsnap *self, const guint64 *args);

/* For @func: the list of views that are filled by the trap, and snapshots protected by mprotect. */
void pv_trap_add_view (PvMemsnap *self);
void pv_trap_remove_view (PvMemsnap *self);
PvGuard *pv_trap_guard (void);

/* Pages of [@start, +@length) that are written to are told to @written, which is called in signal handlers, under
 * the lock; it lifts the protection itself. One more user of the trap, for PvDirtyLog. */
typedef struct _PvTrapRange PvTrapRange;
struct _PvTrapRange
{
  guint64 start, length;
  void (*written) (PvTrapRange *self, guint64 address);
  PvTrapRange *next;
};
void pv_trap_add_range (PvTrapRange *range);
void pv_trap_remove_range (PvTrapRange *range);
void pv_trap_lock (gpointer saved_mask);
void pv_trap_unlock (gpointer saved_mask);

G_END_DECLS
