/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPipeline: jobs done by several threads side by side, taken back in the order in which they were given.
 *
 *   new -> while there is work: push until full, pop the oldest -> pop the rest -> free
 *
 * Push and pop from one thread. Letting go waits for the jobs under way and drops the others.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PvPipeline PvPipeline;

/* Does @job, in any thread. */
typedef gboolean (*PvPipelineFunc) (gpointer job, gpointer data, GError **error);

/* @n_threads: 0 is one per CPU, at most 8. Twice as many jobs may wait or be done and not taken. */
PvPipeline *pv_pipeline_new (guint n_threads, PvPipelineFunc work, GDestroyNotify job_free, gpointer data);
void pv_pipeline_free (PvPipeline *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPipeline, pv_pipeline_free)

gboolean pv_pipeline_full (const PvPipeline *self);
gboolean pv_pipeline_empty (const PvPipeline *self);
/* @job: (transfer full). Not when full. */
void pv_pipeline_push (PvPipeline *self, gpointer job);
/* (transfer full): the oldest job, done; waits for it. NULL with the job's error. Not when empty. */
gpointer pv_pipeline_pop (PvPipeline *self, GError **error);

G_END_DECLS
