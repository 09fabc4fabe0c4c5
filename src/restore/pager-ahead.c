/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-ahead.h"

#include "restore/pipeline.h"
#include "stream/stream-encoder.h"

enum
{
  FRAME_PAGES = 64, /* pages that share a frame, most likely: read by one job */
};

struct _PvPagerAhead
{
  PvPagerSource *source; /* (not owned) */
  GArray *pages;         /* (owned) (element-type guint64): sorted */
  GByteArray *bytes;     /* (owned): of the thread until it ends */
  GThread *thread;       /* (owned) (nullable): gives GError, or NULL */
  gint stop;             /* atomic */
};

typedef struct
{
  const guint64 *pages;
  guint n;
  GByteArray *records; /* (owned) */
} Job;

static void
job_free (gpointer data)
{
  Job *job = data;

  g_byte_array_unref (job->records);
  g_free (job);
}

static gboolean
read_job (gpointer data, gpointer user_data, GError **error)
{
  PvPagerAhead *self = user_data;
  Job *job = data;
  g_auto(PvObject) place = { 0 };
  guint8 page[PV_POSTCOPY_PAGE];

  for (guint i = 0; i < job->n; i++)
    {
      gboolean zero = FALSE;
      guint64 offset;
      guint block;

      if (!pv_pager_source_read (self->source, job->pages[i], &place, page, &zero, error))
        return FALSE;
      pv_pager_source_locate (self->source, job->pages[i], &block, &offset);
      pv_postcopy_append_page (pv_pager_source_head (self->source), block, offset, zero ? NULL : page, job->records);
    }
  return TRUE;
}

/* (transfer full): the pages from number @first on that share a frame. */
static Job *
next_job (PvPagerAhead *self, guint first)
{
  const guint64 *pages = (const guint64 *) (gconstpointer) self->pages->data;
  Job *job = g_new0 (Job, 1);

  job->pages = pages + first;
  while (first + job->n < self->pages->len && pages[first + job->n] / FRAME_PAGES == pages[first] / FRAME_PAGES)
    job->n++;
  job->records = g_byte_array_sized_new (job->n * (PV_POSTCOPY_PAGE + 64));
  return job;
}

static gboolean
take_job (PvPagerAhead *self, PvPipeline *pipeline, GError **error)
{
  Job *job = pv_pipeline_pop (pipeline, error);

  if (job == NULL)
    return FALSE;
  g_byte_array_append (self->bytes, job->records->data, job->records->len);
  job_free (job);
  return TRUE;
}

static gpointer
compose (gpointer data)
{
  PvPagerAhead *self = data;
  g_autoptr(PvPipeline) pipeline = pv_pipeline_new (0, read_job, job_free, self);
  GError *error = NULL;

  pv_stream_append_part_start (pv_pager_source_head (self->source), self->bytes);
  for (guint i = 0; i < self->pages->len && g_atomic_int_get (&self->stop) == 0;)
    {
      Job *job = next_job (self, i);

      i += job->n;
      pv_pipeline_push (pipeline, job);
      while (pv_pipeline_full (pipeline))
        if (!take_job (self, pipeline, &error))
          return error;
    }
  while (!pv_pipeline_empty (pipeline))
    if (!take_job (self, pipeline, &error))
      return error;
  pv_stream_append_section_end (pv_pager_source_head (self->source), self->bytes);
  return NULL;
}

static int
by_number (gconstpointer a, gconstpointer b)
{
  const guint64 *x = a, *y = b;

  return (*x > *y) - (*x < *y);
}

PvPagerAhead *
pv_pager_ahead_new (PvPagerSource *source, const GArray *pages)
{
  PvPagerAhead *self = g_new0 (PvPagerAhead, 1);
  const guint64 most = MIN (pv_pager_source_n_pages (source) - 1, PV_PAGER_AHEAD_MAX);

  self->source = source;
  self->pages = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->bytes = g_byte_array_new ();
  g_array_append_vals (self->pages, pages->data, (guint) MIN (pages->len, most));
  g_array_sort (self->pages, by_number);
  if (self->pages->len > 0)
    self->thread = g_thread_new ("pager-ahead", compose, self);
  return self;
}

void
pv_pager_ahead_free (PvPagerAhead *self)
{
  if (self == NULL)
    return;
  g_atomic_int_set (&self->stop, 1);
  pv_pager_ahead_wait (self, NULL);
  g_array_unref (self->pages);
  g_byte_array_unref (self->bytes);
  g_free (self);
}

gboolean
pv_pager_ahead_wait (PvPagerAhead *self, GError **error)
{
  GError *why = self->thread != NULL ? g_thread_join (g_steal_pointer (&self->thread)) : NULL;

  if (why != NULL)
    g_propagate_error (error, why);
  return why == NULL;
}

const GArray *
pv_pager_ahead_pages (const PvPagerAhead *self)
{
  return self->pages;
}

const GByteArray *
pv_pager_ahead_bytes (const PvPagerAhead *self)
{
  return self->bytes;
}
