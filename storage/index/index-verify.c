/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <sys/stat.h>

#include "index/index-private.h"
#include "index/page-vfs.h"
#include "util/error.h"

#define SCAN_TRIES 20 /* a page that is being written back just then is read again */

static gboolean
query_one (PvDatabase *database, const char *sql, const char *what, guint64 *value, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_query_prepare (&query, database, sql, error) || !pv_query_row (&query, &found, error))
    return FALSE;
  if (!found)
    return pv_corrupt (error, "index: %s is missing", what);
  return pv_query_uint (&query, 0, G_MAXINT64, what, value, error);
}

gboolean
pv_index_stats (PvIndex *self, PvIndexStats *stats, GError **error)
{
  static const char *const files[] = { PV_INDEX_FILE, PV_INDEX_FILE "-wal", PV_INDEX_FILTER_FILE };
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;

  *stats = (PvIndexStats) { 0 };
  if (!pv_index_use (&use, self, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_READ, error)
      || !query_one (use.database, "SELECT coalesce (sum (n_entries), 0) FROM segment WHERE state = 1", "a sum",
                     &stats->n_objects, error)
      || !query_one (use.database, "SELECT count (*) FROM pack WHERE writer IS NULL", "a count", &stats->n_packs, error)
      || !query_one (use.database, "SELECT count (*) FROM snapshot", "a count", &stats->n_snapshots, error)
      || !query_one (use.database, "SELECT count (*) FROM writer", "a count", &stats->n_pending_writers, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (files); i++)
    {
      g_autofree char *path = g_build_filename (self->directory, files[i], NULL);
      struct stat st;

      if (stat (path, &st) == 0)
        stats->size += (guint64) st.st_size;
    }
  return TRUE;
}

static void
add_damage (GPtrArray *damage, const char *text)
{
  g_ptr_array_add (damage, g_strdup_printf ("index: %s", text));
}

/* Notes an error that says CORRUPT as damage and goes on; others stop. */
static gboolean
note (GPtrArray *damage, GError **local, GError **error)
{
  if (*local == NULL)
    return TRUE;
  if (!g_error_matches (*local, PV_ERROR, PV_ERROR_CORRUPT))
    {
      g_propagate_error (error, g_steal_pointer (local));
      return FALSE;
    }
  g_ptr_array_add (damage, g_strdup ((*local)->message));
  g_clear_error (local);
  return TRUE;
}

static gboolean
verify_pages (PvDatabase *database, GPtrArray *damage, GError **error)
{
  guint64 page = 0;
  guint64 before = 0;

  for (guint i = 0; i < SCAN_TRIES; i++)
    {
      if (!pv_page_vfs_scan (pv_database_file (database), &page))
        return pv_throw (error, PV_ERROR_FAILED, "index: the database file cannot be read");
      if (page == 0)
        return TRUE;
      if (page == before)
        break;
      before = page;
    }
  g_ptr_array_add (damage, g_strdup_printf ("index: page %" G_GUINT64_FORMAT " of the database has a wrong checksum",
                                            page));
  return TRUE;
}

static gboolean
verify_structure (PvDatabase *database, GPtrArray *damage, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_query_prepare (&query, database, "PRAGMA integrity_check (20)", error))
    return FALSE;
  for (;;)
    {
      const char *text;

      if (!pv_query_row (&query, &found, error))
        return FALSE;
      if (!found)
        return TRUE;
      text = pv_query_text (&query, 0);
      if (g_strcmp0 (text, "ok") != 0)
        add_damage (damage, text != NULL ? text : "the integrity check gave nothing");
    }
}

typedef struct
{
  PvFilter *filter;      /* (owned) (nullable) */
  guint64 n_unfiltered;  /* entries that it does not know */
  GHashTable *counts;    /* (element-type guint32 guint64) (owned): entries seen for each pack that is there */
} Tally;

static void
tally_clear (Tally *self)
{
  g_clear_pointer (&self->filter, pv_filter_unref);
  g_clear_pointer (&self->counts, g_hash_table_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Tally, tally_clear)

static void
tally_entry (Tally *self, const guint8 *data)
{
  PvIndexEntry entry;
  guint64 *count;

  pv_bucket_get (data, &entry);
  count = g_hash_table_lookup (self->counts, GUINT_TO_POINTER (entry.location.pack));
  if (count != NULL)
    (*count)++;
  if (self->filter != NULL && !pv_filter_test (self->filter, &entry.name))
    self->n_unfiltered++;
}

/* Reads all of @segment. */
static gboolean
verify_segment (PvDatabase *database, const PvSegment *segment, Tally *tally, GError **error)
{
  g_auto(PvSegmentScan) scan = PV_SEGMENT_SCAN_INIT;
  guint64 total = 0;

  if (!pv_segment_scan_begin (&scan, database, segment, 0, PV_PREFIX_END, error))
    return FALSE;
  for (;;)
    {
      const guint8 *data;
      guint n;

      if (!pv_segment_scan_next (&scan, &data, &n, error))
        return FALSE;
      if (data == NULL)
        break;
      if (!pv_bucket_check (data, (gsize) n * PV_ENTRY_SIZE, scan.next - 1, segment->n_buckets, error))
        {
          g_prefix_error (error, "index: bucket %u of segment %u: ", scan.next - 1, segment->id);
          return FALSE;
        }
      total += n;
      for (guint i = 0; i < n; i++)
        tally_entry (tally, data + (gsize) i * PV_ENTRY_SIZE);
    }
  if (total != segment->n_entries)
    return pv_corrupt (error, "index: segment %u has %" G_GUINT64_FORMAT " entries, not the %" G_GUINT64_FORMAT
                              " that it should have", segment->id, total, segment->n_entries);
  return TRUE;
}

static gboolean
verify_segments (PvIndex *self, PvDatabase *database, Tally *tally, GPtrArray *damage, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvIndexView) view = pv_index_view (self, database, &local);

  if (view == NULL)
    return note (damage, &local, error);
  for (guint i = 0; i < view->packs->n; i++)
    g_hash_table_insert (tally->counts, GUINT_TO_POINTER (view->packs->list[i].number), g_new0 (guint64, 1));
  for (guint i = 0; i < view->n_segments; i++)
    {
      verify_segment (database, &view->segments[i], tally, &local);
      if (!note (damage, &local, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
verify_packs (PvDatabase *database, Tally *tally, GPtrArray *damage, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GArray) packs = pv_index_list_packs (database, &local);

  if (packs == NULL)
    return note (damage, &local, error);
  for (guint i = 0; i < packs->len; i++)
    {
      const PvPackRow *row = &g_array_index (packs, PvPackRow, i);
      const guint64 *count = g_hash_table_lookup (tally->counts, GUINT_TO_POINTER (row->number));

      if (count != NULL && *count != row->n_objects)
        g_ptr_array_add (damage, g_strdup_printf ("index: knows %" G_GUINT64_FORMAT " of the %" G_GUINT64_FORMAT
                                                  " objects of pack number %u", *count, row->n_objects, row->number));
    }
  return TRUE;
}

/* A filter that is not usable is none: it is made anew by the next writer. */
static gboolean
verify_filter (Tally *tally, GPtrArray *damage, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (tally->filter == NULL)
    return TRUE;
  if (tally->n_unfiltered > 0)
    g_ptr_array_add (damage, g_strdup_printf ("index: the filter does not know %" G_GUINT64_FORMAT " entries",
                                              tally->n_unfiltered));
  if (!pv_filter_verify (tally->filter, &local))
    g_prefix_error (&local, "index: ");
  return note (damage, &local, error);
}

static gboolean
verify_snapshots (PvIndex *self, GPtrArray *damage, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GPtrArray) rows = pv_index_snapshots (self, NULL, &local);

  return rows != NULL || note (damage, &local, error);
}

/* The rows, all in one state of the database. */
static gboolean
verify_rows (PvIndex *self, PvDatabase *database, GPtrArray *damage, GError **error)
{
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_auto(Tally) tally = { NULL, 0, NULL };
  g_autoptr(GError) local = NULL;
  guint before = damage->len;

  tally.counts = g_hash_table_new_full (g_direct_hash, g_direct_equal, NULL, g_free);
  if (!pv_transaction_begin (&transaction, database, PV_TRANSACTION_READ, &local)
      || !verify_structure (database, damage, &local)
      || !pv_index_filter (self, database, &tally.filter, &local))
    return note (damage, &local, error);
  return damage->len > before /* then there is no use in walking over it */
         || (verify_segments (self, database, &tally, damage, error)
             && verify_packs (database, &tally, damage, error) && verify_filter (&tally, damage, error)
             && verify_snapshots (self, damage, error));
}

gboolean
pv_index_verify (PvIndex *self, GPtrArray *damage, GError **error)
{
  g_autoptr(GError) local = NULL;
  guint before = damage->len;

  /* A connection of its own, so that every page comes from the file, not from a cache. */
  g_autoptr(PvDatabase) database = pv_database_open (self->path, &local);

  if (database == NULL)
    return note (damage, &local, error);
  return verify_pages (database, damage, error)
         && (damage->len > before || verify_rows (self, database, damage, error));
}
