/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "index/index-private.h"
#include "util/error.h"
#include "util/fault.h"

/* Bits are added inside the transaction that adds the segment, and a new filter is put in place inside one that has
 * seen all segments: so the filter that the database names has, power cuts aside, the bits of every listed and
 * pending entry. */

#define SMALL_STORE (16u << 20) /* objects: a filter for so many is made in a second or two */

static char *
filter_path (PvIndex *self)
{
  return g_build_filename (self->directory, PV_INDEX_FILTER_FILE, NULL);
}

static void
keep_filter (PvIndex *self, PvFilter *filter)
{
  g_autoptr(PvFilter) former = NULL; /* let go of outside the lock */

  g_mutex_lock (&self->lock);
  former = g_steal_pointer (&self->filter);
  self->filter = pv_filter_ref (filter);
  g_mutex_unlock (&self->lock);
}

gboolean
pv_index_filter (PvIndex *self, PvDatabase *database, PvFilter **filter, GError **error)
{
  g_autofree char *path = filter_path (self);
  g_auto(PvQuery) query = PV_QUERY_INIT;
  g_autoptr(GError) local = NULL;
  const guint8 *id;
  gsize size;
  gboolean found;

  *filter = NULL;
  if (!pv_query_prepare (&query, database, "SELECT filter FROM state WHERE id = 1", error)
      || !pv_query_row (&query, &found, error))
    return FALSE;
  if (!found)
    return pv_corrupt (error, "index: its state row is missing; rebuild it");
  id = pv_query_blob (&query, 0, &size);
  if (size != PV_FILTER_ID_SIZE)
    return TRUE;
  g_mutex_lock (&self->lock);
  if (self->filter != NULL && memcmp (pv_filter_id (self->filter), id, PV_FILTER_ID_SIZE) == 0)
    *filter = pv_filter_ref (self->filter);
  g_mutex_unlock (&self->lock);
  if (*filter != NULL)
    return TRUE;

  *filter = pv_filter_open (path, id, size, &local);
  if (*filter == NULL)
    {
      g_debug ("index: %s", local->message);
      return TRUE;
    }
  keep_filter (self, *filter);
  return TRUE;
}

/* --- making it anew ----------------------------------------------------------------------------------------------- */

static gboolean
add_segment (PvDatabase *database, PvFilter *filter, const PvSegment *segment, GError **error)
{
  g_auto(PvSegmentScan) scan = PV_SEGMENT_SCAN_INIT;

  if (!pv_segment_scan_begin (&scan, database, segment, 0, PV_PREFIX_END, error))
    return FALSE;
  for (;;)
    {
      const guint8 *data;
      guint n;

      if (!pv_segment_scan_next (&scan, &data, &n, error))
        return FALSE;
      if (data == NULL)
        return TRUE;
      for (guint i = 0; i < n; i++)
        {
          PvIndexEntry entry;

          pv_bucket_get (data + (gsize) i * PV_ENTRY_SIZE, &entry);
          pv_filter_add (filter, &entry.name);
        }
    }
}

/* Adds everybody's listed and pending segments that are not in @done yet, in the caller's transaction. What merges
 * move in between two calls lies in segments that were seen before they moved it, or in ones that were not there
 * before. */
static gboolean
add_segments (PvDatabase *database, PvFilter *filter, GHashTable *done, GError **error)
{
  g_autoptr(GArray) rows = pv_segment_list (database, PV_SEGMENT_SELECT "WHERE s.state IN (0, 1)", 0, error);

  if (rows == NULL)
    return FALSE;
  for (guint i = 0; i < rows->len; i++)
    {
      const PvSegment *segment = &g_array_index (rows, PvSegmentRow, i).segment;

      if (g_hash_table_add (done, GUINT_TO_POINTER (segment->id)) && !add_segment (database, filter, segment, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
adopt_filter (PvDatabase *database, PvFilter *filter, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&query, database, "UPDATE state SET filter = ?1, filter_waste = 0 WHERE id = 1", error))
    return FALSE;
  pv_query_bind_blob (&query, 1, pv_filter_id (filter), PV_FILTER_ID_SIZE);
  return pv_query_run (&query, error);
}

/* Most is read beside everybody else; only what was added meanwhile is read while writers wait. */
static gboolean
fill_filter (PvIndex *self, PvFilter *filter, GError **error)
{
  g_autofree char *path = filter_path (self);
  g_autoptr(GHashTable) done = g_hash_table_new (g_direct_hash, g_direct_equal);
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) reading = PV_TRANSACTION_INIT;
  g_auto(PvTransaction) writing = PV_TRANSACTION_INIT;

  if (!pv_index_use (&use, self, error)
      || !pv_transaction_begin (&reading, use.database, PV_TRANSACTION_READ, error)
      || !add_segments (use.database, filter, done, error))
    return FALSE;
  pv_transaction_clear (&reading);
  return pv_transaction_begin (&writing, use.database, PV_TRANSACTION_WRITE, error)
         && add_segments (use.database, filter, done, error) && adopt_filter (use.database, filter, error)
         && pv_filter_publish (filter, path, error) && pv_transaction_commit (&writing, error);
}

static gboolean
make_filter (PvIndex *self, guint64 n_entries, GError **error)
{
  g_autofree char *path = filter_path (self);
  g_autoptr(GError) local = NULL;
  g_autoptr(PvFilter) filter = pv_filter_new (path, 2 * n_entries, &local);

  if (filter == NULL || !fill_filter (self, filter, &local))
    {
      if (!g_error_matches (local, PV_ERROR, PV_ERROR_NO_SPACE))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      g_debug ("index: going on without a filter: %s", local->message);
      return TRUE;
    }
  keep_filter (self, filter);
  return TRUE;
}

static gboolean
count_entries (PvDatabase *database, guint64 *n_entries, guint64 *waste, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_query_prepare (&query, database, "SELECT (SELECT coalesce (sum (n_entries), 0) FROM segment"
                                           " WHERE state IN (0, 1)), filter_waste FROM state WHERE id = 1", error)
      || !pv_query_row (&query, &found, error))
    return FALSE;
  if (!found)
    return pv_corrupt (error, "index: its state row is missing; rebuild it");
  return pv_query_uint (&query, 0, G_MAXINT64, "a sum", n_entries, error)
         && pv_query_uint (&query, 1, G_MAXINT64, "the filter's waste", waste, error);
}

/* Whether making a new one costs less than going on with this one. */
static gboolean
is_worn (PvFilter *filter, guint64 n_entries, guint64 waste, gboolean eager)
{
  guint64 capacity = pv_filter_capacity (filter);

  /* A name that an aborted writer left is looked for in every segment when it comes again; that is as much work as
   * to read 250 entries or so. */
  if (waste > n_entries / 256 + (64u << 10))
    return TRUE;
  if (capacity >= PV_FILTER_CAPACITY_MAX)
    return FALSE;
  if (n_entries > SMALL_STORE && !eager)
    return n_entries > 2 * capacity; /* says "perhaps" of one in 40 */
  return n_entries > capacity;
}

gboolean
pv_index_mend_filter (PvIndex *self, gboolean eager, GError **error)
{
  guint64 n_entries, waste;
  g_autoptr(PvFilter) filter = NULL;

  {
    g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
    g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;

    if (!pv_index_use (&use, self, error)
        || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_READ, error)
        || !count_entries (use.database, &n_entries, &waste, error)
        || !pv_index_filter (self, use.database, &filter, error))
      return FALSE;
  }
  if (filter != NULL && !is_worn (filter, n_entries, waste, eager))
    return TRUE;
  return pv_fault ("index.filter", error) && make_filter (self, n_entries, error);
}
