/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/segment.h"

#include <string.h>

#include "util/error.h"

static gint64
bucket_id (guint32 segment, guint32 bucket)
{
  return (gint64) segment << 32 | bucket;
}

static gboolean
read_row (PvQuery *query, PvSegmentRow *row, GError **error)
{
  guint64 id, n_buckets, n_entries, state, filled, target, target_filled, target_buckets;

  if (!pv_query_uint (query, 0, G_MAXINT32, "a segment's number", &id, error)
      || !pv_query_uint (query, 1, G_MAXUINT32, "a segment's number of buckets", &n_buckets, error)
      || !pv_query_uint (query, 2, G_MAXINT64, "a segment's number of entries", &n_entries, error)
      || !pv_query_uint (query, 3, PV_SEGMENT_DEAD, "a segment's state", &state, error)
      || !pv_query_uint (query, 4, n_buckets, "a segment's number of written buckets", &filled, error)
      || !pv_query_uint (query, 5, G_MAXINT32, "a segment's target", &target, error)
      || !pv_query_uint (query, 7, G_MAXUINT32, "a target's number of buckets", &target_buckets, error)
      || !pv_query_uint (query, 6, target_buckets, "a target's number of written buckets", &target_filled, error))
    return FALSE;
  if (id == 0 || n_buckets == 0 || target_buckets == 0)
    return pv_corrupt (error, "index: segment %" G_GUINT64_FORMAT " has no buckets", id);
  *row = (PvSegmentRow) { .segment = { .id = (guint32) id,
                                       .n_buckets = (guint32) n_buckets,
                                       .n_entries = n_entries,
                                       .begin = pv_bucket_first_prefix ((guint32) target_filled,
                                                                        (guint32) target_buckets),
                                       .end = pv_bucket_first_prefix ((guint32) filled, (guint32) n_buckets) },
                          .state = (PvSegmentState) state,
                          .filled = (guint32) filled,
                          .target = (guint32) target };
  return TRUE;
}

GArray *
pv_segment_list (PvDatabase *database, const char *sql, gint64 value, GError **error)
{
  g_autoptr(GArray) rows = g_array_new (FALSE, FALSE, sizeof (PvSegmentRow));
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&query, database, sql, error))
    return NULL;
  if (strstr (sql, "?1") != NULL)
    pv_query_bind_int (&query, 1, value);
  for (;;)
    {
      PvSegmentRow row;
      gboolean found;

      if (!pv_query_row (&query, &found, error))
        return NULL;
      if (!found)
        return g_steal_pointer (&rows);
      if (!read_row (&query, &row, error))
        return NULL;
      g_array_append_val (rows, row);
    }
}

gboolean
pv_segment_insert (PvDatabase *database, PvSegmentState state, guint64 n_entries, guint64 writer, PvSegment *segment,
                   GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  *segment = (PvSegment) { .n_buckets = pv_bucket_count (n_entries) };
  if (!pv_query_prepare (&query, database, "INSERT INTO segment (state, n_entries, n_buckets, filled, writer)"
                                           " VALUES (?1, 0, ?2, 0, nullif (?3, 0))", error))
    return FALSE;
  pv_query_bind_int (&query, 1, state);
  pv_query_bind_int (&query, 2, segment->n_buckets);
  pv_query_bind_int (&query, 3, (gint64) writer);
  if (!pv_query_run (&query, error))
    return FALSE;
  if (pv_database_last_id (database) > G_MAXINT32)
    return pv_throw (error, PV_ERROR_FAILED, "index: segment numbers are used up; rebuild it");
  segment->id = (guint32) pv_database_last_id (database);
  return TRUE;
}

gboolean
pv_segment_update (PvDatabase *database, const PvSegment *segment, guint32 filled, guint64 n_entries, guint32 target,
                   GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&query, database, "UPDATE segment SET filled = ?2, n_entries = ?3, target = nullif (?4, 0)"
                                           " WHERE id = ?1", error))
    return FALSE;
  pv_query_bind_int (&query, 1, segment->id);
  pv_query_bind_int (&query, 2, filled);
  pv_query_bind_int (&query, 3, (gint64) n_entries);
  pv_query_bind_int (&query, 4, target);
  return pv_query_run (&query, error);
}

gboolean
pv_segment_remove_buckets (PvDatabase *database, const PvSegment *segment, guint32 first, guint32 end, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (first >= end)
    return TRUE;
  if (!pv_query_prepare (&query, database, "DELETE FROM bucket WHERE id >= ?1 AND id <= ?2", error))
    return FALSE;
  pv_query_bind_int (&query, 1, bucket_id (segment->id, first));
  pv_query_bind_int (&query, 2, bucket_id (segment->id, end - 1));
  return pv_query_run (&query, error);
}

gboolean
pv_segment_remove (PvDatabase *database, const PvSegment *segment, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&query, database, "DELETE FROM segment WHERE id = ?1", error))
    return FALSE;
  pv_query_bind_int (&query, 1, segment->id);
  return pv_query_run (&query, error);
}

gboolean
pv_segment_put (PvDatabase *database, const PvSegment *segment, guint32 bucket, const guint8 *data, gsize n,
                GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  g_assert (bucket < segment->n_buckets);
  if (!pv_query_prepare (&query, database, "INSERT INTO bucket VALUES (?1, ?2)", error))
    return FALSE;
  pv_query_bind_int (&query, 1, bucket_id (segment->id, bucket));
  pv_query_bind_blob (&query, 2, data, n * PV_ENTRY_SIZE);
  return pv_query_row (&query, &found, error);
}

gboolean
pv_segment_write (PvDatabase *database, PvSegmentState state, const PvIndexEntry *entries, gsize n, guint64 writer,
                  PvSegment *segment, GError **error)
{
  g_autoptr(GByteArray) blob = g_byte_array_new ();
  gsize at = 0;

  if (!pv_segment_insert (database, state, n, writer, segment, error))
    return FALSE;
  for (guint32 bucket = 0; bucket < segment->n_buckets; bucket++)
    {
      gsize first = at;

      while (at < n && pv_bucket_of (pv_name_prefix (&entries[at].name), segment->n_buckets) == bucket)
        at++;
      g_byte_array_set_size (blob, (guint) ((at - first) * PV_ENTRY_SIZE));
      for (gsize i = first; i < at; i++)
        pv_bucket_put (blob->data + (i - first) * PV_ENTRY_SIZE, &entries[i]);
      if (!pv_segment_put (database, segment, bucket, blob->data, at - first, error))
        return FALSE;
    }
  g_assert (at == n);
  segment->n_entries = n;
  segment->end = PV_PREFIX_END;
  return pv_segment_update (database, segment, segment->n_buckets, n, 0, error);
}

static gboolean
read_entries (PvQuery *query, int column, guint32 segment, const guint8 **data, guint *n, GError **error)
{
  gsize size;

  *data = pv_query_blob (query, column, &size);
  if (size % PV_ENTRY_SIZE != 0)
    return pv_corrupt (error, "index: a bucket of segment %u has %" G_GSIZE_FORMAT " bytes", segment, size);
  *n = (guint) (size / PV_ENTRY_SIZE);
  if (*data == NULL)
    *data = (const guint8 *) "";
  return TRUE;
}

gboolean
pv_segment_get (PvQuery *query, PvDatabase *database, const PvSegment *segment, guint32 bucket, const guint8 **data,
                guint *n, GError **error)
{
  gboolean found;

  if (query->statement == NULL
      && !pv_query_prepare (query, database, "SELECT entries FROM bucket WHERE id = ?1", error))
    return FALSE;
  pv_query_reset (query);
  pv_query_bind_int (query, 1, bucket_id (segment->id, bucket));
  if (!pv_query_row (query, &found, error))
    return FALSE;
  if (!found)
    return pv_corrupt (error, "index: bucket %u of segment %u is missing; rebuild the index", bucket, segment->id);
  return read_entries (query, 0, segment->id, data, n, error);
}

gboolean
pv_segment_scan_begin (PvSegmentScan *self, PvDatabase *database, const PvSegment *segment, guint64 begin, guint64 end,
                       GError **error)
{
  begin = MAX (begin, segment->begin);
  end = MIN (end, segment->end);
  *self = (PvSegmentScan) { .segment = *segment, .query = PV_QUERY_INIT, .begin_prefix = begin, .end_prefix = end };
  if (begin >= end)
    return TRUE;
  self->next = pv_bucket_of ((guint32) begin, segment->n_buckets);
  self->end = pv_bucket_of ((guint32) (end - 1), segment->n_buckets) + 1;
  if (!pv_query_prepare (&self->query, database, "SELECT id, entries FROM bucket WHERE id >= ?1 AND id <= ?2"
                                                 " ORDER BY id", error))
    return FALSE;
  pv_query_bind_int (&self->query, 1, bucket_id (segment->id, self->next));
  pv_query_bind_int (&self->query, 2, bucket_id (segment->id, self->end - 1));
  return TRUE;
}

static guint64
prefix_at (const guint8 *data, guint i)
{
  PvIndexEntry entry;

  pv_bucket_get (data + (gsize) i * PV_ENTRY_SIZE, &entry);
  return pv_name_prefix (&entry.name);
}

gboolean
pv_segment_scan_next (PvSegmentScan *self, const guint8 **data, guint *n, GError **error)
{
  gboolean found;

  *data = NULL;
  *n = 0;
  if (self->next == self->end)
    return TRUE;
  if (!pv_query_row (&self->query, &found, error))
    return FALSE;
  if (!found || pv_query_int (&self->query, 0) != bucket_id (self->segment.id, self->next))
    return pv_corrupt (error, "index: bucket %u of segment %u is missing; rebuild the index", self->next,
                       self->segment.id);
  self->next++;
  if (!read_entries (&self->query, 1, self->segment.id, data, n, error))
    return FALSE;
  /* Only the first and the last bucket can have entries outside the range. */
  while (*n > 0 && prefix_at (*data, 0) < self->begin_prefix)
    {
      *data += PV_ENTRY_SIZE;
      (*n)--;
    }
  while (*n > 0 && prefix_at (*data, *n - 1) >= self->end_prefix)
    (*n)--;
  return TRUE;
}

void
pv_segment_scan_clear (PvSegmentScan *self)
{
  pv_query_clear (&self->query);
}
