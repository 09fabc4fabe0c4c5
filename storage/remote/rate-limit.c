/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "remote/rate-limit.h"

#define STEP_MIN 512u
#define STEP_MAX (1u << 20)
#define NAP (100 * G_TIME_SPAN_MILLISECOND) /* microseconds between two looks at the cancellable */

struct _PvRateLimit
{
  guint64 rate; /* bytes per second, 0: none */
  GMutex lock;
  double free_at; /* monotonic microseconds at which all that was taken has had its time; under lock */
};

PvRateLimit *
pv_rate_limit_new (guint64 rate)
{
  PvRateLimit *self = g_new0 (PvRateLimit, 1);

  self->rate = rate;
  g_mutex_init (&self->lock);
  return self;
}

void
pv_rate_limit_free (PvRateLimit *self)
{
  if (self == NULL)
    return;
  g_mutex_clear (&self->lock);
  g_free (self);
}

gsize
pv_rate_limit_step (const PvRateLimit *self)
{
  return self->rate == 0 ? STEP_MAX : CLAMP (self->rate / 10, STEP_MIN, STEP_MAX);
}

static double
book (PvRateLimit *self, guint64 size)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  double start = MAX (self->free_at, (double) g_get_monotonic_time ());

  self->free_at = start + (double) size * G_USEC_PER_SEC / (double) self->rate;
  return start;
}

void
pv_rate_limit_take (PvRateLimit *self, guint64 size, GCancellable *cancellable)
{
  double start, left;

  if (self->rate == 0)
    return;
  start = book (self, size);
  while ((left = start - (double) g_get_monotonic_time ()) > 0 && !g_cancellable_is_cancelled (cancellable))
    g_usleep ((gulong) MIN (left, (double) NAP));
}
