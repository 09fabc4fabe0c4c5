/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvWorkers: a few threads that take jobs from one queue, in order.
 *
 * A GThreadPool would do, but it keeps idle threads for later pools of the process, which are not there any more after
 * a fork(2).
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PvWorkers PvWorkers;

typedef void (*PvWorkFunc) (gpointer job, gpointer data);

/* @name: of the threads. NULL with an error when they cannot be started. */
PvWorkers *pv_workers_new (const char *name, guint n_threads, PvWorkFunc func, gpointer data, GError **error);
/* Waits until every job is done, and ends the threads. */
void pv_workers_free (PvWorkers *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvWorkers, pv_workers_free)

/* Any thread. @job: not NULL. */
void pv_workers_push (PvWorkers *self, gpointer job);

G_END_DECLS
