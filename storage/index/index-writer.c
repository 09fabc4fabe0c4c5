/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "index/entry-table.h"
#include "index/index-private.h"
#include "index/merge.h"
#include "util/error.h"
#include "util/fault.h"

/* Merging that a commit does besides, in entries: from a million to 64 million it takes two moves. */
#define COMMIT_MERGE(n_added) ((128u << 10) + 2 * (n_added))

typedef struct
{
  guint32 number;
  guint64 n_objects; /* as announced */
  guint64 n_added;
} OwnPack;

struct _PvIndexWriter
{
  PvIndex *index; /* (owned) */
  guint64 id;     /* of its row */
  gboolean committed;
  GArray *packs; /* (element-type OwnPack) (owned): in order of number; serialized by the caller */
  GRWLock lock;
  PvEntryTable *table; /* (owned): entries not in SQLite yet; under lock */
  PvFilter *filter;    /* (owned) (nullable): has all that is in pending segments; under lock */
  gboolean flushed;    /* there are pending segments; under lock */
  GArray *segments;    /* (element-type PvSegmentRow) (owned) (nullable): the pending ones at generation; under lock */
  guint64 generation;  /* under lock */
  GMutex rely_lock;
  GHashTable *relied; /* (element-type guint32): numbers of packs; under rely_lock */
  gint last_relied;   /* atomic: most calls repeat the pack of the call before */
};

/* The lock file as it is kept: relative to the index when it lies below, so that a store can be seen under several
 * paths. */
static char *
stored_lock_path (PvIndex *index, const char *lock_path)
{
  g_autofree char *path = g_canonicalize_filename (lock_path, NULL);
  gsize length = strlen (index->directory);

  if (strncmp (path, index->directory, length) == 0 && path[length] == '/')
    return g_strdup (path + length + 1);
  return g_steal_pointer (&path);
}

static gboolean
register_writer (PvIndexWriter *self, const char *lock_path, GError **error)
{
  g_autofree char *path = stored_lock_path (self->index, lock_path);
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;
  g_autoptr(PvIndexView) view = NULL;
  guint64 id;

  if (!pv_index_use (&use, self->index, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_WRITE, error)
      || !pv_query_prepare (&query, use.database, "INSERT INTO writer (lock_path, epoch)"
                                                  " SELECT ?1, epoch FROM state WHERE id = 1", error))
    return FALSE;
  pv_query_bind_text (&query, 1, path);
  if (!pv_query_run (&query, error))
    return FALSE;
  id = (guint64) pv_database_last_id (use.database);
  /* From here on lookups know of every pack that was condemned before this writer began. */
  view = pv_index_view (self->index, use.database, error);
  if (view == NULL || !pv_index_filter (self->index, use.database, &self->filter, error)
      || !pv_transaction_commit (&transaction, error))
    return FALSE;
  self->id = id;
  return TRUE;
}

PvIndexWriter *
pv_index_writer_begin (PvIndex *index, const char *lock_path, GError **error)
{
  g_autoptr(PvIndexWriter) self = g_new0 (PvIndexWriter, 1);

  self->index = pv_index_ref (index);
  self->packs = g_array_new (FALSE, FALSE, sizeof (OwnPack));
  self->table = pv_entry_table_new ();
  self->relied = g_hash_table_new (g_direct_hash, g_direct_equal);
  g_rw_lock_init (&self->lock);
  g_mutex_init (&self->rely_lock);
  if (!pv_index_mend_filter (index, FALSE, error) || !register_writer (self, lock_path, error))
    return NULL;
  return g_steal_pointer (&self);
}

static gboolean
abandon (PvIndexWriter *self, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;

  return pv_index_use (&use, self->index, error)
         && pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_WRITE, error)
         && pv_index_drop_writer (use.database, self->id, error) && pv_transaction_commit (&transaction, error);
}

void
pv_index_writer_free (PvIndexWriter *self)
{
  g_autoptr(GError) local = NULL;

  if (self == NULL)
    return;
  if (self->id != 0 && !self->committed && !abandon (self, &local))
    g_debug ("what writer %" G_GUINT64_FORMAT " left is dropped when its lock file is free: %s", self->id,
             local->message);
  g_array_unref (self->packs);
  g_clear_pointer (&self->segments, g_array_unref);
  pv_entry_table_free (self->table);
  g_clear_pointer (&self->filter, pv_filter_unref);
  g_hash_table_unref (self->relied);
  g_rw_lock_clear (&self->lock);
  g_mutex_clear (&self->rely_lock);
  pv_index_unref (self->index);
  g_free (self);
}

/* Fails unless the writer's row is there still: who found its lock file unlocked has dropped what it had pending. */
static gboolean
check_registered (PvIndexWriter *self, PvDatabase *database, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_query_prepare (&query, database, "SELECT 1 FROM writer WHERE id = ?1", error))
    return FALSE;
  pv_query_bind_int (&query, 1, (gint64) self->id);
  if (!pv_query_row (&query, &found, error))
    return FALSE;
  return found || pv_throw (error, PV_ERROR_FAILED, "this writer was taken for dead: its lock file was not locked");
}

/* --- adding ------------------------------------------------------------------------------------------------------- */

gboolean
pv_index_writer_add_pack (PvIndexWriter *self, const PvName *name, guint64 size, guint64 n_objects, guint32 *number,
                          GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;
  OwnPack pack = { .n_objects = n_objects };

  g_return_val_if_fail (!self->committed, FALSE);
  if (!pv_index_use (&use, self->index, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_WRITE, error)
      || !check_registered (self, use.database, error)
      || !pv_query_prepare (&query, use.database, "INSERT INTO pack (name, size, n_objects, state, epoch, writer)"
                                                  " VALUES (?1, ?2, ?3, 0, 0, ?4)", error))
    return FALSE;
  pv_query_bind_name (&query, 1, name);
  pv_query_bind_int (&query, 2, (gint64) size);
  pv_query_bind_int (&query, 3, (gint64) n_objects);
  pv_query_bind_int (&query, 4, (gint64) self->id);
  if (!pv_query_run (&query, error))
    return FALSE;
  if (pv_database_last_id (use.database) > G_MAXUINT32)
    return pv_throw (error, PV_ERROR_FAILED, "index: pack numbers are used up; rebuild it");
  pack.number = (guint32) pv_database_last_id (use.database);
  if (!pv_transaction_commit (&transaction, error))
    return FALSE;
  g_array_append_val (self->packs, pack);
  *number = pack.number;
  return TRUE;
}

/* Writes what the table holds as a segment, in the caller's transaction. @filter: (out) (nullable): the one that
 * has its bits now. */
static gboolean
write_table (PvIndexWriter *self, PvDatabase *database, PvSegmentState state, PvSegment *segment, PvFilter **filter,
             GError **error)
{
  g_autofree PvIndexEntry *entries = NULL;
  gsize n;

  /* Only this thread changes the table: it may be read without the lock, while others look names up in it. */
  entries = pv_entry_table_sorted (self->table, &n);
  if (!pv_fault ("index.add", error)
      || !pv_segment_write (database, state, entries, n, state == PV_SEGMENT_PENDING ? self->id : 0, segment, error)
      || !pv_index_filter (self->index, database, filter, error))
    return FALSE;
  for (gsize i = 0; *filter != NULL && i < n; i++)
    pv_filter_add (*filter, &entries[i].name);
  return TRUE;
}

static void
use_filter (PvIndexWriter *self, PvFilter *filter)
{
  g_autoptr(PvFilter) former = NULL; /* let go of outside the lock */

  g_rw_lock_writer_lock (&self->lock);
  former = g_steal_pointer (&self->filter);
  self->filter = filter != NULL ? pv_filter_ref (filter) : NULL;
  g_rw_lock_writer_unlock (&self->lock);
}

static gboolean
flush_table (PvIndexWriter *self, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_autoptr(PvFilter) filter = NULL;
  g_autoptr(PvIndexView) view = NULL;
  g_autoptr(PvIndexView) next = NULL;
  PvSegment segment;

  if (!pv_index_use (&use, self->index, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_WRITE, error)
      || !check_registered (self, use.database, error))
    return FALSE;
  view = pv_index_view (self->index, use.database, error);
  if (view == NULL || !write_table (self, use.database, PV_SEGMENT_PENDING, &segment, &filter, error)
      || !pv_index_segments_changed (use.database, view, &next, error)
      || !pv_transaction_commit (&transaction, error))
    return FALSE;
  pv_index_keep_view (self->index, next);
  use_filter (self, filter);
  g_rw_lock_writer_lock (&self->lock);
  self->flushed = TRUE;
  pv_entry_table_clear (self->table);
  g_rw_lock_writer_unlock (&self->lock);
  return TRUE;
}

/* Takes the filter into use that the database names now. */
static gboolean
refresh_filter (PvIndexWriter *self, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_autoptr(PvFilter) filter = NULL;

  if (!pv_index_mend_filter (self->index, FALSE, error) || !pv_index_use (&use, self->index, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_READ, error)
      || !pv_index_filter (self->index, use.database, &filter, error))
    return FALSE;
  use_filter (self, filter);
  return TRUE;
}

/* Keeps the pending segments few: each of a large writer's lookups of its own objects goes through them. */
static gboolean
merge_own (PvIndexWriter *self, GError **error)
{
  PvMergeOptions options = { .writer = self->id, .fan_out = PV_MERGE_FAN_OUT, .budget = 2 * self->index->run_max };

  return pv_index_merge (self->index, &options, error);
}

static OwnPack *
find_own_pack (PvIndexWriter *self, guint32 number)
{
  for (guint i = self->packs->len; i > 0; i--) /* the last one, nearly always */
    if (g_array_index (self->packs, OwnPack, i - 1).number == number)
      return &g_array_index (self->packs, OwnPack, i - 1);
  return NULL;
}

gboolean
pv_index_writer_add (PvIndexWriter *self, const PvIndexEntry *entries, gsize n, GError **error)
{
  OwnPack *pack = NULL;

  g_return_val_if_fail (!self->committed, FALSE);
  while (n > 0)
    {
      guint room = self->index->run_max - pv_entry_table_size (self->table);
      guint now = (guint) MIN (n, room);

      g_rw_lock_writer_lock (&self->lock);
      for (guint i = 0; i < now; i++)
        {
          const PvLocation *at = &entries[i].location;

          if (pack == NULL || pack->number != at->pack)
            pack = find_own_pack (self, at->pack);
          g_assert (pack != NULL && at->frame < 1u << PV_ENTRY_FRAME_BITS && at->slot < 1u << PV_ENTRY_SLOT_BITS);
          pack->n_added++;
          pv_entry_table_add (self->table, &entries[i]);
        }
      g_rw_lock_writer_unlock (&self->lock);
      entries += now;
      n -= now;
      if (now == room && (!flush_table (self, error) || !refresh_filter (self, error) || !merge_own (self, error)))
        return FALSE;
    }
  return TRUE;
}

void
pv_index_writer_rely (PvIndexWriter *self, guint32 pack)
{
  if ((guint32) g_atomic_int_get (&self->last_relied) == pack)
    return;
  g_mutex_lock (&self->rely_lock);
  g_hash_table_add (self->relied, GUINT_TO_POINTER (pack));
  g_mutex_unlock (&self->rely_lock);
  g_atomic_int_set (&self->last_relied, (gint) pack);
}

/* --- looking up --------------------------------------------------------------------------------------------------- */

/* Answers from memory what can be: what this writer collected, and what the filter says is nowhere. The others
 * become @wants. */
static guint
find_in_memory (PvIndexWriter *self, const PvName *names, guint n, PvLocation *locations, gboolean *found,
                PvIndexWant *wants, gboolean *flushed)
{
  guint n_wants = 0;

  g_rw_lock_reader_lock (&self->lock);
  for (guint i = 0; n > 1 && self->filter != NULL && i < n; i++)
    pv_filter_prefetch (self->filter, &names[i]);
  for (guint i = 0; i < n; i++)
    {
      found[i] = pv_entry_table_find (self->table, &names[i], &locations[i]);
      if (found[i] || (self->filter != NULL && !pv_filter_test (self->filter, &names[i])))
        continue;
      wants[n_wants++] = (PvIndexWant) { .name = names[i], .index = i };
    }
  *flushed = self->flushed;
  g_rw_lock_reader_unlock (&self->lock);
  return n_wants;
}

/* This writer's pending segments as the transaction that @database is in sees them. (transfer full) */
static GArray *
list_own_segments (PvIndexWriter *self, PvDatabase *database, guint64 generation, GError **error)
{
  g_autoptr(GArray) rows = NULL;

  g_rw_lock_reader_lock (&self->lock);
  if (self->segments != NULL && self->generation == generation)
    rows = g_array_ref (self->segments);
  g_rw_lock_reader_unlock (&self->lock);
  if (rows != NULL)
    return g_steal_pointer (&rows);

  rows = pv_segment_list (database, PV_SEGMENT_SELECT "WHERE s.writer = ?1 ORDER BY s.n_entries DESC",
                          (gint64) self->id, error);
  if (rows == NULL)
    return NULL;
  g_rw_lock_writer_lock (&self->lock);
  g_clear_pointer (&self->segments, g_array_unref);
  self->segments = g_array_ref (rows);
  self->generation = generation;
  g_rw_lock_writer_unlock (&self->lock);
  return g_steal_pointer (&rows);
}

static gboolean
find_in_own_segments (PvIndexWriter *self, PvDatabase *database, guint64 generation, PvIndexWant *wants, guint n,
                      GError **error)
{
  g_autoptr(GArray) rows = list_own_segments (self, database, generation, error);

  if (rows == NULL)
    return FALSE;
  for (guint i = 0; i < rows->len; i++)
    if (!pv_index_find (database, NULL, &g_array_index (rows, PvSegmentRow, i).segment, 1, wants, n, error))
      return FALSE;
  return TRUE;
}

static gboolean
find_in_database (PvIndexWriter *self, PvIndexWant *wants, guint n, gboolean flushed, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_autoptr(PvIndexView) view = NULL;

  if (!pv_index_use (&use, self->index, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_READ, error))
    return FALSE;
  view = pv_index_view (self->index, use.database, error);
  return view != NULL && pv_index_find (use.database, view, view->segments, view->n_segments, wants, n, error)
         && (!flushed || find_in_own_segments (self, use.database, view->generation, wants, n, error));
}

static gboolean
lookup_slice (PvIndexWriter *self, const PvName *names, guint n, PvLocation *locations, gboolean *found, GError **error)
{
  PvIndexWant wants[PV_INDEX_SLICE];
  gboolean flushed;
  guint n_wants = find_in_memory (self, names, n, locations, found, wants, &flushed);
  guint n_left = n_wants > 0 ? pv_index_find_recent (self->index, wants, n_wants) : 0;

  if (n_left > 0)
    {
      pv_index_wants_sort (wants, n_left);
      if (!find_in_database (self, wants, n_left, flushed, error))
        return FALSE;
      pv_index_remember (self->index, wants, n_left);
    }
  for (guint i = 0; i < n_wants; i++)
    {
      found[wants[i].index] = wants[i].found && wants[i].state == PV_PACK_LIVE;
      locations[wants[i].index] = wants[i].location;
    }
  return TRUE;
}

gboolean
pv_index_writer_lookup_many (PvIndexWriter *self, const PvName *names, guint n, PvLocation *locations, gboolean *found,
                             GError **error)
{
  for (guint at = 0; at < n; at += PV_INDEX_SLICE)
    if (!lookup_slice (self, names + at, MIN (PV_INDEX_SLICE, n - at), locations + at, found + at, error))
      return FALSE;
  return TRUE;
}

gboolean
pv_index_writer_lookup (PvIndexWriter *self, const PvName *name, PvLocation *location, GError **error)
{
  gboolean found = FALSE;

  return pv_index_writer_lookup_many (self, name, 1, location, &found, error) && found;
}

/* --- the commit --------------------------------------------------------------------------------------------------- */

/* Takes the packs relied on back from condemnation. */
static gboolean
take_back_packs (PvIndexWriter *self, PvDatabase *database, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  GHashTableIter iter;
  gpointer key;

  if (!pv_query_prepare (&query, database, "UPDATE pack SET state = 0, epoch = 0 WHERE number = ?1"
                                           " AND (writer IS NULL OR writer = ?2)", error))
    return FALSE;
  g_hash_table_iter_init (&iter, self->relied);
  while (g_hash_table_iter_next (&iter, &key, NULL))
    {
      pv_query_bind_int (&query, 1, GPOINTER_TO_UINT (key));
      pv_query_bind_int (&query, 2, (gint64) self->id);
      if (!pv_query_run (&query, error))
        return FALSE;
      if (pv_database_changes (database) != 1)
        return pv_throw (error, PV_ERROR_BUSY, "pack number %u, which the snapshot relies on, was removed meanwhile;"
                                               " take the snapshot again", GPOINTER_TO_UINT (key));
    }
  return TRUE;
}

static gboolean
list_snapshot (PvDatabase *database, const PvSnapshotRow *snapshot, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gsize size;
  gconstpointer object = g_bytes_get_data (snapshot->object, &size);

  if (!pv_query_prepare (&query, database, "INSERT INTO snapshot (id, domain, name, time, stored_size, object)"
                                           " VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING", error))
    return FALSE;
  pv_query_bind_name (&query, 1, &snapshot->id);
  pv_query_bind_text (&query, 2, snapshot->domain);
  pv_query_bind_text (&query, 3, snapshot->name);
  pv_query_bind_int (&query, 4, snapshot->time);
  pv_query_bind_int (&query, 5, (gint64) snapshot->stored_size);
  pv_query_bind_blob (&query, 6, object, size);
  if (!pv_query_run (&query, error))
    return FALSE;
  return pv_database_changes (database) == 1
         || pv_throw (error, PV_ERROR_EXISTS, "there is a snapshot '%s@%s' already", snapshot->domain, snapshot->name);
}

static gboolean
run_for_writer (PvDatabase *database, const char *sql, guint64 id, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&query, database, sql, error))
    return FALSE;
  pv_query_bind_int (&query, 1, (gint64) id);
  return pv_query_run (&query, error);
}

/* Makes what is pending part of the index. */
static gboolean
list_pending (PvIndexWriter *self, PvDatabase *database, GError **error)
{
  g_autoptr(PvFilter) filter = NULL;
  PvSegment segment;

  return (pv_entry_table_size (self->table) == 0
          || write_table (self, database, PV_SEGMENT_LISTED, &segment, &filter, error))
         && run_for_writer (database, "UPDATE segment SET state = 1, writer = NULL WHERE writer = ?1", self->id, error)
         && run_for_writer (database, "UPDATE pack SET writer = NULL WHERE writer = ?1", self->id, error)
         && run_for_writer (database, "DELETE FROM writer WHERE id = ?1", self->id, error)
         && pv_index_changed (database, error);
}

static gboolean
commit (PvIndexWriter *self, const PvSnapshotRow *snapshot, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;

  return pv_index_use (&use, self->index, error)
         && pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_DURABLE, error)
         && check_registered (self, use.database, error) && take_back_packs (self, use.database, error)
         && (snapshot == NULL || list_snapshot (use.database, snapshot, error))
         && list_pending (self, use.database, error) && pv_transaction_commit (&transaction, error);
}

gboolean
pv_index_writer_commit (PvIndexWriter *self, const PvSnapshotRow *snapshot, GError **error)
{
  PvMergeOptions merge = { .fan_out = PV_MERGE_FAN_OUT };
  g_autoptr(GError) local = NULL;
  guint64 n_added = 0;

  g_return_val_if_fail (!self->committed, FALSE);
  for (guint i = 0; i < self->packs->len; i++)
    {
      const OwnPack *pack = &g_array_index (self->packs, OwnPack, i);

      g_return_val_if_fail (pack->n_added == pack->n_objects, FALSE);
      n_added += pack->n_added;
    }
  if (!commit (self, snapshot, error))
    return FALSE;
  self->committed = TRUE;
  /* From here on nothing that fails can take the snapshot back. */
  merge.budget = COMMIT_MERGE (n_added);
  if (!pv_index_merge (self->index, &merge, &local) || !pv_index_mend_filter (self->index, FALSE, &local))
    g_debug ("index: left for later: %s", local->message);
  return TRUE;
}
