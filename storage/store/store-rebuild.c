/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rebuilding the index: a new one in a scratch directory, filled from packs and snapshot objects, put in the place of
 * the old one. */
#include "config.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "pack/pack-reader.h"
#include "store/damage.h"
#include "store/marks.h"
#include "store/pack-source.h"
#include "store/store-format.h"
#include "store/store-private.h"
#include "util/error.h"

typedef struct
{
  PvStore *store;          /* (owned): without an index until the new one is there */
  PvStoreScratch *scratch; /* (owned): the new index is in it */
  GPtrArray *dropped;
  PvStoreProgressFunc progress;
  gpointer progress_data;
  GCancellable *cancellable;
} Rebuild;

static void
rebuild_clear (Rebuild *r)
{
  pv_store_scratch_free (r->scratch);
  g_clear_pointer (&r->store, pv_store_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Rebuild, rebuild_clear)

static void
report (Rebuild *r, const char *phase, guint64 done, guint64 total)
{
  if (r->progress != NULL)
    r->progress (phase, done, total, r->progress_data);
}

static gboolean
check_cancelled (Rebuild *r, GError **error)
{
  return !g_cancellable_is_cancelled (r->cancellable) || pv_throw (error, PV_ERROR_CANCELLED, "stopped");
}

/* Names of the files in @directory that are called like objects (element-type PvName), sorted. */
static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, sizeof (PvName));
}

static void
list_objects (const char *directory, GArray *names)
{
  g_autoptr(GDir) dir = g_dir_open (directory, 0, NULL);
  const char *file;
  PvName name;

  while (dir != NULL && (file = g_dir_read_name (dir)) != NULL)
    if (pv_name_from_hex (file, &name, NULL))
      g_array_append_val (names, name);
  g_array_sort (names, compare_names);
}

/* --- packs -------------------------------------------------------------------------------------------------------- */

/* Says so, and puts the file aside, where gc does not take it for garbage. */
static gboolean
leave_out (Rebuild *r, const char *what, const char *path, const GError *why, GError **error)
{
  g_autofree char *aside = g_strconcat (path, ".left-out", NULL);

  g_ptr_array_add (r->dropped, g_strdup_printf ("%s is left out: %s", what, why->message));
  return pv_rename (path, aside, error);
}

/* A pack that is damaged is left out; what it takes along is seen when snapshots are walked. */
static gboolean
add_pack (Rebuild *r, PvIndexWriter *writer, const PvName *name, GError **error)
{
  g_autofree char *path = pv_store_pack_path (r->store, name);
  g_autoptr(GError) why = NULL;
  g_autoptr(PvPackReader) pack = pv_pack_reader_open (path, name, &why);
  gboolean readable = pack != NULL && pv_pack_reader_unlock (pack, r->store->key, &why);

  if (pack != NULL && !readable && r->store->key == NULL)
    why->code = PV_ERROR_CORRUPT; /* an encrypted pack in a plain store */
  if (readable)
    return pv_pack_source_list (writer, name, pv_pack_reader_size (pack), pv_pack_reader_table (pack), error);
  if (pv_is_damage (why))
    return leave_out (r, "a pack", path, why, error);
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

static gboolean
add_packs (Rebuild *r, GError **error)
{
  g_autoptr(GArray) names = g_array_new (FALSE, FALSE, sizeof (PvName));
  g_autoptr(PvIndexWriter) writer = NULL;

  for (guint i = 0; i < 256; i++)
    {
      g_autofree char *directory = g_strdup_printf ("%s/%02x", r->store->packs, i);

      list_objects (directory, names);
    }
  writer = pv_index_writer_begin (r->store->index, pv_store_scratch_lock_path (r->scratch), error);
  if (writer == NULL)
    return FALSE;
  for (guint i = 0; i < names->len; i++)
    {
      report (r, "packs", i, names->len);
      if (!check_cancelled (r, error) || !add_pack (r, writer, &g_array_index (names, PvName, i), error))
        return FALSE;
    }
  report (r, "packs", names->len, names->len);
  return pv_index_writer_commit (writer, NULL, error);
}

/* --- snapshots ---------------------------------------------------------------------------------------------------- */

static gint
compare_times (gconstpointer a, gconstpointer b)
{
  gint64 ta = pv_snapshot_time (*(PvSnapshot *const *) a);
  gint64 tb = pv_snapshot_time (*(PvSnapshot *const *) b);

  return ta < tb ? -1 : ta > tb ? 1 : 0;
}

static PvSnapshot *
read_snapshot (Rebuild *r, const char *path, const PvName *id, GError **error)
{
  g_autoptr(GBytes) bytes = pv_read_file (path, PV_SNAPSHOT_OBJECT_MAX, error);
  g_autoptr(PvSnapshot) snapshot = bytes != NULL ? pv_store_parse_snapshot (r->store, bytes, 0, error) : NULL;

  if (snapshot != NULL && !pv_name_equal (pv_snapshot_id (snapshot), id))
    {
      pv_corrupt (error, "it is not what its name says");
      return NULL;
    }
  return g_steal_pointer (&snapshot);
}

/* (nullable): all snapshot objects that can be read, oldest first (element-type PvSnapshot). */
static GPtrArray *
read_snapshots (Rebuild *r, GError **error)
{
  g_autoptr(GPtrArray) snapshots = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_unref);
  g_autoptr(GArray) ids = g_array_new (FALSE, FALSE, sizeof (PvName));

  list_objects (r->store->snapshots, ids);
  for (guint i = 0; i < ids->len; i++)
    {
      const PvName *id = &g_array_index (ids, PvName, i);
      g_autofree char *path = pv_store_snapshot_path (r->store, id);
      g_autoptr(GError) why = NULL;
      PvSnapshot *snapshot = read_snapshot (r, path, id, &why);

      if (snapshot != NULL)
        g_ptr_array_add (snapshots, snapshot);
      else if (!pv_is_damage (why))
        return g_propagate_error (error, g_steal_pointer (&why)), NULL;
      else if (!leave_out (r, "a snapshot object", path, why, error))
        return NULL;
    }
  g_ptr_array_sort (snapshots, compare_times);
  return g_steal_pointer (&snapshots);
}

/* What a snapshot added to the store when it was made is not written anywhere: it is taken to be what no older one
 * refers to. */
static gboolean
count_object (const PvLocation *location, gpointer data, GError **error)
{
  gpointer *pair = data;
  double *bytes = pair[1];
  PvStore *store = pair[0];
  g_autoptr(PvPackTable) pack = pv_object_reader_table (store->reader, location->pack, NULL);
  PvPackFrame frame;

  if (pack != NULL && pv_pack_table_frame (pack, location->frame, &frame, NULL))
    *bytes += (double) frame.stored_size / frame.n_slots + sizeof (PvName);
  return TRUE;
}

static gboolean
list_snapshot (Rebuild *r, PvSnapshot *snapshot, guint64 stored_size, GError **error)
{
  g_autoptr(GBytes) bytes = pv_snapshot_serialize (snapshot);
  g_autofree char *domain = pv_store_index_domain (r->store, pv_snapshot_domain (snapshot));
  g_autofree char *name = pv_store_index_name (r->store, pv_snapshot_domain (snapshot), pv_snapshot_name (snapshot));
  PvSnapshotRow row = { .id = *pv_snapshot_id (snapshot),
                        .domain = domain,
                        .name = name,
                        .time = pv_snapshot_time (snapshot),
                        .stored_size = stored_size + g_bytes_get_size (bytes),
                        .object = bytes };
  g_autoptr(PvIndexWriter) writer = pv_index_writer_begin (r->store->index, pv_store_scratch_lock_path (r->scratch),
                                                           error);

  return writer != NULL && pv_index_writer_commit (writer, &row, error);
}

/* FALSE with an error that pv_is_damage() when the snapshot is not complete. @bytes: (out): what only it refers to so
 * far. */
static gboolean
add_snapshot (Rebuild *r, PvMarks *marks, PvSnapshot *snapshot, double *bytes, GError **error)
{
  guint64 missing = pv_marks_n_missing (marks);

  *bytes = 0;
  if (!pv_marks_add_snapshot (marks, snapshot, r->cancellable, error))
    return FALSE;
  missing = pv_marks_n_missing (marks) - missing;
  if (missing > 0)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "%" G_GUINT64_FORMAT " chunks are missing", missing);
  return list_snapshot (r, snapshot, (guint64) *bytes, error);
}

static gboolean
add_snapshots (Rebuild *r, GError **error)
{
  g_autoptr(GPtrArray) snapshots = read_snapshots (r, error);
  g_autoptr(PvMarks) marks = pv_marks_new (r->store->index, r->store->reader);
  double bytes = 0;
  gpointer pair[] = { r->store, &bytes };

  pv_marks_set_func (marks, count_object, pair);
  for (guint i = 0; snapshots != NULL && i < snapshots->len; i++)
    {
      PvSnapshot *snapshot = snapshots->pdata[i];
      g_autofree char *path = pv_store_snapshot_path (r->store, pv_snapshot_id (snapshot));
      g_autoptr(GError) why = NULL;

      report (r, "snapshots", i, snapshots->len);
      if (!check_cancelled (r, error))
        return FALSE;
      if (add_snapshot (r, marks, snapshot, &bytes, &why))
        continue;
      if (!pv_is_damage (why) && !g_error_matches (why, PV_ERROR, PV_ERROR_EXISTS))
        return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
      if (!leave_out (r, pv_snapshot_full_name (snapshot), path, why, error))
        return FALSE;
    }
  return snapshots != NULL;
}

/* --- the whole ---------------------------------------------------------------------------------------------------- */

gboolean
pv_store_rebuild_index (const char *directory, GPtrArray *dropped, PvStoreProgressFunc progress, gpointer data,
                        GCancellable *cancellable, GError **error)
{
  g_auto(Rebuild) r = { .dropped = dropped, .progress = progress, .progress_data = data, .cancellable = cancellable };
  g_auto(PvFd) guard = PV_FD_NONE;

  r.store = pv_store_open_without_index (directory, error);
  if (r.store == NULL)
    return FALSE;
  r.scratch = pv_store_scratch_new_named (r.store, "index", error);
  if (r.scratch == NULL)
    return FALSE;
  guard = pv_store_lock (r.store, LOCK_EX | LOCK_NB, error);
  if (guard < 0 || !pv_store_scratch_alone (r.store, r.scratch, error))
    {
      g_prefix_error (error, "the store is in use: ");
      return FALSE;
    }
  r.store->index = pv_index_open (pv_store_scratch_path (r.scratch), TRUE, error);
  if (r.store->index == NULL)
    return FALSE;
  r.store->reader = pv_object_reader_new (r.store->index, r.store->packs, r.store->key);
  if (!add_packs (&r, error) || !add_snapshots (&r, error))
    return FALSE;
  g_clear_pointer (&r.store->reader, pv_object_reader_free);
  g_clear_pointer (&r.store->index, pv_index_unref);
  return pv_index_replace (pv_store_scratch_path (r.scratch), r.store->directory, error);
}
