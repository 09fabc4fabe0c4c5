/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pipeline.h"

#define THREADS_MAX 8u

typedef struct
{
  gpointer job;  /* (owned) */
  GError *error; /* (owned) (nullable), under lock */
  gboolean done; /* under lock */
} Slot;

struct _PvPipeline
{
  PvPipelineFunc work;
  GDestroyNotify job_free;
  gpointer data;     /* (not owned) */
  guint depth;
  GThreadPool *pool; /* (owned) */
  GQueue slots;      /* of Slot, oldest first; the pushing thread's */
  GMutex lock;
  GCond changed;     /* some slot is done */
  gint dropped;      /* atomic: jobs not begun need not be done */
};

static void
do_slot (gpointer data, gpointer user_data)
{
  Slot *slot = data;
  PvPipeline *self = user_data;
  GError *error = NULL;

  if (!g_atomic_int_get (&self->dropped))
    self->work (slot->job, self->data, &error);
  g_mutex_lock (&self->lock);
  slot->error = error;
  slot->done = TRUE;
  g_cond_broadcast (&self->changed);
  g_mutex_unlock (&self->lock);
}

PvPipeline *
pv_pipeline_new (guint n_threads, PvPipelineFunc work, GDestroyNotify job_free, gpointer data)
{
  PvPipeline *self = g_new0 (PvPipeline, 1);

  if (n_threads == 0)
    n_threads = MIN (g_get_num_processors (), THREADS_MAX);
  self->work = work;
  self->job_free = job_free;
  self->data = data;
  self->depth = 2 * n_threads + 1;
  g_queue_init (&self->slots);
  g_mutex_init (&self->lock);
  g_cond_init (&self->changed);
  self->pool = g_thread_pool_new (do_slot, self, (int) n_threads, FALSE, NULL);
  return self;
}

static void
slot_free (PvPipeline *self, Slot *slot)
{
  if (slot->job != NULL)
    self->job_free (slot->job);
  g_clear_error (&slot->error);
  g_free (slot);
}

void
pv_pipeline_free (PvPipeline *self)
{
  Slot *slot;

  g_atomic_int_set (&self->dropped, 1);
  g_thread_pool_free (self->pool, FALSE, TRUE);
  while ((slot = g_queue_pop_head (&self->slots)) != NULL)
    slot_free (self, slot);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->changed);
  g_free (self);
}

gboolean
pv_pipeline_full (const PvPipeline *self)
{
  return self->slots.length >= self->depth;
}

gboolean
pv_pipeline_empty (const PvPipeline *self)
{
  return self->slots.length == 0;
}

void
pv_pipeline_push (PvPipeline *self, gpointer job)
{
  Slot *slot = g_new0 (Slot, 1);

  g_return_if_fail (!pv_pipeline_full (self));

  slot->job = job;
  g_queue_push_tail (&self->slots, slot);
  g_thread_pool_push (self->pool, slot, NULL);
}

gpointer
pv_pipeline_pop (PvPipeline *self, GError **error)
{
  Slot *slot;
  gpointer job = NULL;

  g_return_val_if_fail (!pv_pipeline_empty (self), NULL);

  slot = g_queue_pop_head (&self->slots);
  g_mutex_lock (&self->lock);
  while (!slot->done)
    g_cond_wait (&self->changed, &self->lock);
  g_mutex_unlock (&self->lock);
  if (slot->error != NULL)
    g_propagate_error (error, g_steal_pointer (&slot->error));
  else
    job = g_steal_pointer (&slot->job);
  slot_free (self, slot);
  return job;
}
