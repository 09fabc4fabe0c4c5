/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/workers.h"

#include "util/error.h"

struct _PvWorkers
{
  PvWorkFunc func;
  gpointer data;
  GAsyncQueue *jobs;
  GPtrArray *threads; /* of GThread (owned) */
};

static const char end_of_work[] = "end"; /* a job: one for each thread */

static gpointer
run (gpointer data)
{
  PvWorkers *self = data;
  gpointer job;

  while ((job = g_async_queue_pop (self->jobs)) != end_of_work)
    self->func (job, self->data);
  return NULL;
}

PvWorkers *
pv_workers_new (const char *name, guint n_threads, PvWorkFunc func, gpointer data, GError **error)
{
  g_autoptr(PvWorkers) self = g_new0 (PvWorkers, 1);

  self->func = func;
  self->data = data;
  self->jobs = g_async_queue_new ();
  self->threads = g_ptr_array_new ();
  for (guint i = 0; i < n_threads; i++)
    {
      g_autoptr(GError) why = NULL;
      GThread *thread = g_thread_try_new (name, run, self, &why);

      if (thread == NULL)
        {
          pv_throw (error, PV_ERROR_FAILED, "cannot start a thread: %s", why->message);
          return NULL;
        }
      g_ptr_array_add (self->threads, thread);
    }
  return g_steal_pointer (&self);
}

void
pv_workers_free (PvWorkers *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < self->threads->len; i++)
    g_async_queue_push (self->jobs, (gpointer) end_of_work);
  for (guint i = 0; i < self->threads->len; i++)
    g_thread_join (self->threads->pdata[i]);
  g_ptr_array_unref (self->threads);
  g_async_queue_unref (self->jobs);
  g_free (self);
}

void
pv_workers_push (PvWorkers *self, gpointer job)
{
  g_async_queue_push (self->jobs, job);
}
