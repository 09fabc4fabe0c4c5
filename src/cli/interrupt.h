/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* SIGINT, SIGTERM and SIGHUP become a cancelled GCancellable, so that work stops cleanly; a second one ends the
 * process at once. */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

/* Installs the handlers (reset in children that exec) and a thread that cancels @cancellable. Once in a process. */
gboolean pv_interrupt_watch (GCancellable *cancellable, GError **error);
/* The signal that came, 0 when none. */
int pv_interrupt_signal (void);

G_END_DECLS
