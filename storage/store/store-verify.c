/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Verifying: every byte of every file is looked at, then every tree is walked to see which snapshots what was found
 * hits. */
#include "config.h"

#include <string.h>

#include "pack/pack-reader.h"
#include "store/damage.h"
#include "store/store-format.h"
#include "store/store-private.h"
#include "store/workers.h"
#include "util/error.h"

enum
{
  N_THREADS_MAX = 8,
};

typedef struct
{
  PvStore *store;
  PvObjectReader *reader; /* (owned): with caches of its own: what is on disk counts */
  PvDamageMap *map;       /* (owned) */
  PvVerifyResult *result;
  PvStoreProgressFunc progress;
  gpointer progress_data;
  GCancellable *cancellable;
  GMutex lock;
  GCond done_one;
  guint n_left;           /* packs; under lock */
  guint64 done_bytes;     /* under lock */
  GError *error;          /* the first; under lock */
} Verify;

static void
verify_clear (Verify *v)
{
  pv_damage_map_free (v->map);
  pv_object_reader_free (v->reader);
  g_mutex_clear (&v->lock);
  g_cond_clear (&v->done_one);
  g_clear_error (&v->error);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Verify, verify_clear)

void
pv_verify_result_clear (PvVerifyResult *self)
{
  g_clear_pointer (&self->damaged, g_ptr_array_unref);
}

static void
report (Verify *v, const char *phase, guint64 done, guint64 total)
{
  if (v->progress != NULL)
    v->progress (phase, done, total, v->progress_data);
}

/* --- format and index --------------------------------------------------------------------------------------------- */

static void
verify_format (Verify *v)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = pv_read_file (v->store->format, PV_STORE_FORMAT_MAX, &error);
  PvStoreFormat format;

  if (bytes != NULL)
    v->result->checked_bytes += g_bytes_get_size (bytes);
  if (bytes == NULL || !pv_store_format_parse (bytes, &format, &error))
    pv_damage_map_report (v->map, "format marker", error->message);
}

static gboolean
is_corrupt (const GError *error)
{
  return g_error_matches (error, PV_ERROR, PV_ERROR_CORRUPT);
}

/* Damage is reported; FALSE only when it could not be looked at. */
static gboolean
verify_index (Verify *v, GError **error)
{
  g_autoptr(GPtrArray) sentences = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) why = NULL;
  PvIndexStats stats;
  gboolean ok;

  report (v, "index", 0, 1);
  ok = pv_index_stats (v->store->index, &stats, &why) && pv_index_verify (v->store->index, sentences, &why);
  for (guint i = 0; i < sentences->len; i++)
    pv_damage_map_report (v->map, "index", sentences->pdata[i]);
  if (ok)
    v->result->checked_bytes += stats.size;
  else if (is_corrupt (why))
    pv_damage_map_report (v->map, "index", why->message);
  else
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  report (v, "index", 1, 1);
  return TRUE;
}

/* --- packs -------------------------------------------------------------------------------------------------------- */

typedef struct
{
  Verify *v;
  const PvPackRow *row;
  PvDamage *damage; /* (nullable) */
  char *what;
} PackDamage;

static void
on_damaged_object (const PvName *object, guint32 frame, const char *why, gpointer data)
{
  PackDamage *pack = data;
  g_autofree char *sentence = g_strdup_printf ("frame %u: %s", frame, why);

  pack->damage = pv_damage_map_report (pack->v->map, pack->what, sentence);
  pv_damage_map_lose_object (pack->v->map, pack->row->number, object, pack->damage);
}

static void
lose_pack (PackDamage *pack, const char *why)
{
  pv_damage_map_lose_pack (pack->v->map, pack->row->number, pv_damage_map_report (pack->v->map, pack->what, why));
}

static gboolean
is_listed (Verify *v, guint32 number)
{
  PvPackRow row;

  return pv_index_pack (v->store->index, number, &row, NULL);
}

static void
verify_pack (Verify *v, const PvPackRow *row)
{
  g_autofree char *hex = pv_name_to_hex (&row->name);
  g_autofree char *path = pv_store_pack_path (v->store, &row->name);
  g_autofree char *what = g_strdup_printf ("pack %s", hex);
  g_autoptr(PvNamer) namer = pv_namer_new (pv_store_key_for_names (v->store->key));
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPackReader) pack = pv_pack_reader_open (path, &row->name, &error);
  PackDamage damage = { .v = v, .row = row, .what = what };

  if (pack == NULL && !is_listed (v, row->number))
    return; /* gc removed it meanwhile */
  if (pack == NULL)
    lose_pack (&damage, error->message);
  else if (pv_pack_reader_size (pack) != row->size || pv_pack_reader_n_objects (pack) != row->n_objects)
    lose_pack (&damage, "it has not the size that the index says");
  else if (!pv_pack_reader_unlock (pack, v->store->key, &error)
           || !pv_pack_reader_verify (pack, namer, NULL, on_damaged_object, &damage, &error))
    lose_pack (&damage, error->message);
}

static void
pack_worker (gpointer data, gpointer user_data)
{
  const PvPackRow *row = data;
  Verify *v = user_data;

  if (!g_cancellable_is_cancelled (v->cancellable))
    verify_pack (v, row);
  g_mutex_lock (&v->lock);
  v->n_left--;
  v->done_bytes += row->size;
  g_cond_signal (&v->done_one);
  g_mutex_unlock (&v->lock);
}

static gboolean
verify_packs (Verify *v, GArray *packs, GError **error)
{
  guint64 total = 0;
  g_autoptr(PvWorkers) workers = pv_workers_new ("verify", MIN (g_get_num_processors (), N_THREADS_MAX), pack_worker, v,
                                                 error);

  if (workers == NULL)
    return FALSE;
  v->n_left = packs->len;
  for (guint i = 0; i < packs->len; i++)
    {
      total += g_array_index (packs, PvPackRow, i).size;
      pv_workers_push (workers, &g_array_index (packs, PvPackRow, i));
    }
  g_mutex_lock (&v->lock);
  while (v->n_left > 0)
    {
      g_cond_wait (&v->done_one, &v->lock);
      report (v, "packs", v->done_bytes, total);
    }
  g_mutex_unlock (&v->lock);
  v->result->checked_bytes += total;
  return !g_cancellable_is_cancelled (v->cancellable) || pv_throw (error, PV_ERROR_CANCELLED, "stopped");
}

/* --- snapshots ---------------------------------------------------------------------------------------------------- */

static PvSnapshot *
parse_as (Verify *v, GBytes *bytes, const PvSnapshotRow *row, GError **error)
{
  g_autoptr(PvSnapshot) snapshot = pv_store_parse_snapshot (v->store, bytes, row->stored_size, error);

  if (snapshot == NULL)
    return NULL;
  if (!pv_store_row_is_of (v->store, row, snapshot))
    {
      pv_corrupt (error, "it is not what its name says");
      return NULL;
    }
  return g_steal_pointer (&snapshot);
}

/* The object is there twice, as a file and in the index: both are looked at, either will do for the walk. */
static gboolean
verify_snapshot (Verify *v, const PvSnapshotRow *row, GError **error)
{
  g_autofree char *full_name = NULL, *what = NULL;
  g_autofree char *path = pv_store_snapshot_path (v->store, &row->id);
  g_autoptr(GError) file_error = NULL;
  g_autoptr(GError) row_error = NULL;
  g_autoptr(GBytes) bytes = pv_read_file (path, PV_SNAPSHOT_OBJECT_MAX, &file_error);
  g_autoptr(PvSnapshot) from_file = bytes != NULL ? parse_as (v, bytes, row, &file_error) : NULL;
  g_autoptr(PvSnapshot) from_row = parse_as (v, row->object, row, &row_error);
  PvSnapshot *either = from_file != NULL ? from_file : from_row;
  g_autoptr(PvSnapshotRow) again = NULL;

  /* in an encrypted store the row itself tells no names */
  full_name = either != NULL ? g_strdup (pv_snapshot_full_name (either))
                             : g_strdup_printf ("%s@%s", row->domain, row->name);
  what = g_strdup_printf ("snapshot %s", full_name);
  if (bytes != NULL)
    v->result->checked_bytes += g_bytes_get_size (bytes);
  if (from_file == NULL && (again = pv_index_snapshot (v->store->index, row->domain, row->name, NULL)) == NULL)
    return TRUE; /* deleted meanwhile */
  if (from_file == NULL)
    {
      g_prefix_error (&file_error, "its object '%s': ", path);
      pv_damage_map_hit (v->map, pv_damage_map_report (v->map, what, file_error->message), full_name);
    }
  if (from_row == NULL)
    {
      g_prefix_error (&row_error, "its row in the index: ");
      pv_damage_map_hit (v->map, pv_damage_map_report (v->map, what, row_error->message), full_name);
    }
  return either == NULL || pv_damage_map_add_snapshot (v->map, either, v->cancellable, error);
}

static gboolean
verify_snapshots (Verify *v, GError **error)
{
  g_autoptr(GPtrArray) rows = pv_index_snapshots (v->store->index, NULL, error);

  if (rows == NULL)
    return FALSE;
  for (guint i = 0; i < rows->len; i++)
    {
      report (v, "snapshots", i, rows->len);
      if (!verify_snapshot (v, rows->pdata[i], error))
        return FALSE;
    }
  report (v, "snapshots", rows->len, rows->len);
  return TRUE;
}

static gboolean
verify_all (Verify *v, GError **error)
{
  g_autoptr(GArray) packs = NULL;

  verify_format (v);
  if (!verify_index (v, error))
    return FALSE;
  packs = pv_index_packs (v->store->index, error);
  return packs != NULL && verify_packs (v, packs, error) && verify_snapshots (v, error);
}

gboolean
pv_store_verify (PvStore *self, PvVerifyResult *result, PvStoreProgressFunc progress, gpointer data,
                 GCancellable *cancellable, GError **error)
{
  g_auto(Verify) v = { .store = self, .result = result, .progress = progress, .progress_data = data,
                       .cancellable = cancellable };
  g_autoptr(GError) why = NULL;
  gboolean ok;

  g_mutex_init (&v.lock);
  g_cond_init (&v.done_one);
  result->checked_bytes = 0;
  result->damaged = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_damage_free);
  v.reader = pv_object_reader_new (self->index, self->packs, self->key);
  v.map = pv_damage_map_new (self->index, v.reader, result->damaged);
  ok = verify_all (&v, &why);
  if (!ok && is_corrupt (why))
    {
      /* The index is so damaged that the rest cannot be found through it. */
      pv_damage_map_report (v.map, "index", why->message);
      g_clear_error (&why);
      ok = TRUE;
    }
  pv_damage_map_finish (v.map);
  if (ok)
    return TRUE;
  pv_verify_result_clear (result);
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}
