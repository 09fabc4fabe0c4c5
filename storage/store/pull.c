/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/pull.h"

#include "pack/pack-reader.h"
#include "store/marks.h"
#include "store/pack-source.h"
#include "store/publish.h"
#include "store/pull-fetch.h"
#include "util/error.h"

#define SLICE 512u /* names looked up at once */

typedef struct
{
  PvStore *store;
  PvMirror *mirror;
  PvMarks *marks;          /* (owned): of the mirror's index */
  PvStoreScratch *scratch; /* (owned) */
  PvIndexWriter *index;    /* (owned): of the store */
  GArray *wanted;          /* (owned): of PvRemotePack: packs to fetch */
  GHashTable *seen;        /* (owned): of PvName (owned): packs to fetch: an index may list one twice */
  GArray *sealed;          /* (owned): of PvSealedPack: they are here */
  PvName names[SLICE];
  guint n_names;
} Pull;

static void
sealed_clear (gpointer data)
{
  g_free (((PvSealedPack *) data)->path);
}

static void
pull_free (Pull *self)
{
  pv_marks_free (self->marks);
  pv_index_writer_free (self->index);
  pv_store_scratch_free (self->scratch);
  g_array_unref (self->wanted);
  g_hash_table_unref (self->seen);
  g_array_unref (self->sealed);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Pull, pull_free)

/* --- what to fetch ------------------------------------------------------------------------------------------------ */

/* FALSE in @all when the store lacks one of the chunks collected. Those that it has are relied upon, which does no harm
 * should their pack be fetched after all. */
static gboolean
look_up (Pull *self, gboolean *all, GError **error)
{
  g_autofree PvLocation *locations = g_new (PvLocation, SLICE);
  gboolean found[SLICE];
  guint n = self->n_names;

  self->n_names = 0;
  if (n == 0)
    return TRUE;
  if (!pv_index_writer_lookup_many (self->index, self->names, n, locations, found, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (found[i])
      pv_index_writer_rely (self->index, locations[i].pack);
    else
      *all = FALSE;
  return TRUE;
}

/* Whether the store has all marked objects of the mirror's pack @number elsewhere: chunks only, see push-plan.c. */
static gboolean
has_elsewhere (Pull *self, guint32 number, PvPackTable *table, gboolean *all, GError **error)
{
  PvLocation at = { .pack = number };

  *all = TRUE;
  for (at.frame = 0; *all && at.frame < pv_pack_table_n_frames (table); at.frame++)
    {
      PvPackFrame frame;

      if (!pv_pack_table_frame (table, at.frame, &frame, error))
        return FALSE;
      for (at.slot = 0; *all && at.slot < frame.n_slots; at.slot++)
        {
          if (!pv_marks_contains (self->marks, &at))
            continue;
          if (frame.kind == PV_FRAME_KIND_NODES)
            *all = FALSE;
          else
            self->names[self->n_names++] = frame.names[at.slot];
          if (self->n_names == SLICE && !look_up (self, all, error))
            return FALSE;
        }
    }
  if (!*all)
    self->n_names = 0;
  return look_up (self, all, error);
}

static gboolean
plan_pack (Pull *self, const PvPackRow *pack, GError **error)
{
  PvRemotePack wanted = { .name = pack->name, .size = pack->size };
  g_autoptr(PvPackTable) table = NULL;
  g_autoptr(GError) why = NULL;
  gboolean elsewhere;
  PvPackRow here;

  if (pv_index_pack_by_name (self->store->index, &pack->name, &here, &why) && here.state == PV_PACK_LIVE)
    {
      pv_index_writer_rely (self->index, here.number);
      return TRUE;
    }
  if (why != NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  table = pv_mirror_table (self->mirror, &pack->name, pack->size, NULL, error);
  if (table == NULL || !has_elsewhere (self, pack->number, table, &elsewhere, error))
    return FALSE;
  if (!elsewhere && g_hash_table_add (self->seen, g_memdup2 (&pack->name, sizeof pack->name)))
    g_array_append_val (self->wanted, wanted);
  return TRUE;
}

static gboolean
plan (Pull *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error)
{
  g_autoptr(GArray) packs = NULL;

  if (!pv_mirror_prepare (self->mirror, snapshot, cancellable, error)
      || !pv_marks_add_snapshot (self->marks, snapshot, cancellable, error))
    return FALSE;
  if (pv_marks_n_missing (self->marks) > 0)
    return pv_corrupt (error, "%" G_GUINT64_FORMAT " of its chunks are not in remote '%s'",
                       pv_marks_n_missing (self->marks), pv_mirror_name (self->mirror));
  packs = pv_index_packs (self->mirror->index, error);
  for (guint i = 0; packs != NULL && i < packs->len; i++)
    {
      const PvPackRow *pack = &g_array_index (packs, PvPackRow, i);

      if (pv_marks_count (self->marks, pack->number) > 0 && !plan_pack (self, pack, error))
        return FALSE;
    }
  return packs != NULL;
}

/* --- the steps ---------------------------------------------------------------------------------------------------- */

/* Announces what was fetched. */
static gboolean
add_packs (Pull *self, GError **error)
{
  for (guint i = 0; i < self->wanted->len; i++)
    {
      const PvRemotePack *wanted = &g_array_index (self->wanted, PvRemotePack, i);
      PvSealedPack sealed = { .name = wanted->name, .path = pv_pull_path (self->mirror, &wanted->name) };
      g_autoptr(PvPackReader) pack = NULL;

      g_array_append_val (self->sealed, sealed);
      pack = pv_pack_reader_open (sealed.path, &wanted->name, error);
      if (pack == NULL
          || !pv_pack_source_list (self->index, &wanted->name, wanted->size, pv_pack_reader_table (pack), error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
commit (Pull *self, PvSnapshot *snapshot, guint64 stored_size, GError **error)
{
  g_autoptr(GBytes) bytes = pv_snapshot_serialize (snapshot);
  g_autoptr(PvSnapshot) own = NULL;

  stored_size += g_bytes_get_size (bytes);
  own = pv_store_parse_snapshot (self->store, bytes, stored_size, error);
  return own != NULL
         && pv_publish_packs (self->store, self->scratch, self->sealed, own, &self->index, error);
}

/* TRUE in @there when the store lists it. */
static gboolean
look (PvStore *store, PvSnapshot *snapshot, gboolean *there, GError **error)
{
  g_autoptr(GError) why = NULL;
  g_autofree char *domain = pv_store_index_domain (store, pv_snapshot_domain (snapshot));
  g_autofree char *name = pv_store_index_name (store, pv_snapshot_domain (snapshot), pv_snapshot_name (snapshot));
  g_autoptr(PvSnapshotRow) row = pv_index_snapshot (store->index, domain, name, &why);

  *there = row != NULL && pv_name_equal (&row->id, pv_snapshot_id (snapshot));
  if (row != NULL && !*there)
    return pv_throw (error, PV_ERROR_EXISTS, "the store has another snapshot of this name: delete it first");
  if (row == NULL && !g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  return TRUE;
}

gboolean
pv_store_pull (PvStore *store, PvMirror *mirror, PvSnapshot *snapshot, PvPullResult *result,
               PvStoreProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error)
{
  g_autoptr(Pull) self = g_new0 (Pull, 1);

  *result = (PvPullResult){ 0 };
  *self = (Pull){ .store = store, .mirror = mirror };
  self->wanted = g_array_new (FALSE, FALSE, sizeof (PvRemotePack));
  self->seen = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, g_free, NULL);
  self->sealed = g_array_new (FALSE, FALSE, sizeof (PvSealedPack));
  g_array_set_clear_func (self->sealed, sealed_clear);
  self->marks = pv_marks_new (mirror->index, mirror->reader);
  if (!look (store, snapshot, &result->was_there, error))
    return FALSE;
  if (result->was_there)
    return TRUE;
  self->scratch = pv_store_scratch_new_named (store, "pull", error);
  if (self->scratch == NULL)
    return FALSE;
  self->index = pv_index_writer_begin (store->index, pv_store_scratch_lock_path (self->scratch), error);
  if (self->index == NULL || !plan (self, snapshot, cancellable, error)
      || !pv_pull_fetch (mirror, self->wanted, progress, data, cancellable, error))
    return FALSE;
  for (guint i = 0; i < self->wanted->len; i++)
    result->fetched_bytes += g_array_index (self->wanted, PvRemotePack, i).size;
  result->packs_fetched = self->wanted->len;
  return add_packs (self, error) && commit (self, snapshot, result->fetched_bytes, error);
}
