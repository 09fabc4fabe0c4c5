/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/transfers.h"

#include "store/workers.h"
#include "util/error.h"

enum
{
  THREADS = 4,
  TICK_MS = 200,
};

typedef struct
{
  PvTransferFunc func;
  gpointer data;
  GCancellable *stop;
  GMutex lock;
  GCond changed;
  guint n_left;  /* transfers not ended; under lock, as the next */
  guint64 n_done;
  GError *error; /* (owned): the first */
} Transfers;

typedef struct
{
  Transfers *all;
  PvRemotePack pack;
  guint64 done; /* bytes; atomic */
} Transfer;

void
pv_transfer_note (guint64 done, gpointer data)
{
  __atomic_store_n ((guint64 *) data, done, __ATOMIC_RELAXED);
}

static void
work (gpointer job, gpointer data)
{
  Transfer *self = job;
  Transfers *all = self->all;
  g_autoptr(GError) why = NULL;
  gboolean moved = !g_cancellable_is_cancelled (all->stop)
                   && all->func (&self->pack, all->stop, &self->done, all->data, &why);

  g_mutex_lock (&all->lock);
  all->n_left--;
  all->n_done += moved;
  if (why != NULL && all->error == NULL)
    {
      all->error = g_steal_pointer (&why);
      g_cancellable_cancel (all->stop);
    }
  g_cond_broadcast (&all->changed);
  g_mutex_unlock (&all->lock);
}

/* FALSE when all have ended. */
static gboolean
wait_a_moment (Transfers *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (self->n_left > 0)
    g_cond_wait_until (&self->changed, &self->lock, g_get_monotonic_time () + TICK_MS * G_TIME_SPAN_MILLISECOND);
  return self->n_left > 0;
}

static void
follow (Transfers *self, GArray *jobs, PvTransferTick tick, GCancellable *cancellable, GError **error)
{
  gboolean ticking = TRUE;

  while (wait_a_moment (self))
    {
      guint64 done = 0;

      if (g_cancellable_is_cancelled (cancellable))
        g_cancellable_cancel (self->stop);
      for (guint i = 0; i < jobs->len; i++)
        done += __atomic_load_n (&g_array_index (jobs, Transfer, i).done, __ATOMIC_RELAXED);
      if (ticking && !tick (done, self->data, error))
        {
          ticking = FALSE;
          g_cancellable_cancel (self->stop);
        }
    }
}

/* All of it but the threads. */
static gboolean
finish (Transfers *self, guint n, GError *why, GError **error)
{
  if (why == NULL)
    why = g_steal_pointer (&self->error);
  g_clear_error (&self->error);
  if (why == NULL && self->n_done < n)
    pv_throw (&why, PV_ERROR_CANCELLED, "stopped");
  if (why == NULL)
    return TRUE;
  g_propagate_error (error, why);
  return FALSE;
}

gboolean
pv_transfers_run (GArray *packs, PvTransferFunc func, PvTransferTick tick, gpointer data, guint64 *n_done,
                  GCancellable *cancellable, GError **error)
{
  g_autoptr(GCancellable) stop = g_cancellable_new ();
  g_autoptr(GArray) jobs = g_array_new (FALSE, TRUE, sizeof (Transfer));
  Transfers all = { .func = func, .data = data, .stop = stop, .n_left = packs->len };
  GError *why = NULL;
  PvWorkers *workers;

  *n_done = 0;
  if (packs->len == 0)
    return TRUE;
  g_mutex_init (&all.lock);
  g_cond_init (&all.changed);
  g_array_set_size (jobs, packs->len);
  workers = pv_workers_new ("transfer", MIN (THREADS, packs->len), work, NULL, error);
  if (workers != NULL)
    {
      for (guint i = 0; i < packs->len; i++)
        {
          g_array_index (jobs, Transfer, i) = (Transfer){ &all, g_array_index (packs, PvRemotePack, i), 0 };
          pv_workers_push (workers, &g_array_index (jobs, Transfer, i));
        }
      follow (&all, jobs, tick, cancellable, &why);
      pv_workers_free (workers);
    }
  g_cond_clear (&all.changed);
  g_mutex_clear (&all.lock);
  *n_done = all.n_done;
  return workers != NULL && finish (&all, packs->len, why, error);
}
