/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "index/index-private.h"
#include "util/error.h"

#define SNAPSHOT_COLUMNS "id, domain, name, time, stored_size, object"

void
pv_snapshot_row_free (PvSnapshotRow *row)
{
  if (row == NULL)
    return;
  g_free (row->domain);
  g_free (row->name);
  g_clear_pointer (&row->object, g_bytes_unref);
  g_free (row);
}

/* Texts as they were put in: a NUL inside would cut a name short. */
static gboolean
read_text (PvQuery *query, int column, char **text, GError **error)
{
  gsize size;
  const char *data = pv_query_text (query, column);

  pv_query_blob (query, column, &size);
  if (data == NULL || strlen (data) != size || !g_utf8_validate (data, (gssize) size, NULL))
    return pv_corrupt (error, "index: a snapshot has a garbled name");
  *text = g_strdup (data);
  return TRUE;
}

static PvSnapshotRow *
read_snapshot (PvQuery *query, GError **error)
{
  g_autoptr(PvSnapshotRow) row = g_new0 (PvSnapshotRow, 1);
  gconstpointer data;
  gsize size;

  if (!pv_query_name (query, 0, &row->id, error) || !read_text (query, 1, &row->domain, error)
      || !read_text (query, 2, &row->name, error)
      || !pv_query_uint (query, 4, G_MAXINT64, "a snapshot's size", &row->stored_size, error))
    return NULL;
  row->time = pv_query_int (query, 3);
  data = pv_query_blob (query, 5, &size);
  row->object = g_bytes_new (data, size);
  return g_steal_pointer (&row);
}

GPtrArray *
pv_index_snapshots (PvIndex *self, const char *domain, GError **error)
{
  g_autoptr(GPtrArray) rows = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_row_free);
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_index_use (&use, self, error)
      || !pv_query_prepare (&query, use.database, "SELECT " SNAPSHOT_COLUMNS " FROM snapshot WHERE domain = ?1"
                                                  " OR ?1 IS NULL ORDER BY time, number", error))
    return NULL;
  if (domain != NULL)
    pv_query_bind_text (&query, 1, domain);
  for (;;)
    {
      PvSnapshotRow *row;

      if (!pv_query_row (&query, &found, error))
        return NULL;
      if (!found)
        return g_steal_pointer (&rows);
      row = read_snapshot (&query, error);
      if (row == NULL)
        return NULL;
      g_ptr_array_add (rows, row);
    }
}

static gboolean
throw_not_found (const char *domain, const char *name, GError **error)
{
  return pv_throw (error, PV_ERROR_NOT_FOUND, "there is no snapshot '%s@%s'", domain, name);
}

PvSnapshotRow *
pv_index_snapshot (PvIndex *self, const char *domain, const char *name, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_index_use (&use, self, error)
      || !pv_query_prepare (&query, use.database, "SELECT " SNAPSHOT_COLUMNS " FROM snapshot"
                                                  " WHERE domain = ?1 AND name = ?2", error))
    return NULL;
  pv_query_bind_text (&query, 1, domain);
  pv_query_bind_text (&query, 2, name);
  if (!pv_query_row (&query, &found, error))
    return NULL;
  if (!found)
    {
      throw_not_found (domain, name, error);
      return NULL;
    }
  return read_snapshot (&query, error);
}

gboolean
pv_index_delete_snapshot (PvIndex *self, const char *domain, const char *name, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;

  if (!pv_index_use (&use, self, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_DURABLE, error)
      || !pv_query_prepare (&query, use.database, "DELETE FROM snapshot WHERE domain = ?1 AND name = ?2", error))
    return FALSE;
  pv_query_bind_text (&query, 1, domain);
  pv_query_bind_text (&query, 2, name);
  if (!pv_query_run (&query, error))
    return FALSE;
  if (pv_database_changes (use.database) == 0)
    return throw_not_found (domain, name, error);
  return pv_transaction_commit (&transaction, error);
}
