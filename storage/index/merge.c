/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/merge.h"

#include <string.h>

#include "util/error.h"
#include "util/fault.h"

#define REMOVED_FOR_MOVED 4u /* entries are removed in the time in which one is moved */
#define LEVEL_ENTRIES (4u << 10) /* in a segment of level 0, at most */
#define LEVELS 16u
#define SOURCES_MAX 64u
#define YIELD 3000u /* microseconds: longer than who waits for the lock sleeps */

/* --- merging runs ------------------------------------------------------------------------------------------------- */

static gint
compare_entries (const guint8 *a, const guint8 *b)
{
  gint order = memcmp (a, b, PV_NAME_SIZE);
  guint64 left, right;

  if (order != 0)
    return order;
  memcpy (&left, a + PV_NAME_SIZE, sizeof left);
  memcpy (&right, b + PV_NAME_SIZE, sizeof right);
  left = GUINT64_FROM_LE (left);
  right = GUINT64_FROM_LE (right);
  return left < right ? -1 : left > right;
}

/* Merges entries [first, middle) and [middle, end) of @from into the same place of @to. */
static void
merge_two (const guint8 *from, guint8 *to, gsize first, gsize middle, gsize end)
{
  const guint8 *a = from + first * PV_ENTRY_SIZE;
  const guint8 *a_end = from + middle * PV_ENTRY_SIZE;
  const guint8 *b = a_end;
  const guint8 *b_end = from + end * PV_ENTRY_SIZE;
  guint8 *out = to + first * PV_ENTRY_SIZE;

  while (a < a_end && b < b_end)
    {
      const guint8 **taken = compare_entries (a, b) <= 0 ? &a : &b;

      memcpy (out, *taken, PV_ENTRY_SIZE);
      *taken += PV_ENTRY_SIZE;
      out += PV_ENTRY_SIZE;
    }
  memcpy (out, a, (gsize) (a_end - a));
  memcpy (out + (a_end - a), b, (gsize) (b_end - b));
}

static gsize
drop_equal (guint8 *data, gsize n)
{
  gsize kept = 0;

  for (gsize i = 0; i < n; i++)
    {
      const guint8 *entry = data + i * PV_ENTRY_SIZE;

      if (kept > 0 && compare_entries (data + (kept - 1) * PV_ENTRY_SIZE, entry) == 0)
        continue;
      if (kept != i)
        memcpy (data + kept * PV_ENTRY_SIZE, entry, PV_ENTRY_SIZE);
      kept++;
    }
  return kept;
}

gsize
pv_merge_runs (guint8 *data, gsize n, const gsize *ends, guint n_runs)
{
  g_autofree guint8 *spare = g_malloc (MAX (n, 1) * PV_ENTRY_SIZE);
  g_autofree gsize *bounds = g_new0 (gsize, n_runs + 1); /* the first is 0 */
  guint8 *from = data;
  guint8 *to = spare;

  if (n == 0) /* and @data may be NULL */
    return 0;
  for (guint i = 0; i < n_runs; i++)
    bounds[i + 1] = ends[i];
  while (n_runs > 1)
    {
      guint merged = 0;

      for (guint i = 0; i < n_runs; i += 2)
        {
          gsize middle = bounds[i + 1];
          gsize end = bounds[MIN (i + 2, n_runs)];

          merge_two (from, to, bounds[i], middle, end);
          bounds[++merged] = end;
        }
      n_runs = merged;
      from = to;
      to = from == data ? spare : data;
    }
  if (from != data)
    memcpy (data, from, n * PV_ENTRY_SIZE);
  return drop_equal (data, n);
}

/* --- what to do next ---------------------------------------------------------------------------------------------- */

typedef struct
{
  const PvMergeOptions *options;
  PvIndex *index;
  PvDatabase *database;
  PvSegmentRow target;
  GArray *sources;   /* (element-type PvSegmentRow) (owned) */
  PvIndexView *next; /* (owned) (nullable): the view after this step */
} Job;

static void
job_clear (Job *self)
{
  g_clear_pointer (&self->sources, g_array_unref);
  g_clear_pointer (&self->next, pv_index_view_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Job, job_clear)

static guint64
buckets_of (guint n_entries)
{
  return MAX (n_entries / PV_BUCKET_MEAN, 1);
}

static guint
level_of (guint64 n_entries)
{
  guint level = 0;

  for (; n_entries > LEVEL_ENTRIES && level < LEVELS - 1; n_entries /= PV_MERGE_FAN_OUT)
    level++;
  return level;
}

static gboolean
is_free (const PvSegmentRow *row)
{
  return row->target == 0 && row->filled == row->segment.n_buckets;
}

static guint64
read_dead_entries (PvDatabase *database)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_query_prepare (&query, database, "SELECT dead_entries FROM state WHERE id = 1", NULL)
      || !pv_query_row (&query, &found, NULL) || !found)
    return 0;
  return (guint64) MAX (pv_query_int (&query, 0), 0);
}

/* A merge of everything is about to drop what there is; the number is an estimate, and must not lead to another one
 * at once. */
static gboolean
forget_dead_entries (PvDatabase *database, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  return pv_query_prepare (&query, database, "UPDATE state SET dead_entries = 0 WHERE id = 1", error)
         && pv_query_run (&query, error);
}

/* The level whose merge is due and smallest; LEVELS when there is none. @size: (out): entries in it. */
static guint
find_due_level (GArray *rows, guint fan_out, guint64 *size)
{
  guint counts[LEVELS] = { 0 };
  guint64 sizes[LEVELS] = { 0 };

  for (guint i = 0; i < rows->len; i++)
    {
      const PvSegmentRow *row = &g_array_index (rows, PvSegmentRow, i);
      guint level = level_of (row->segment.n_entries);

      if (!is_free (row) || counts[level] == SOURCES_MAX)
        continue;
      counts[level]++;
      sizes[level] += row->segment.n_entries;
    }
  for (guint level = 0; level < LEVELS; level++)
    if (counts[level] >= fan_out)
      {
        *size = sizes[level];
        return level;
      }
  return LEVELS;
}

/* Makes the free segments of @level (LEVELS: of all levels) sources of a new target. */
static gboolean
begin_job (Job *self, GArray *rows, guint level, GError **error)
{
  PvSegmentState state = self->options->writer != 0 ? PV_SEGMENT_PENDING : PV_SEGMENT_LISTED;
  guint64 total = 0;

  for (guint i = 0; i < rows->len && self->sources->len < SOURCES_MAX; i++)
    {
      const PvSegmentRow *row = &g_array_index (rows, PvSegmentRow, i);

      if (!is_free (row) || (level != LEVELS && level_of (row->segment.n_entries) != level))
        continue;
      g_array_append_val (self->sources, *row);
      total += row->segment.n_entries;
    }
  if (!pv_segment_insert (self->database, state, total, self->options->writer, &self->target.segment, error))
    return FALSE;
  for (guint i = 0; i < self->sources->len; i++)
    {
      PvSegmentRow *row = &g_array_index (self->sources, PvSegmentRow, i);

      row->target = self->target.segment.id;
      if (!pv_segment_update (self->database, &row->segment, row->filled, row->segment.n_entries, row->target, error))
        return FALSE;
    }
  return TRUE;
}

static void
continue_job (Job *self, GArray *rows, const PvSegmentRow *target)
{
  self->target = *target;
  for (guint i = 0; i < rows->len; i++)
    {
      const PvSegmentRow *row = &g_array_index (rows, PvSegmentRow, i);

      if (row->target == target->segment.id)
        g_array_append_val (self->sources, *row);
    }
}

/* The smallest piece of work there is: going on with a merge or beginning one. @found: FALSE when there is none. */
static gboolean
choose_job (Job *self, gboolean *found, GError **error)
{
  guint64 writer = self->options->writer;
  g_autoptr(GArray) rows = NULL;
  const PvSegmentRow *open = NULL;
  guint64 size = 0;
  guint64 total = 0;
  guint n_free = 0;
  guint level;

  *found = TRUE;
  rows = writer != 0 ? pv_segment_list (self->database, PV_SEGMENT_SELECT "WHERE s.writer = ?1", (gint64) writer, error)
                     : pv_segment_list (self->database, PV_SEGMENT_SELECT "WHERE s.state = 1", 0, error);
  if (rows == NULL)
    return FALSE;
  for (guint i = 0; i < rows->len; i++)
    {
      const PvSegmentRow *row = &g_array_index (rows, PvSegmentRow, i);

      total += row->segment.n_entries;
      n_free += is_free (row);
      if (row->filled < row->segment.n_buckets
          && (open == NULL || row->segment.n_buckets < open->segment.n_buckets))
        open = row;
    }
  level = find_due_level (rows, self->options->fan_out, &size);
  if (open != NULL && (level == LEVELS || (guint64) open->segment.n_buckets * PV_BUCKET_MEAN <= size))
    {
      continue_job (self, rows, open);
      return TRUE;
    }
  if (level != LEVELS)
    return begin_job (self, rows, level, error);
  if (self->options->drop_dead && n_free > 0 && read_dead_entries (self->database) > total / 4)
    return forget_dead_entries (self->database, error) && begin_job (self, rows, LEVELS, error);
  *found = FALSE;
  return TRUE;
}

/* --- one step ----------------------------------------------------------------------------------------------------- */

/* Appends what @source has of the prefixes [begin, end), without entries of packs that are gone. @n_read: (out). */
static gboolean
read_range (Job *self, const PvIndexView *view, const PvSegment *source, guint64 begin, guint64 end, GByteArray *out,
            guint64 *n_read, GError **error)
{
  g_auto(PvSegmentScan) scan = PV_SEGMENT_SCAN_INIT;

  *n_read = 0;
  if (!pv_segment_scan_begin (&scan, self->database, source, begin, end, error))
    return FALSE;
  for (;;)
    {
      const guint8 *data;
      guint n;

      if (!pv_segment_scan_next (&scan, &data, &n, error))
        return FALSE;
      if (data == NULL)
        return TRUE;
      *n_read += n;
      for (guint i = 0; i < n; i++)
        {
          const guint8 *raw = data + (gsize) i * PV_ENTRY_SIZE;
          PvIndexEntry entry;
          PvPackState state;

          pv_bucket_get (raw, &entry);
          if (view == NULL || pv_index_view_pack (view, entry.location.pack, &state))
            g_byte_array_append (out, raw, PV_ENTRY_SIZE);
        }
    }
}

/* Takes the range out of a source: rows that lie wholly in it go; when nothing is left, the segment goes. */
static gboolean
shrink_source (Job *self, const PvSegment *source, guint64 begin, guint64 end, guint64 n_read, GError **error)
{
  guint32 first = pv_bucket_of ((guint32) begin, source->n_buckets);
  guint32 last = end == PV_PREFIX_END ? source->n_buckets : pv_bucket_of ((guint32) end, source->n_buckets);

  if (n_read > source->n_entries || (end == PV_PREFIX_END && n_read != source->n_entries))
    return pv_corrupt (error, "index: segment %u does not have the number of entries that it should have", source->id);
  if (!pv_segment_remove_buckets (self->database, source, first, last, error))
    return FALSE;
  if (end == PV_PREFIX_END)
    return pv_segment_remove (self->database, source, error);
  return pv_segment_update (self->database, source, source->n_buckets, source->n_entries - n_read,
                            self->target.segment.id, error);
}

/* Writes the target's buckets from @target->filled to @end - 1 from the @n sorted entries at @data. */
static gboolean
write_buckets (Job *self, guint32 end, const guint8 *data, gsize n, GError **error)
{
  const PvSegment *target = &self->target.segment;
  gsize at = 0;

  for (guint32 bucket = self->target.filled; bucket < end; bucket++)
    {
      gsize first = at;
      PvIndexEntry entry;

      for (; at < n; at++)
        {
          pv_bucket_get (data + at * PV_ENTRY_SIZE, &entry);
          if (pv_bucket_of (pv_name_prefix (&entry.name), target->n_buckets) != bucket)
            break;
        }
      if (!pv_segment_put (self->database, target, bucket, data + first * PV_ENTRY_SIZE, at - first, error))
        return FALSE;
    }
  g_assert (at == n);
  return pv_segment_update (self->database, target, end, target->n_entries + n, 0, error);
}

static gboolean
count_dropped (PvDatabase *database, guint64 n, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (n == 0)
    return TRUE;
  if (!pv_query_prepare (&query, database, "UPDATE state SET dead_entries = max (dead_entries - ?1, 0) WHERE id = 1",
                         error))
    return FALSE;
  pv_query_bind_int (&query, 1, (gint64) n);
  return pv_query_run (&query, error);
}

/* Moves the next range of the job. @moved: (out): entries. */
static gboolean
run_job (Job *self, guint64 *moved, GError **error)
{
  const PvSegment *target = &self->target.segment;
  guint32 bucket_end = (guint32) MIN ((guint64) self->target.filled + buckets_of (self->index->merge_step),
                                      target->n_buckets);
  guint64 begin = pv_bucket_first_prefix (self->target.filled, target->n_buckets);
  guint64 end = pv_bucket_first_prefix (bucket_end, target->n_buckets);
  g_autoptr(GByteArray) data = g_byte_array_new ();
  g_autoptr(PvIndexView) view = NULL;
  gsize ends[SOURCES_MAX];
  gsize n;

  *moved = 0;
  if (self->sources->len > SOURCES_MAX)
    return pv_corrupt (error, "index: segment %u is made of too many", target->id);
  view = pv_index_view (self->index, self->database, error);
  if (view == NULL)
    return FALSE;
  for (guint i = 0; i < self->sources->len; i++)
    {
      const PvSegment *source = &g_array_index (self->sources, PvSegmentRow, i).segment;
      guint64 n_read;

      if (!read_range (self, self->options->writer == 0 ? view : NULL, source, begin, end, data, &n_read, error)
          || !shrink_source (self, source, begin, end, n_read, error))
        return FALSE;
      *moved += n_read;
      ends[i] = data->len / PV_ENTRY_SIZE;
    }
  n = pv_merge_runs (data->data, data->len / PV_ENTRY_SIZE, ends, self->sources->len);
  return write_buckets (self, bucket_end, data->data, n, error) && count_dropped (self->database, *moved - n, error)
         && pv_index_segments_changed (self->database, view, &self->next, error);
}

/* Removes some rows of a dead segment. @removed: (out): entries' worth of them, 0 when there is no such segment. */
static gboolean
remove_dead (PvIndex *self, PvDatabase *database, guint64 *removed, GError **error)
{
  g_autoptr(GArray) rows = pv_segment_list (database, PV_SEGMENT_SELECT "WHERE s.state = 2 LIMIT 1", 0, error);
  const PvSegmentRow *row;
  guint32 end;

  *removed = 0;
  if (rows == NULL)
    return FALSE;
  if (rows->len == 0)
    return TRUE;
  row = &g_array_index (rows, PvSegmentRow, 0);
  end = (guint32) MIN ((guint64) row->filled + REMOVED_FOR_MOVED * buckets_of (self->merge_step),
                       row->segment.n_buckets);
  *removed = (guint64) (end - row->filled) * PV_BUCKET_MEAN;
  return pv_segment_remove_buckets (database, &row->segment, row->filled, end, error)
         && (end == row->segment.n_buckets ? pv_segment_remove (database, &row->segment, error)
                                           : pv_segment_update (database, &row->segment, end, 0, 0, error));
}

/* @worked: (out): in entries moved; 0 when nothing is due. */
static gboolean
step (PvIndex *self, const PvMergeOptions *options, guint64 *worked, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_auto(Job) job = { .options = options, .index = self };
  gboolean found = FALSE;

  *worked = 0;
  job.sources = g_array_new (FALSE, FALSE, sizeof (PvSegmentRow));
  if (!pv_fault ("index.merge", error) || !pv_index_use (&use, self, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_WRITE, error))
    return FALSE;
  job.database = use.database;
  if (options->writer == 0)
    {
      if (!remove_dead (self, use.database, worked, error))
        return FALSE;
      *worked = (*worked + REMOVED_FOR_MOVED - 1) / REMOVED_FOR_MOVED;
    }
  if (*worked == 0)
    {
      if (!choose_job (&job, &found, error) || (found && !run_job (&job, worked, error)))
        return FALSE;
      *worked += found; /* a range may be empty */
    }
  if (*worked > 0 && !pv_transaction_commit (&transaction, error))
    return FALSE;
  if (job.next != NULL)
    pv_index_keep_view (self, job.next);
  return TRUE;
}

gboolean
pv_index_merge (PvIndex *self, const PvMergeOptions *options, GError **error)
{
  guint64 done = 0;

  g_return_val_if_fail (options->fan_out >= 2, FALSE);
  while (done < options->budget)
    {
      guint64 worked;

      if (!step (self, options, &worked, error))
        return FALSE;
      if (worked == 0)
        return TRUE;
      done += worked;
      if (options->yield)
        g_usleep (YIELD);
    }
  return TRUE;
}
