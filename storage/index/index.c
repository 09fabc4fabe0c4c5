/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/index.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "index/index-private.h"
#include "util/error.h"
#include "util/file.h"

#define IDLE_MAX 16 /* connections kept for the next caller */

PvIndex *
pv_index_open (const char *directory, gboolean create, GError **error)
{
  g_autoptr(PvIndex) self = g_new0 (PvIndex, 1);
  g_autoptr(GError) local = NULL;
  PvDatabase *database;

  self->ref_count = 1;
  self->run_max = PV_INDEX_RUN_MAX;
  self->merge_step = PV_MERGE_STEP;
  self->directory = g_canonicalize_filename (directory, NULL);
  self->path = g_build_filename (self->directory, PV_INDEX_FILE, NULL);
  g_mutex_init (&self->lock);
  database = pv_database_open (self->path, &local);
  if (database == NULL && create && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_clear_error (&local);
      if (!pv_database_create (self->path, &local) && !g_error_matches (local, PV_ERROR, PV_ERROR_EXISTS))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return NULL;
        }
      g_clear_error (&local);
      database = pv_database_open (self->path, &local);
    }
  if (database == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return NULL;
    }
  g_queue_push_head (&self->idle, database);
  return g_steal_pointer (&self);
}

PvIndex *
pv_index_ref (PvIndex *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
pv_index_unref (PvIndex *self)
{
  if (self == NULL || !g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_queue_clear_full (&self->idle, (GDestroyNotify) pv_database_free);
  g_clear_pointer (&self->view, pv_index_view_unref);
  g_clear_pointer (&self->filter, pv_filter_unref);
  g_clear_pointer (&self->recent, pv_recent_free);
  g_mutex_clear (&self->lock);
  g_free (self->directory);
  g_free (self->path);
  g_free (self);
}

gboolean
pv_index_replace (const char *from, const char *to, GError **error)
{
  static const char *const stale[] = { PV_INDEX_FILE "-wal", PV_INDEX_FILE "-shm", PV_INDEX_FILTER_FILE };
  g_autofree char *source = g_build_filename (from, PV_INDEX_FILE, NULL);
  g_autofree char *log = g_strconcat (source, "-wal", NULL);
  g_autofree char *target = g_build_filename (to, PV_INDEX_FILE, NULL);
  struct stat st;

  if (stat (log, &st) == 0 && st.st_size > 0)
    return pv_throw (error, PV_ERROR_BUSY, "index '%s' is still open", source);
  for (guint i = 0; i < G_N_ELEMENTS (stale); i++)
    {
      g_autofree char *path = g_build_filename (to, stale[i], NULL);

      if (!pv_unlink (path, error))
        return FALSE;
    }
  return pv_publish (source, target, error);
}

/* --- connections -------------------------------------------------------------------------------------------------- */

gboolean
pv_index_use (PvIndexUse *self, PvIndex *index, GError **error)
{
  self->index = index;
  g_mutex_lock (&index->lock);
  self->database = g_queue_pop_head (&index->idle);
  g_mutex_unlock (&index->lock);
  if (self->database == NULL)
    self->database = pv_database_open (index->path, error);
  return self->database != NULL;
}

void
pv_index_use_clear (PvIndexUse *self)
{
  PvDatabase *database = g_steal_pointer (&self->database);

  if (database == NULL)
    return;
  g_mutex_lock (&self->index->lock);
  if (g_queue_get_length (&self->index->idle) < IDLE_MAX)
    g_queue_push_head (&self->index->idle, g_steal_pointer (&database));
  g_mutex_unlock (&self->index->lock);
  pv_database_free (database);
}

/* --- the view ----------------------------------------------------------------------------------------------------- */

PvIndexView *
pv_index_view_ref (PvIndexView *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

static void
packs_unref (PvIndexViewPacks *self)
{
  if (self == NULL || !g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_free (self->list);
  g_free (self->dense);
  g_free (self);
}

void
pv_index_view_unref (PvIndexView *self)
{
  if (self == NULL || !g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_free (self->segments);
  packs_unref (self->packs);
  g_free (self);
}

gboolean
pv_index_view_pack (const PvIndexView *self, guint32 number, PvPackState *state)
{
  const PvIndexViewPacks *packs = self->packs;
  guint low = 0;
  guint high = packs->n;

  if (packs->dense != NULL)
    {
      guint8 value = number >= packs->first && number - packs->first < packs->n_dense
                       ? packs->dense[number - packs->first] : 0;

      *state = (PvPackState) (value - 1);
      return value != 0;
    }
  while (low < high)
    {
      guint middle = (low + high) / 2;

      if (packs->list[middle].number < number)
        low = middle + 1;
      else
        high = middle;
    }
  if (low == packs->n || packs->list[low].number != number)
    return FALSE;
  *state = packs->list[low].state;
  return TRUE;
}

static gboolean
load_segments (PvIndexView *view, PvDatabase *database, GError **error)
{
  g_autoptr(GArray) rows = pv_segment_list (database, PV_SEGMENT_SELECT "WHERE s.state = 1"
                                                      " ORDER BY s.n_entries DESC, s.id DESC", 0, error);

  if (rows == NULL)
    return FALSE;
  view->n_segments = rows->len;
  view->segments = g_new (PvSegment, rows->len);
  for (guint i = 0; i < rows->len; i++)
    view->segments[i] = g_array_index (rows, PvSegmentRow, i).segment;
  return TRUE;
}

/* @list: (transfer full) (element-type PvIndexViewPack): by number. */
static PvIndexViewPacks *
packs_new (GArray *list)
{
  PvIndexViewPacks *self = g_new0 (PvIndexViewPacks, 1);
  guint64 range;

  self->ref_count = 1;
  self->n = list->len;
  self->list = (PvIndexViewPack *) g_array_free (list, FALSE);
  if (self->n == 0)
    return self;
  self->first = self->list[0].number;
  range = (guint64) self->list[self->n - 1].number - self->first + 1;
  if (range <= 64 * (guint64) self->n + 4096) /* nearly always: a table of bytes is asked faster */
    {
      self->n_dense = (guint32) range;
      self->dense = g_malloc0 (range);
      for (guint i = 0; i < self->n; i++)
        self->dense[self->list[i].number - self->first] = (guint8) (self->list[i].state + 1);
    }
  return self;
}

static gboolean
load_packs (PvIndexView *view, PvDatabase *database, GError **error)
{
  g_autoptr(GArray) packs = g_array_new (FALSE, FALSE, sizeof (PvIndexViewPack));
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_query_prepare (&query, database, "SELECT number, state FROM pack WHERE writer IS NULL ORDER BY number",
                         error))
    return FALSE;
  for (;;)
    {
      PvIndexViewPack pack;
      guint64 number, state;

      if (!pv_query_row (&query, &found, error))
        return FALSE;
      if (!found)
        break;
      if (!pv_query_uint (&query, 0, G_MAXUINT32, "a pack's number", &number, error)
          || !pv_query_uint (&query, 1, PV_PACK_CONDEMNED, "a pack's state", &state, error))
        return FALSE;
      pack = (PvIndexViewPack) { .number = (guint32) number, .state = (PvPackState) state };
      g_array_append_val (packs, pack);
    }
  view->packs = packs_new (g_steal_pointer (&packs));
  return TRUE;
}

static gboolean
read_generation (PvDatabase *database, guint64 *generation, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  gboolean found;

  if (!pv_query_prepare (&query, database, "SELECT generation FROM state WHERE id = 1", error)
      || !pv_query_row (&query, &found, error))
    return FALSE;
  if (!found)
    return pv_corrupt (error, "index: its state row is missing; rebuild it");
  return pv_query_uint (&query, 0, G_MAXINT64, "the generation", generation, error);
}

void
pv_index_keep_view (PvIndex *self, PvIndexView *view)
{
  g_mutex_lock (&self->lock);
  if (self->view == NULL || self->view->generation < view->generation)
    {
      g_clear_pointer (&self->view, pv_index_view_unref);
      self->view = pv_index_view_ref (view);
    }
  g_mutex_unlock (&self->lock);
}

PvIndexView *
pv_index_view (PvIndex *self, PvDatabase *database, GError **error)
{
  g_autoptr(PvIndexView) view = NULL;
  guint64 generation;

  if (!read_generation (database, &generation, error))
    return NULL;
  g_mutex_lock (&self->lock);
  if (self->view != NULL && self->view->generation == generation)
    view = pv_index_view_ref (self->view);
  g_mutex_unlock (&self->lock);
  if (view != NULL)
    return g_steal_pointer (&view);

  view = g_new0 (PvIndexView, 1);
  view->ref_count = 1;
  view->generation = generation;
  if (!load_segments (view, database, error) || !load_packs (view, database, error))
    return NULL;
  pv_index_keep_view (self, view);
  return g_steal_pointer (&view);
}

gboolean
pv_index_refresh (PvIndex *self, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_autoptr(PvIndexView) view = NULL;

  if (!pv_index_use (&use, self, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_READ, error))
    return FALSE;
  view = pv_index_view (self, use.database, error);
  return view != NULL;
}

gboolean
pv_index_changed (PvDatabase *database, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;

  return pv_query_prepare (&query, database, "UPDATE state SET generation = generation + 1 WHERE id = 1", error)
         && pv_query_run (&query, error);
}

gboolean
pv_index_segments_changed (PvDatabase *database, const PvIndexView *view, PvIndexView **next, GError **error)
{
  g_autoptr(PvIndexView) made = g_new0 (PvIndexView, 1);

  made->ref_count = 1;
  made->generation = view->generation + 1;
  made->packs = view->packs;
  g_atomic_int_inc (&made->packs->ref_count);
  if (!pv_index_changed (database, error) || !load_segments (made, database, error))
    return FALSE;
  *next = g_steal_pointer (&made);
  return TRUE;
}
