/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/volume-pieces.h"

#include "restore/pipeline.h"
#include "util/error.h"

#define PIECE_SIZE (1u << 20) /* bytes of data; pieces end at multiples of it */

typedef struct
{
  guint64 offset, size;
  guint8 *data; /* (owned) (nullable): filled by the pool */
} Job;

struct _PvVolumePieces
{
  PvVolumeReader *reader;    /* (not owned) */
  guint align;               /* bytes */
  GCancellable *cancellable; /* (owned) (nullable) */
  PvPipeline *pipeline;      /* (owned) */
  guint64 next;              /* offset of what is to be given to the pipeline next */
  guint64 extent_end;        /* of the extent that next lies in; equal to next when not known */
  gboolean extent_zero;
  Job *current;              /* (owned) (nullable): what the caller looks at */
};

static void
job_free (gpointer data)
{
  Job *job = data;

  g_free (job->data);
  g_free (job);
}

static gboolean
read_job (gpointer data, gpointer user_data, GError **error)
{
  PvVolumePieces *self = user_data;
  Job *job = data;

  return job->data == NULL || pv_volume_reader_read (self->reader, job->offset, job->size, job->data, error);
}

PvVolumePieces *
pv_volume_pieces_new (PvVolumeReader *reader, guint align, GCancellable *cancellable)
{
  PvVolumePieces *self = g_new0 (PvVolumePieces, 1);

  g_return_val_if_fail (align >= PV_CHUNK_SIZE && align <= PIECE_SIZE && (align & (align - 1)) == 0, NULL);

  self->align = align;
  self->reader = reader;
  self->cancellable = cancellable != NULL ? g_object_ref (cancellable) : NULL;
  self->pipeline = pv_pipeline_new (0, read_job, job_free, self);
  return self;
}

void
pv_volume_pieces_free (PvVolumePieces *self)
{
  pv_pipeline_free (self->pipeline);
  g_clear_pointer (&self->current, job_free);
  g_clear_object (&self->cancellable);
  g_free (self);
}

/* Looks up the extent at next, made to end at a multiple of align: an end of zeros is cut back to one, an end of data
 * moved on. */
static gboolean
find_extent (PvVolumePieces *self, GError **error)
{
  guint64 size = pv_volume_reader_size (self->reader), mask = self->align - 1, length = 0, end;

  if (!pv_volume_reader_extent (self->reader, self->next, &length, &self->extent_zero, error))
    return FALSE;
  end = self->next + length;
  if (end < size && (end & mask) != 0)
    {
      if (self->extent_zero && (end & ~mask) > self->next)
        end &= ~mask;
      else
        {
          self->extent_zero = FALSE;
          end = MIN ((end | mask) + 1, size);
        }
    }
  self->extent_end = end;
  return TRUE;
}

static gboolean
push_next (PvVolumePieces *self, GError **error)
{
  Job *job;

  if (self->next == self->extent_end && !find_extent (self, error))
    return FALSE;
  job = g_new0 (Job, 1);
  job->offset = self->next;
  job->size = self->extent_end - self->next;
  if (!self->extent_zero)
    {
      job->size = MIN (job->size, PIECE_SIZE - self->next % PIECE_SIZE);
      job->data = g_malloc (job->size);
    }
  self->next += job->size;
  pv_pipeline_push (self->pipeline, job);
  return TRUE;
}

gboolean
pv_volume_pieces_next (PvVolumePieces *self, PvPiece *piece, GError **error)
{
  guint64 size = pv_volume_reader_size (self->reader);

  *piece = (PvPiece) { .offset = size };
  g_clear_pointer (&self->current, job_free);
  if (g_cancellable_is_cancelled (self->cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "stopped");
  while (self->next < size && !pv_pipeline_full (self->pipeline))
    if (!push_next (self, error))
      return FALSE;
  if (pv_pipeline_empty (self->pipeline))
    return TRUE;
  self->current = pv_pipeline_pop (self->pipeline, error);
  if (self->current == NULL)
    return FALSE;
  *piece = (PvPiece) { .offset = self->current->offset, .size = self->current->size, .data = self->current->data };
  return TRUE;
}
