/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-pull.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "restore/pager-warm.h"
#include "restore/pipeline.h"
#include "util/error.h"
#include "util/file.h"

enum
{
  PIECE_PAGES = 64, /* 256 KiB: a frame of the store */
  READY_MAX = 16,   /* pieces that wait to be taken */
};

struct _PvPagerPull
{
  PvPagerSource *source;       /* (not owned) */
  const PvPagerShared *shared; /* (not owned) */
  GArray *first;               /* (owned) (element-type guint64): pages around which it begins */
  PvPipeline *pipeline;        /* (owned) */
  GThread *thread;             /* (owned) */
  guint64 n_zero;              /* atomic: pages left out on the way through all memory */
  PvFd event;
  GMutex lock;
  GCond room;
  GQueue ready;                /* (element-type PvPullPiece): under lock */
  gboolean end, stop;          /* under lock */
};

void
pv_pull_piece_free (PvPullPiece *self)
{
  if (self == NULL)
    return;
  g_free (self->data);
  g_free (self);
}

/* An error is told by there being no data. */
static gboolean
read_piece (gpointer job, gpointer user_data, GError **error)
{
  PvPagerPull *self = user_data;
  PvPullPiece *piece = job;
  gsize size = piece->n * (gsize) PV_POSTCOPY_PAGE;
  g_autofree guint8 *data = g_malloc (size);
  guint64 offset;
  guint block;

  pv_pager_set_nice (PV_PAGER_NICE_AHEAD);
  pv_pager_source_locate (self->source, piece->first, &block, &offset);
  if (pv_volume_reader_read (pv_pager_source_reader (self->source, block), offset, size, data, NULL))
    piece->data = g_steal_pointer (&data);
  return TRUE;
}

/* FALSE: stop. */
static gboolean
hand_over (PvPagerPull *self, PvPullPiece *piece)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  const guint64 one = 1;

  while (self->ready.length >= READY_MAX && !self->stop)
    g_cond_wait (&self->room, &self->lock);
  if (piece != NULL)
    g_queue_push_tail (&self->ready, piece);
  else
    self->end = TRUE;
  if (write (self->event, &one, sizeof one) < 0)
    g_debug ("eventfd: %s", g_strerror (errno));
  return !self->stop;
}

static gboolean
all_sent (PvPagerPull *self, guint64 first, guint n)
{
  for (guint i = 0; i < n; i++)
    if (!pv_pager_shared_is_sent (self->shared, first + i))
      return FALSE;
  return TRUE;
}

/* Pages @first to @end hold data. FALSE: stop. */
static gboolean
pull_extent (PvPagerPull *self, guint64 first, guint64 end)
{
  while (first < end)
    {
      guint n = (guint) MIN (end - first, PIECE_PAGES - first % PIECE_PAGES);
      PvPullPiece *piece;

      if (!all_sent (self, first, n))
        {
          piece = g_new0 (PvPullPiece, 1);
          piece->first = first;
          piece->n = n;
          pv_pipeline_push (self->pipeline, piece);
        }
      while (pv_pipeline_full (self->pipeline))
        if (!hand_over (self, pv_pipeline_pop (self->pipeline, NULL)))
          return FALSE;
      first += n;
    }
  return TRUE;
}

/* Bytes @at to @end of @block. Where the volume's tree cannot be read all of it counts as data, which then cannot be
 * read either. @n_zero: (inout) (nullable): grows by the pages of zeros among them. FALSE: stop. */
static gboolean
pull_range (PvPagerPull *self, guint block, guint64 at, guint64 end, guint64 *n_zero)
{
  PvVolumeReader *reader = pv_pager_source_reader (self->source, block);
  guint64 first = pv_pager_source_first_page (self->source, block);

  while (at < end)
    {
      guint64 length = 0;
      gboolean zero = FALSE;

      if (!pv_volume_reader_extent (reader, at, &length, &zero, NULL))
        length = PIECE_PAGES * PV_POSTCOPY_PAGE;
      length = MIN (length, end - at);
      if (zero && n_zero != NULL)
        __atomic_fetch_add (n_zero, length / PV_POSTCOPY_PAGE, __ATOMIC_RELAXED);
      if (!zero && !pull_extent (self, first + at / PV_POSTCOPY_PAGE, first + (at + length) / PV_POSTCOPY_PAGE))
        return FALSE;
      at += length;
    }
  return TRUE;
}

static gboolean
pull_block (PvPagerPull *self, guint block)
{
  return pull_range (self, block, 0, pv_volume_reader_size (pv_pager_source_reader (self->source, block)),
                     &self->n_zero);
}

/* The surroundings of page @page, and @behind: (out): the first page behind them. */
static gboolean
pull_around (PvPagerPull *self, guint64 page, guint64 *behind)
{
  const guint64 size = PIECE_PAGES * PV_POSTCOPY_PAGE;
  guint64 offset, start, end;
  guint block;

  pv_pager_source_locate (self->source, page, &block, &offset);
  start = offset - offset % size;
  end = MIN (start + size, pv_volume_reader_size (pv_pager_source_reader (self->source, block)));
  *behind = page + (end - offset) / PV_POSTCOPY_PAGE;
  return pull_range (self, block, start, end, NULL);
}

/* FALSE: stop. */
static gboolean
pull_all (PvPagerPull *self)
{
  guint64 behind = 0;

  for (guint i = 0; i < self->first->len; i++)
    {
      guint64 page = g_array_index (self->first, guint64, i);

      if (page >= behind && !pull_around (self, page, &behind))
        return FALSE;
    }
  for (guint i = 0; i < pv_pager_source_n_blocks (self->source); i++)
    if (!pull_block (self, i))
      return FALSE;
  while (!pv_pipeline_empty (self->pipeline))
    if (!hand_over (self, pv_pipeline_pop (self->pipeline, NULL)))
      return FALSE;
  return TRUE;
}

static gpointer
pull (gpointer data)
{
  PvPagerPull *self = data;

  pv_pager_set_nice (PV_PAGER_NICE_AHEAD);
  if (pull_all (self))
    hand_over (self, NULL);
  return NULL;
}

PvPagerPull *
pv_pager_pull_new (PvPagerSource *source, const PvPagerShared *shared, const GArray *first)
{
  PvPagerPull *self = g_new0 (PvPagerPull, 1);

  self->source = source;
  self->shared = shared;
  self->first = g_array_append_vals (g_array_new (FALSE, FALSE, sizeof (guint64)), first->data, first->len);
  self->event = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  g_mutex_init (&self->lock);
  g_cond_init (&self->room);
  g_queue_init (&self->ready);
  self->pipeline = pv_pipeline_new (0, read_piece, (GDestroyNotify) pv_pull_piece_free, self);
  self->thread = g_thread_new ("pager-pull", pull, self);
  return self;
}

void
pv_pager_pull_free (PvPagerPull *self)
{
  if (self == NULL)
    return;
  g_mutex_lock (&self->lock);
  self->stop = TRUE;
  g_cond_signal (&self->room);
  g_mutex_unlock (&self->lock);
  g_thread_join (self->thread);
  pv_pipeline_free (self->pipeline);
  g_array_unref (self->first);
  g_queue_clear_full (&self->ready, (GDestroyNotify) pv_pull_piece_free);
  pv_fd_clear (&self->event);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->room);
  g_free (self);
}

int
pv_pager_pull_fd (const PvPagerPull *self)
{
  return self->event;
}

PvPullPiece *
pv_pager_pull_take (PvPagerPull *self, gboolean *end)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  PvPullPiece *piece = g_queue_pop_head (&self->ready);
  guint64 n;

  *end = piece == NULL && self->end;
  if (self->ready.length == 0 && !self->end && read (self->event, &n, sizeof n) < 0 && errno != EAGAIN)
    g_debug ("eventfd: %s", g_strerror (errno));
  g_cond_signal (&self->room);
  return piece;
}

guint64
pv_pager_pull_n_zero (const PvPagerPull *self)
{
  return __atomic_load_n (&self->n_zero, __ATOMIC_RELAXED);
}
