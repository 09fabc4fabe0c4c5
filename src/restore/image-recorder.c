/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/image-recorder.h"

#include "util/error.h"
#include "util/file.h"

#define READ_RUNS 4096u /* runs read at a time */

/* A bit for each page of each block. */
typedef struct
{
  GPtrArray *blocks; /* (owned): of guint8 * */
  guint page_size;
} PageSet;

struct _PvImageRecorder
{
  int fd;                 /* (not owned): the image */
  char *name;             /* (owned) */
  PvStoreScratch *scratch; /* (not owned) */
  PvStreamHead *head;     /* (owned) */
  const guint8 *bytes;    /* (not owned): what the decoder is fed now */
  guint64 bytes_at;       /* its position in the file */
  gsize bytes_size;
  guint64 done;           /* bytes of the file that are accounted for */
  PvScratchFile *residue; /* (owned) */
  PvScratchFile *layout;  /* (owned) */
  PvImageRun run;         /* not in layout yet; count 0: none */
  PageSet seen;           /* pages that came */
  gboolean repeated;      /* some came again */
};

static void
page_set_init (PageSet *self, const PvStreamHead *head)
{
  self->page_size = head->page_size;
  self->blocks = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; i < head->blocks->len; i++)
    {
      const PvRamBlock *block = g_ptr_array_index (head->blocks, i);

      g_ptr_array_add (self->blocks, g_malloc0 (block->size / head->page_size / 8 + 1));
    }
}

static void
page_set_clear (PageSet *self)
{
  g_clear_pointer (&self->blocks, g_ptr_array_unref);
}

/* Adds the page; TRUE when it was in already. */
static gboolean
page_set_add (PageSet *self, guint block, guint64 offset)
{
  guint8 *bits = g_ptr_array_index (self->blocks, block);
  guint64 page = offset / self->page_size;
  gboolean had = (bits[page / 8] >> (page % 8) & 1) != 0;

  bits[page / 8] |= (guint8) (1u << (page % 8));
  return had;
}

static gboolean
page_set_has (const PageSet *self, guint block, guint64 offset)
{
  const guint8 *bits = g_ptr_array_index (self->blocks, block);
  guint64 page = offset / self->page_size;

  return (bits[page / 8] >> (page % 8) & 1) != 0;
}

PvImageRecorder *
pv_image_recorder_new (PvStoreScratch *scratch, int fd, const char *name, GError **error)
{
  g_autoptr(PvImageRecorder) self = g_new0 (PvImageRecorder, 1);

  self->fd = fd;
  self->name = g_strdup (name);
  self->scratch = scratch;
  self->residue = pv_scratch_file_new (scratch, error);
  self->layout = self->residue != NULL ? pv_scratch_file_new (scratch, error) : NULL;
  return self->layout != NULL ? g_steal_pointer (&self) : NULL;
}

void
pv_image_recorder_free (PvImageRecorder *self)
{
  if (self == NULL)
    return;
  page_set_clear (&self->seen);
  pv_scratch_file_free (self->residue);
  pv_scratch_file_free (self->layout);
  g_clear_pointer (&self->head, pv_stream_head_unref);
  g_free (self->name);
  g_free (self);
}

void
pv_image_recorder_set_head (PvImageRecorder *self, const PvStreamHead *head)
{
  g_return_if_fail (self->head == NULL);

  self->head = pv_stream_head_ref ((PvStreamHead *) head);
  page_set_init (&self->seen, head);
}

void
pv_image_recorder_buffer (PvImageRecorder *self, const guint8 *bytes, guint64 position, gsize size)
{
  self->bytes = bytes;
  self->bytes_at = position;
  self->bytes_size = size;
}

/* Takes all bytes from done to @end as residue: from memory, or when a piece of the stream began in an earlier
 * buffer, from the file. */
static gboolean
take_residue (PvImageRecorder *self, guint64 end, GError **error)
{
  guint8 buffer[16384];

  while (self->done < end)
    {
      gsize n = (gsize) MIN (end - self->done, sizeof buffer);
      const guint8 *from = buffer;

      if (self->done >= self->bytes_at && self->done < self->bytes_at + self->bytes_size)
        {
          n = (gsize) MIN (n, self->bytes_at + self->bytes_size - self->done);
          from = self->bytes + (self->done - self->bytes_at);
        }
      else if (!pv_pread_exact (self->fd, buffer, n, self->done, self->name, error))
        return FALSE;
      if (!pv_scratch_file_append (self->residue, from, n, error))
        return FALSE;
      self->done += n;
    }
  return TRUE;
}

static gboolean
write_run (PvScratchFile *layout, const PvImageRun *run, GError **error)
{
  g_autoptr(GByteArray) bytes = g_byte_array_sized_new (PV_IMAGE_RUN_SIZE);

  pv_image_run_append (run, bytes);
  return pv_scratch_file_append (layout, bytes->data, bytes->len, error);
}

/* Adds @next to @layout by way of @run, which grows as long as it can. */
static gboolean
add_run (PvScratchFile *layout, PvImageRun *run, const PvImageRun *next, guint page_size, GError **error)
{
  if (run->count > 0 && pv_image_run_merge (run, next, page_size))
    return TRUE;
  if (run->count > 0 && !write_run (layout, run, error))
    return FALSE;
  *run = *next;
  return TRUE;
}

gboolean
pv_image_recorder_page (PvImageRecorder *self, guint block, guint64 offset, guint64 position, GError **error)
{
  PvImageRun next = { .count = 1, .offset = offset, .block = (guint16) block, .source = PV_IMAGE_SOURCE_RAM };

  g_return_val_if_fail (self->head != NULL && position >= self->done, FALSE);

  if (position - self->done > PV_IMAGE_RESIDUE_MAX)
    return pv_corrupt (error, "more than 1 GiB lies between two pages");
  next.residue = (guint32) (position - self->done);
  self->repeated |= page_set_add (&self->seen, block, offset);
  if (!take_residue (self, position, error)
      || !add_run (self->layout, &self->run, &next, self->head->page_size, error))
    return FALSE;
  self->done += self->head->page_size;
  return TRUE;
}

gboolean
pv_image_recorder_zero (PvImageRecorder *self, guint block, guint64 offset, GError **error)
{
  PvImageRun next = { .count = 1, .offset = offset, .block = (guint16) block, .source = PV_IMAGE_SOURCE_ZERO };

  if (!page_set_has (&self->seen, block, offset))
    return TRUE;
  self->repeated = TRUE;
  return add_run (self->layout, &self->run, &next, self->head->page_size, error);
}

/* --- pages that came more than once ------------------------------------------------------------------------------ */

typedef gboolean (*RunFunc) (PvImageRun *run, gpointer data, GError **error);

/* (transfer full): @n runs from number @first on. */
static PvImageRun *
read_runs (PvScratchFile *layout, guint64 first, guint n, GError **error)
{
  g_autofree guint8 *bytes = g_malloc ((gsize) n * PV_IMAGE_RUN_SIZE);
  g_autofree PvImageRun *runs = g_new0 (PvImageRun, n);
  PvCursor cursor = PV_CURSOR_INIT (bytes, (gsize) n * PV_IMAGE_RUN_SIZE);

  if (!pv_scratch_file_read (layout, first * PV_IMAGE_RUN_SIZE, bytes, (gsize) n * PV_IMAGE_RUN_SIZE, error))
    return NULL;
  for (guint i = 0; i < n; i++)
    {
      runs[i].residue = pv_cursor_le32 (&cursor);
      runs[i].count = pv_cursor_le32 (&cursor);
      runs[i].offset = pv_cursor_le64 (&cursor);
      runs[i].block = pv_cursor_le16 (&cursor);
      runs[i].source = pv_cursor_le16 (&cursor);
      pv_cursor_le32 (&cursor);
    }
  return g_steal_pointer (&runs);
}

static gboolean
for_each_run (PvScratchFile *layout, gboolean backwards, RunFunc func, gpointer data, GError **error)
{
  guint64 n_runs = pv_scratch_file_size (layout) / PV_IMAGE_RUN_SIZE;

  for (guint64 done = 0; done < n_runs;)
    {
      guint n = (guint) MIN (n_runs - done, READ_RUNS);
      g_autofree PvImageRun *runs = read_runs (layout, backwards ? n_runs - done - n : done, n, error);

      if (runs == NULL)
        return FALSE;
      for (guint i = 0; i < n; i++)
        if (!func (&runs[backwards ? n - 1 - i : i], data, error))
          return FALSE;
      done += n;
    }
  return TRUE;
}

/* Pages are numbered as they came. Whether one is the last copy is known only from the end; what to do with it only
 * from the start. */
typedef struct
{
  PvImageRecorder *recorder;
  guint64 number;         /* of pages still before this place (backwards), or passed (forwards) */
  PageSet later;          /* pages that come again later */
  guint8 *last;           /* (owned): a bit for each page that came: it is the last copy */
  guint64 position;       /* in the file */
  PvScratchFile *layout;  /* (owned): the new one */
  PvScratchFile *pages;   /* (owned) */
  PvImageRun run;
} Replaced;

static gboolean
count_pages (PvImageRun *run, gpointer data, GError **error)
{
  Replaced *replaced = data;

  if (run->source == PV_IMAGE_SOURCE_RAM)
    replaced->number += run->count;
  return TRUE;
}

static gboolean
find_last (PvImageRun *run, gpointer data, GError **error)
{
  Replaced *replaced = data;
  guint page_size = replaced->later.page_size;

  for (guint i = run->count; i-- > 0;)
    {
      gboolean again = page_set_add (&replaced->later, run->block, run->offset + (guint64) i * page_size);

      if (run->source != PV_IMAGE_SOURCE_RAM)
        continue;
      replaced->number--;
      if (!again)
        replaced->last[replaced->number / 8] |= (guint8) (1u << (replaced->number % 8));
    }
  return TRUE;
}

/* The page in the file at position will not be in RAM: it is kept apart. */
static gboolean
keep_page (Replaced *replaced, GError **error)
{
  guint8 page[PV_RAM_PAGE_MAX];
  guint page_size = replaced->later.page_size;

  return pv_pread_exact (replaced->recorder->fd, page, page_size, replaced->position, replaced->recorder->name, error)
         && pv_scratch_file_append (replaced->pages, page, page_size, error);
}

static gboolean
rewrite_run (PvImageRun *run, gpointer data, GError **error)
{
  Replaced *replaced = data;
  guint page_size = replaced->later.page_size;

  for (guint i = 0; i < run->count && run->source == PV_IMAGE_SOURCE_RAM; i++, replaced->number++)
    {
      PvImageRun next = *run;

      next.count = 1;
      next.offset = run->offset + (guint64) i * page_size;
      replaced->position += run->residue;
      if ((replaced->last[replaced->number / 8] >> (replaced->number % 8) & 1) == 0)
        {
          next.block = 0;
          next.source = PV_IMAGE_SOURCE_PAGES;
          next.offset = pv_scratch_file_size (replaced->pages);
          if (!keep_page (replaced, error))
            return FALSE;
        }
      replaced->position += page_size;
      if (!add_run (replaced->layout, &replaced->run, &next, page_size, error))
        return FALSE;
    }
  return TRUE;
}

/* Replaces the layout by one in which only last copies come from RAM. */
static gboolean
keep_replaced_pages (PvImageRecorder *self, PvTxn *txn, GError **error)
{
  Replaced replaced = { .recorder = self };
  gboolean done;

  page_set_init (&replaced.later, self->head);
  replaced.layout = pv_scratch_file_new (self->scratch, error);
  replaced.pages = replaced.layout != NULL ? pv_scratch_file_new (self->scratch, error) : NULL;
  done = replaced.pages != NULL && for_each_run (self->layout, FALSE, count_pages, &replaced, error);
  replaced.last = g_malloc0 (replaced.number / 8 + 1);
  done = done && for_each_run (self->layout, TRUE, find_last, &replaced, error);
  g_assert (!done || replaced.number == 0);
  done = done && for_each_run (self->layout, FALSE, rewrite_run, &replaced, error)
         && (replaced.run.count == 0 || write_run (replaced.layout, &replaced.run, error))
         && pv_scratch_file_add_blob (replaced.pages, txn, PV_BLOB_IMAGE_PAGES, error);
  if (done)
    {
      pv_scratch_file_free (self->layout);
      self->layout = g_steal_pointer (&replaced.layout);
    }
  page_set_clear (&replaced.later);
  g_free (replaced.last);
  pv_scratch_file_free (replaced.layout);
  pv_scratch_file_free (replaced.pages);
  return done;
}

gboolean
pv_image_recorder_finish (PvImageRecorder *self, PvTxn *txn, guint64 size, GError **error)
{
  PvImageRun end = { .source = PV_IMAGE_SOURCE_NONE };

  if (size < self->done || size - self->done > PV_IMAGE_RESIDUE_MAX)
    return pv_corrupt (error, "the file changed while it was read");
  end.residue = (guint32) (size - self->done);
  pv_image_recorder_buffer (self, NULL, 0, 0);
  if (!take_residue (self, size, error) || (self->run.count > 0 && !write_run (self->layout, &self->run, error)))
    return FALSE;
  self->run.count = 0;
  if (self->repeated && !keep_replaced_pages (self, txn, error))
    return FALSE;
  return write_run (self->layout, &end, error)
         && pv_scratch_file_add_blob (self->layout, txn, PV_BLOB_IMAGE_LAYOUT, error)
         && pv_scratch_file_add_blob (self->residue, txn, PV_BLOB_IMAGE_RESIDUE, error);
}
