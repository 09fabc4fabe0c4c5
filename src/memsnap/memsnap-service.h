/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The service thread: one a process, started when first needed, never ended. It alone answers the userfaultfds of
 * snapshots and of their views, and runs what must not race with that; so faults wait while a snapshot is made ready.
 *
 * In a forked child there is none: pv_service_start() fails there.
 */
#pragma once

#include "memsnap/memsnap-pages.h"

G_BEGIN_DECLS

/* Makes sure that it runs. */
gboolean pv_service_start (GError **error);
/* Opens the userfaultfd of the regions; PV_ERROR_DENIED or UNSUPPORTED. @user_mode_only as in userfault.h. */
gboolean pv_service_open_source (gboolean user_mode_only, GError **error);
/* Opens that of the views. Tried with and, if @may_be_user_only, without rights. */
gboolean pv_service_open_view (gboolean may_be_user_only, GError **error);

int pv_service_source_fd (void);
int pv_service_view_fd (void);
/* The features of the regions' userfaultfd. */
guint64 pv_service_source_features (void);
/* Snapshots protected by userfaultfd. For the service thread. */
PvGuard *pv_service_guard (void);

/* Runs @func in the service thread and waits for it. What it writes to must be private memory. */
gint64 pv_service_call (PvOwnerFunc func, PvMemsnap *self, const guint64 *args);

/* For the service thread: views to be filled; what to do now and then, 0 or milliseconds until it is called again. */
void pv_service_add_view (PvMemsnap *self);
void pv_service_remove_view (PvMemsnap *self);

/* For the service thread, while it protects: reads what has come. @defer: writers go on waiting. */
void pv_service_read_source (gboolean defer);

G_END_DECLS
