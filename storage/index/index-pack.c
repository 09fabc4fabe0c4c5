/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/index-private.h"
#include "util/error.h"

#define PACK_COLUMNS "number, name, size, n_objects, state, writer IS NOT NULL"

static gboolean
read_pack (PvQuery *query, PvPackRow *row, GError **error)
{
  guint64 number, state;

  if (!pv_query_uint (query, 0, G_MAXUINT32, "a pack's number", &number, error)
      || !pv_query_name (query, 1, &row->name, error)
      || !pv_query_uint (query, 2, G_MAXINT64, "a pack's size", &row->size, error)
      || !pv_query_uint (query, 3, G_MAXINT64, "a pack's number of objects", &row->n_objects, error)
      || !pv_query_uint (query, 4, PV_PACK_CONDEMNED, "a pack's state", &state, error))
    return FALSE;
  row->number = (guint32) number;
  row->state = pv_query_int (query, 5) != 0 ? PV_PACK_PENDING : (PvPackState) state;
  return TRUE;
}

static gboolean
read_pack_numbered (PvIndex *self, guint32 number, PvPackRow *row, gboolean *found, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_index_use (&use, self, error)
      || !pv_query_prepare (&query, use.database, "SELECT " PACK_COLUMNS " FROM pack WHERE number = ?1", error))
    return FALSE;
  pv_query_bind_int (&query, 1, number);
  return pv_query_row (&query, found, error) && (!*found || read_pack (&query, row, error));
}

gboolean
pv_index_pack (PvIndex *self, guint32 number, PvPackRow *row, GError **error)
{
  gboolean found;

  if (!read_pack_numbered (self, number, row, &found, error))
    return FALSE;
  /* Whoever asks again for the object that led here must not be led here again. */
  return found || (pv_index_refresh (self, error) && FALSE);
}

gboolean
pv_index_pack_by_name (PvIndex *self, const PvName *name, PvPackRow *row, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  /* The same pack can be there more than once: a committed live one is the best answer, a pending one the last. */
  if (!pv_index_use (&use, self, error)
      || !pv_query_prepare (&query, use.database, "SELECT " PACK_COLUMNS " FROM pack WHERE name = ?1"
                                                  " ORDER BY writer IS NOT NULL, state, number LIMIT 1", error))
    return FALSE;
  pv_query_bind_name (&query, 1, name);
  return pv_query_row (&query, &found, error) && found && read_pack (&query, row, error);
}

/* Appends a PvPackRow for each row that is left of @query. */
static gboolean
read_packs (PvQuery *query, GArray *rows, GError **error)
{
  for (;;)
    {
      PvPackRow row;
      gboolean found;

      if (!pv_query_row (query, &found, error))
        return FALSE;
      if (!found)
        return TRUE;
      if (!read_pack (query, &row, error))
        return FALSE;
      g_array_append_val (rows, row);
    }
}

GArray *
pv_index_list_packs (PvDatabase *database, GError **error)
{
  g_autoptr(GArray) rows = g_array_new (FALSE, FALSE, sizeof (PvPackRow));
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&query, database, "SELECT " PACK_COLUMNS " FROM pack WHERE writer IS NULL ORDER BY number",
                         error)
      || !read_packs (&query, rows, error))
    return NULL;
  return g_steal_pointer (&rows);
}

GArray *
pv_index_packs (PvIndex *self, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;

  return pv_index_use (&use, self, error) ? pv_index_list_packs (use.database, error) : NULL;
}

/* --- gc ----------------------------------------------------------------------------------------------------------- */

static gboolean
next_epoch (PvDatabase *database, guint64 *epoch, GError **error)
{
  g_auto(PvQuery) update = PV_QUERY_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_query_prepare (&update, database, "UPDATE state SET epoch = epoch + 1 WHERE id = 1", error)
      || !pv_query_run (&update, error)
      || !pv_query_prepare (&query, database, "SELECT epoch FROM state WHERE id = 1", error)
      || !pv_query_row (&query, &found, error))
    return FALSE;
  if (!found)
    return pv_corrupt (error, "index: its state row is missing; rebuild it");
  return pv_query_uint (&query, 0, G_MAXINT64, "the epoch", epoch, error);
}

static gboolean
set_states (PvDatabase *database, const char *sql, const guint32 *packs, gsize n, guint64 epoch, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&query, database, sql, error))
    return FALSE;
  for (gsize i = 0; i < n; i++)
    {
      pv_query_bind_int (&query, 1, packs[i]);
      if (epoch != 0)
        pv_query_bind_int (&query, 2, (gint64) epoch);
      if (!pv_query_run (&query, error))
        return FALSE;
    }
  return pv_index_changed (database, error);
}

gboolean
pv_index_condemn (PvIndex *self, const guint32 *packs, gsize n, guint64 *epoch, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;

  return pv_index_use (&use, self, error)
         && pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_DURABLE, error)
         && next_epoch (use.database, epoch, error)
         && set_states (use.database, "UPDATE pack SET state = 1, epoch = ?2 WHERE number = ?1 AND state = 0"
                                      " AND writer IS NULL", packs, n, *epoch, error)
         && pv_transaction_commit (&transaction, error);
}

gboolean
pv_index_pardon (PvIndex *self, const guint32 *packs, gsize n, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;

  return pv_index_use (&use, self, error)
         && pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_DURABLE, error)
         && set_states (use.database, "UPDATE pack SET state = 0, epoch = 0 WHERE number = ?1 AND writer IS NULL",
                        packs, n, 0, error)
         && pv_transaction_commit (&transaction, error);
}

gboolean
pv_index_older_writers (PvIndex *self, guint64 epoch, gboolean *waiting, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;

  return pv_index_use (&use, self, error)
         && pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_WRITE, error)
         && pv_index_reap_older (self, use.database, epoch, waiting, error)
         && pv_transaction_commit (&transaction, error);
}

/* The condemned packs of @epoch or earlier: files that are to go. A file is left alone while another row needs it: the
 * same objects, packed in the same order by a later writer, make the same pack again. */
static gboolean
list_retired (PvDatabase *database, guint64 epoch, GArray *rows, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&query, database,
                         "SELECT " PACK_COLUMNS " FROM pack WHERE state = 1 AND writer IS NULL AND epoch <= ?1"
                         " AND NOT EXISTS (SELECT 1 FROM pack AS other WHERE other.name = pack.name"
                         "  AND NOT (other.state = 1 AND other.writer IS NULL AND other.epoch <= ?1))"
                         " GROUP BY name ORDER BY number", error))
    return FALSE;
  pv_query_bind_int (&query, 1, (gint64) epoch);
  return read_packs (&query, rows, error);
}

static gboolean
remove_retired (PvDatabase *database, guint64 epoch, GError **error)
{
  g_auto(PvQuery) count = PV_QUERY_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_query_prepare (&count, database, "UPDATE state SET dead_entries = dead_entries + coalesce ((SELECT"
                                           " sum (n_objects) FROM pack WHERE state = 1 AND writer IS NULL"
                                           " AND epoch <= ?1), 0) WHERE id = 1", error))
    return FALSE;
  pv_query_bind_int (&count, 1, (gint64) epoch);
  if (!pv_query_run (&count, error)
      || !pv_query_prepare (&query, database, "DELETE FROM pack WHERE state = 1 AND writer IS NULL AND epoch <= ?1",
                            error))
    return FALSE;
  pv_query_bind_int (&query, 1, (gint64) epoch);
  return pv_query_run (&query, error) && pv_index_changed (database, error);
}

gboolean
pv_index_retire (PvIndex *self, guint64 epoch, GArray **retired, GError **error)
{
  g_autoptr(GArray) rows = g_array_new (FALSE, FALSE, sizeof (PvPackRow));
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  gboolean waiting;

  *retired = NULL;
  if (!pv_index_use (&use, self, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_DURABLE, error)
      || !pv_index_reap_older (self, use.database, epoch, &waiting, error))
    return FALSE;
  if (waiting)
    return pv_throw (error, PV_ERROR_BUSY, "a snapshot that was begun before is still being written");
  if (!list_retired (use.database, epoch, rows, error) || !remove_retired (use.database, epoch, error)
      || !pv_transaction_commit (&transaction, error))
    return FALSE;
  *retired = g_steal_pointer (&rows);
  return TRUE;
}
