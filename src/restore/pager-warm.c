/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-warm.h"

#include <errno.h>
#include <sys/resource.h>

enum
{
  THREADS = 4,
  REQUESTS = 32, /* that are read ahead: what they decode stays in the cache until their turn */
  IN_ORDER = 64, /* pages between two requests that count as one after the other */
  AHEAD = 64,    /* pages behind such a request: in the next frame, most likely */
};

struct _PvPagerWarm
{
  PvPagerSource *source; /* (not owned) */
  GThreadPool *pool;     /* (owned) */
  guint64 n_seen;        /* requests that were looked at, of all that ever were */
  guint64 last;          /* page of the last one */
  guint64 ahead;         /* page read ahead last */
};

void
pv_pager_set_nice (int nice)
{
  if (setpriority (PRIO_PROCESS, 0, nice) < 0) /* 0: this thread alone */
    g_debug ("nice %d: %s", nice, g_strerror (errno));
}

/* @data: page + 1. */
static void
read_page (gpointer data, gpointer user_data)
{
  PvPagerWarm *self = user_data;
  g_auto(PvObject) place = { 0 };
  guint8 bytes[PV_POSTCOPY_PAGE];
  gboolean zero;

  pv_pager_set_nice (0);
  if (!pv_pager_source_read (self->source, (guint64) GPOINTER_TO_SIZE (data) - 1, &place, bytes, &zero, NULL))
    g_debug ("a page cannot be read ahead");
}

PvPagerWarm *
pv_pager_warm_new (PvPagerSource *source)
{
  PvPagerWarm *self = g_new0 (PvPagerWarm, 1);

  self->source = source;
  self->pool = g_thread_pool_new (read_page, self, THREADS, FALSE, NULL);
  return self;
}

void
pv_pager_warm_free (PvPagerWarm *self)
{
  if (self == NULL)
    return;
  g_thread_pool_free (self->pool, TRUE, TRUE);
  g_free (self);
}

static void
push (PvPagerWarm *self, guint64 page)
{
  if (page < pv_pager_source_n_pages (self->source))
    g_thread_pool_push (self->pool, GSIZE_TO_POINTER ((gsize) page + 1), NULL);
}

static void
look_ahead (PvPagerWarm *self, const PvPagerShared *shared, guint64 page)
{
  const guint64 next = page + AHEAD;
  const gboolean in_order = page > self->last && page - self->last <= IN_ORDER;

  self->last = page;
  if (!in_order || next / AHEAD == self->ahead / AHEAD || next >= shared->n_pages
      || pv_pager_shared_is_sent (shared, next))
    return;
  self->ahead = next;
  push (self, next);
}

void
pv_pager_warm_requests (PvPagerWarm *self, const PvPagerShared *shared)
{
  const guint64 first = shared->n_requested - shared->ring_n; /* number of the oldest one */
  const guint n = MIN (shared->ring_n, REQUESTS);

  for (guint i = self->n_seen > first ? (guint) (self->n_seen - first) : 0; i < n; i++)
    {
      guint64 page = shared->ring[(shared->ring_first + i) % PV_PAGER_RING];

      if (i > 0)
        push (self, page);
      look_ahead (self, shared, page);
    }
  self->n_seen = MAX (self->n_seen, first + n);
}
