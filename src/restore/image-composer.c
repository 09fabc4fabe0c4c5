/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/image-composer.h"

#include "restore/image-layout.h"
#include "restore/pipeline.h"
#include "restore/volume-pieces.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/attachments.h"

#include <string.h>

#define PART_SIZE (1u << 20) /* bytes of the image composed at a time, more or less */
#define READ_RUNS 4096u      /* runs read at a time */

/* Some runs that follow each other, and the bytes that they make. */
typedef struct
{
  GArray *runs;           /* (owned): of PvImageRun */
  guint64 residue_at;     /* bytes into the residue of the first */
  guint64 residue_size;   /* bytes of all */
  guint64 size;           /* bytes of the image */
  guint8 *bytes;          /* (owned) (nullable): made by the pool */
} Part;

typedef struct
{
  PvStreamHead *head;      /* (owned) */
  GPtrArray *blocks;       /* (owned): of PvVolumeReader, in setup order */
  PvVolumeReader *residue; /* (owned) */
  PvVolumeReader *layout;  /* (owned) */
  PvVolumeReader *pages;   /* (owned) (nullable) */
  guint64 next_run;        /* number of the first run in `runs` */
  GArray *runs;            /* (owned): read from layout and not used up */
  guint used;              /* of runs */
  guint64 residue_done;    /* bytes given to parts */
} Composer;

static void
composer_clear (Composer *self)
{
  g_clear_pointer (&self->blocks, g_ptr_array_unref);
  g_clear_pointer (&self->residue, pv_volume_reader_free);
  g_clear_pointer (&self->layout, pv_volume_reader_free);
  g_clear_pointer (&self->pages, pv_volume_reader_free);
  g_clear_pointer (&self->runs, g_array_unref);
  g_clear_pointer (&self->head, pv_stream_head_unref);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Composer, composer_clear)

static void
part_free (gpointer data)
{
  Part *part = data;

  g_array_unref (part->runs);
  g_free (part->bytes);
  g_free (part);
}

gboolean
pv_image_composer_can (PvSnapshot *snapshot)
{
  return pv_snapshot_find_volume (snapshot, PV_VOLUME_BLOB, PV_BLOB_IMAGE) != NULL
         || pv_snapshot_find_volume (snapshot, PV_VOLUME_BLOB, PV_BLOB_IMAGE_LAYOUT) != NULL;
}

/* --- parts ------------------------------------------------------------------------------------------------------- */

static PvVolumeReader *
source_of (Composer *self, const PvImageRun *run)
{
  if (run->source == PV_IMAGE_SOURCE_PAGES)
    return self->pages;
  return run->block < self->blocks->len ? g_ptr_array_index (self->blocks, run->block) : NULL;
}

/* Reads the pages of @run and puts each behind its share of the residue. */
static gboolean
compose_run (Composer *self, const PvImageRun *run, const guint8 **residue, guint8 **out, GError **error)
{
  gsize page_size = self->head->page_size, size = run->count * page_size;
  PvVolumeReader *source = source_of (self, run);
  g_autofree guint8 *pages = NULL;

  if (run->source == PV_IMAGE_SOURCE_NONE)
    {
      memcpy (*out, *residue, run->residue);
      *out += run->residue;
      *residue += run->residue;
      return TRUE;
    }
  if (source == NULL || size > pv_volume_reader_size (source)
      || run->offset > pv_volume_reader_size (source) - size)
    return pv_corrupt (error, "the image's layout points outside of its memory");
  pages = g_malloc (size);
  if (!pv_volume_reader_read (source, run->offset, size, pages, error))
    return FALSE;
  for (guint i = 0; i < run->count; i++)
    {
      memcpy (*out, *residue, run->residue);
      memcpy (*out + run->residue, pages + i * page_size, page_size);
      *out += run->residue + page_size;
      *residue += run->residue;
    }
  return TRUE;
}

static gboolean
compose_part (gpointer job, gpointer data, GError **error)
{
  Composer *self = data;
  Part *part = job;
  g_autofree guint8 *residue = g_malloc (part->residue_size + 1);
  const guint8 *residue_next = residue;
  guint8 *out;

  if (part->residue_size > pv_volume_reader_size (self->residue)
      || part->residue_at > pv_volume_reader_size (self->residue) - part->residue_size)
    return pv_corrupt (error, "the image's layout wants more than there is");
  if (part->residue_size > 0
      && !pv_volume_reader_read (self->residue, part->residue_at, part->residue_size, residue, error))
    return FALSE;
  out = part->bytes = g_malloc (part->size + 1);
  for (guint i = 0; i < part->runs->len; i++)
    if (!compose_run (self, &g_array_index (part->runs, PvImageRun, i), &residue_next, &out, error))
      return FALSE;
  return TRUE;
}

static gboolean
read_runs (Composer *self, GError **error)
{
  guint64 n_runs = pv_volume_reader_size (self->layout) / PV_IMAGE_RUN_SIZE;
  guint n = (guint) MIN (n_runs - self->next_run, READ_RUNS);
  gsize size = (gsize) n * PV_IMAGE_RUN_SIZE;
  g_autofree guint8 *bytes = g_malloc (size + 1);
  PvCursor cursor = PV_CURSOR_INIT (bytes, size);

  g_array_set_size (self->runs, n);
  self->used = 0;
  if (n == 0)
    return TRUE;
  if (!pv_volume_reader_read (self->layout, self->next_run * PV_IMAGE_RUN_SIZE, size, bytes, error))
    return FALSE;
  self->next_run += n;
  for (guint i = 0; i < n; i++)
    if (!pv_image_run_read (&g_array_index (self->runs, PvImageRun, i), &cursor, error))
      return FALSE;
  return TRUE;
}

/* Moves as much of @run as one part should have to @part. */
static void
take_of_run (Composer *self, Part *part, PvImageRun *run)
{
  guint64 each = (guint64) run->residue + (run->source == PV_IMAGE_SOURCE_NONE ? 0 : self->head->page_size);
  PvImageRun taken = *run;
  guint64 times = 1;

  if (run->source != PV_IMAGE_SOURCE_NONE)
    {
      taken.count = (guint32) MIN (run->count, MAX ((PART_SIZE - MIN (part->size, PART_SIZE)) / each, 1));
      times = taken.count;
      run->count -= taken.count;
      run->offset += (guint64) taken.count * self->head->page_size;
    }
  g_array_append_val (part->runs, taken);
  part->residue_size += times * taken.residue;
  part->size += times * each;
  if (run->source == PV_IMAGE_SOURCE_NONE || run->count == 0)
    self->used++;
}

/* The next part; NULL without error at the end. */
static Part *
next_part (Composer *self, GError **error)
{
  Part *part = g_new0 (Part, 1);

  part->runs = g_array_new (FALSE, FALSE, sizeof (PvImageRun));
  part->residue_at = self->residue_done;
  while (part->size < PART_SIZE)
    {
      if (self->used == self->runs->len && !read_runs (self, error))
        {
          part_free (part);
          return NULL;
        }
      if (self->runs->len == 0)
        break;
      take_of_run (self, part, &g_array_index (self->runs, PvImageRun, self->used));
    }
  self->residue_done += part->residue_size;
  if (part->runs->len == 0)
    g_clear_pointer (&part, part_free);
  return part;
}

static gboolean
compose (Composer *self, int fd, const char *name, guint64 total, const PvTransfer *transfer, GError **error)
{
  g_autoptr(PvPipeline) pipeline = pv_pipeline_new (0, compose_part, part_free, self);
  gboolean more = TRUE;
  guint64 done = 0;

  for (;;)
    {
      Part *part;
      gboolean written;

      if (!pv_transfer_go_on (transfer, error))
        return FALSE;
      while (more && !pv_pipeline_full (pipeline))
        {
          g_autoptr(GError) local = NULL;

          part = next_part (self, &local);
          if (local != NULL)
            {
              g_propagate_error (error, g_steal_pointer (&local));
              return FALSE;
            }
          more = part != NULL;
          if (more)
            pv_pipeline_push (pipeline, part);
        }
      if (pv_pipeline_empty (pipeline))
        return done == total || pv_corrupt (error, "the image's layout is not that of the image");
      part = pv_pipeline_pop (pipeline, error);
      if (part == NULL)
        return FALSE;
      written = pv_write_all (fd, part->bytes, part->size, name, error);
      done += part->size;
      part_free (part);
      if (!written)
        return FALSE;
      pv_transfer_report (transfer, done, total);
    }
}

/* --- what there is ----------------------------------------------------------------------------------------------- */

/* (nullable): a reader of the volume; NULL without error when there is none and it need not be. */
static PvVolumeReader *
open_volume (PvStore *store, PvSnapshot *snapshot, PvVolumeKind kind, const char *name, GError **error)
{
  const PvVolume *volume = pv_snapshot_find_volume (snapshot, kind, name);

  if (volume == NULL)
    {
      pv_corrupt (error, "the imported image's volume '%s' is missing", name);
      return NULL;
    }
  return pv_volume_reader_new (store, volume, error);
}

static gboolean
composer_init (Composer *self, PvStore *store, PvSnapshot *snapshot, GError **error)
{
  GBytes *head = pv_snapshot_attachment (snapshot, PV_ATTACH_STREAM_HEAD);

  if (head == NULL)
    return pv_corrupt (error, "the imported image's stream head is missing");
  self->head = pv_stream_head_parse (g_bytes_get_data (head, NULL), g_bytes_get_size (head), error);
  if (self->head == NULL)
    return FALSE;
  self->runs = g_array_new (FALSE, TRUE, sizeof (PvImageRun));
  self->blocks = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_volume_reader_free);
  for (guint i = 0; i < self->head->blocks->len; i++)
    {
      const PvRamBlock *block = g_ptr_array_index (self->head->blocks, i);
      PvVolumeReader *reader = open_volume (store, snapshot, PV_VOLUME_RAM, block->name, error);

      if (reader == NULL)
        return FALSE;
      g_ptr_array_add (self->blocks, reader);
    }
  if (pv_snapshot_find_volume (snapshot, PV_VOLUME_BLOB, PV_BLOB_IMAGE_PAGES) != NULL)
    {
      self->pages = open_volume (store, snapshot, PV_VOLUME_BLOB, PV_BLOB_IMAGE_PAGES, error);
      if (self->pages == NULL)
        return FALSE;
    }
  self->residue = open_volume (store, snapshot, PV_VOLUME_BLOB, PV_BLOB_IMAGE_RESIDUE, error);
  self->layout = self->residue != NULL ? open_volume (store, snapshot, PV_VOLUME_BLOB, PV_BLOB_IMAGE_LAYOUT, error)
                                       : NULL;
  return self->layout != NULL;
}

/* Bytes of the image: all of the residue, and the pages of all runs. */
static gboolean
image_size (Composer *self, guint64 *size, GError **error)
{
  *size = pv_volume_reader_size (self->residue);
  for (;;)
    {
      if (!read_runs (self, error))
        return FALSE;
      if (self->runs->len == 0)
        break;
      for (guint i = 0; i < self->runs->len; i++)
        *size += (guint64) g_array_index (self->runs, PvImageRun, i).count * self->head->page_size;
    }
  self->next_run = 0;
  return TRUE;
}

/* An image that was kept whole. */
static gboolean
copy_whole (PvStore *store, PvSnapshot *snapshot, int fd, const char *name, const PvTransfer *transfer, GError **error)
{
  static const guint8 zeros[65536];
  g_autoptr(PvVolumeReader) reader = open_volume (store, snapshot, PV_VOLUME_BLOB, PV_BLOB_IMAGE, error);
  g_autoptr(PvVolumePieces) pieces = NULL;
  PvPiece piece;

  if (reader == NULL)
    return FALSE;
  pieces = pv_volume_pieces_new (reader, PV_CHUNK_SIZE, transfer->cancellable);
  do
    {
      if (!pv_volume_pieces_next (pieces, &piece, error))
        return FALSE;
      if (piece.data != NULL && !pv_write_all (fd, piece.data, piece.size, name, error))
        return FALSE;
      for (guint64 at = 0; piece.data == NULL && at < piece.size; at += sizeof zeros)
        if (!pv_write_all (fd, zeros, MIN (piece.size - at, sizeof zeros), name, error))
          return FALSE;
      pv_transfer_report (transfer, piece.offset + piece.size, pv_volume_reader_size (reader));
    }
  while (piece.size > 0);
  return TRUE;
}

gboolean
pv_image_composer_write (PvStore *store, PvSnapshot *snapshot, int fd, const char *name, const PvTransfer *transfer,
                         GError **error)
{
  g_auto(Composer) composer = { 0 };
  guint64 size = 0;

  if (pv_snapshot_find_volume (snapshot, PV_VOLUME_BLOB, PV_BLOB_IMAGE) != NULL)
    return copy_whole (store, snapshot, fd, name, transfer, error);
  return composer_init (&composer, store, snapshot, error) && image_size (&composer, &size, error)
         && compose (&composer, fd, name, size, transfer, error);
}
