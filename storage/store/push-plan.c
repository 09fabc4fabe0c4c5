/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/push-plan.h"

#include <errno.h>
#include <sys/stat.h>

#include "store/damage.h"
#include "store/marks.h"
#include "store/pack-sink.h"
#include "util/error.h"

enum
{
  SLICE = 512,         /* names looked up at once */
  WHOLE_PERCENT = 70,  /* of its objects must be sent for a pack to be sent as it is */
  WHOLE_SIZE = 64 << 10, /* bytes: smaller packs are always sent as they are */
};

/* A chunk of the pack at hand that is not looked up yet. */
typedef struct
{
  PvName name;
  PvLocation at;
} Chunk;

typedef struct
{
  PvStore *store;
  PvMirror *mirror;
  GHashTable *view;
  PvMarks *marks;
  PvPushPlan *plan;
  GHashTable *shared;  /* of pack numbers of the mirror's index: packs that have objects of ours */
  GHashTable *missing; /* of location_key(): objects to be copied into new packs */
  GArray *thin;        /* of guint32: packs that have them */
  GArray *here;        /* of gpointer: keys of what the remote lacks of the pack at hand */
  guint n_chunks;
  Chunk chunks[SLICE];
} Planner;

void
pv_push_plan_free (PvPushPlan *self)
{
  if (self == NULL)
    return;
  pv_pack_copier_free (self->copier);
  pv_store_scratch_free (self->scratch);
  pv_pack_list_free (self->needs);
  g_array_unref (self->uploads);
  g_free (self);
}

G_STATIC_ASSERT (sizeof (gpointer) >= sizeof (guint64));
G_STATIC_ASSERT (PV_PACK_FRAMES_MAX <= 1u << 20);

static gpointer
location_key (const PvLocation *at)
{
  return GSIZE_TO_POINTER ((gsize) at->pack << 28 | (gsize) at->frame << 8 | at->slot);
}

static void
note_missing (Planner *self, const PvLocation *at)
{
  gpointer key = location_key (at);

  g_array_append_val (self->here, key);
}

/* --- what the remote has ------------------------------------------------------------------------------------------ */

/* The chunks collected: in packs of the remote that are there to stay, or missing. */
static gboolean
look_up_chunks (Planner *self, GError **error)
{
  g_autofree PvLocation *locations = g_new (PvLocation, SLICE);
  g_autofree PvName *names = g_new (PvName, SLICE);
  PvPackState states[SLICE];
  gboolean found[SLICE];
  guint n = self->n_chunks;

  self->n_chunks = 0;
  for (guint i = 0; i < n; i++)
    names[i] = self->chunks[i].name;
  if (n > 0 && !pv_index_lookup_many (self->mirror->index, names, n, locations, states, found, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (found[i] && states[i] == PV_PACK_LIVE)
      g_hash_table_add (self->shared, GUINT_TO_POINTER (locations[i].pack));
    else
      note_missing (self, &self->chunks[i].at);
  return TRUE;
}

/* A node is there when it can be expanded from what is there to stay: it may be stored as a difference. */
static gboolean
look_up_node (Planner *self, const PvName *name, const PvLocation *at, GError **error)
{
  g_autoptr(GArray) used = g_array_new (FALSE, FALSE, sizeof (PvLocation));
  g_autoptr(PvNodeRef) node = NULL;
  g_autoptr(GError) why = NULL;
  PvLocation location;
  PvPackState state;

  if (pv_index_lookup (self->mirror->index, name, &location, &state, &why) && state == PV_PACK_LIVE)
    node = pv_object_reader_locate_node (self->mirror->reader, name, TRUE, used, &why);
  if (node == NULL && why != NULL && !pv_is_damage (why))
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  for (guint i = 0; node != NULL && i < used->len; i++)
    g_hash_table_add (self->shared, GUINT_TO_POINTER (g_array_index (used, PvLocation, i).pack));
  if (node == NULL)
    note_missing (self, at);
  return TRUE;
}

/* Fills .here with what is marked in pack @number and missing. */
static gboolean
look_up_pack (Planner *self, guint32 number, PvPackTable *table, GError **error)
{
  PvLocation at = { .pack = number };

  g_array_set_size (self->here, 0);
  for (at.frame = 0; at.frame < pv_pack_table_n_frames (table); at.frame++)
    {
      PvPackFrame frame;

      if (!pv_pack_table_frame (table, at.frame, &frame, error))
        return FALSE;
      for (at.slot = 0; at.slot < frame.n_slots; at.slot++)
        {
          if (!pv_marks_contains (self->marks, &at))
            continue;
          if (frame.kind == PV_FRAME_KIND_CHUNKS)
            self->chunks[self->n_chunks++] = (Chunk){ frame.names[at.slot], at };
          else if (!look_up_node (self, &frame.names[at.slot], &at, error))
            return FALSE;
          if (self->n_chunks == SLICE && !look_up_chunks (self, error))
            return FALSE;
        }
    }
  return look_up_chunks (self, error);
}

/* --- what to send ------------------------------------------------------------------------------------------------- */

static void
send_whole (Planner *self, const PvName *name, guint64 size)
{
  const PvMirrorPack *there = g_hash_table_lookup (self->view, name);
  PvRemotePack upload = { .name = *name, .size = size };

  if (there != NULL) /* what is bad is replaced */
    upload.generation = there->live ? there->generation : there->next;
  pv_pack_list_add (self->plan->needs, name, size, upload.generation);
  g_array_append_val (self->plan->uploads, upload);
  self->plan->bytes += size;
}

/* The pack itself is there, to stay. */
static gboolean
is_there (Planner *self, const PvPackRow *pack, PvMirrorPack **there)
{
  *there = g_hash_table_lookup (self->view, &pack->name);
  return *there != NULL && (*there)->live && !(*there)->bad && (*there)->size == pack->size;
}

static gboolean
plan_pack (Planner *self, const PvPackRow *pack, GError **error)
{
  g_autoptr(PvPackTable) table = NULL;
  g_autoptr(GError) why = NULL;
  PvMirrorPack *there;

  if (is_there (self, pack, &there))
    {
      pv_pack_list_add (self->plan->needs, &pack->name, pack->size, there->generation);
      return TRUE;
    }
  table = pv_object_reader_table (self->store->reader, pack->number, &why);
  if (table == NULL && why == NULL)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "a pack was rewritten meanwhile");
  if (table == NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  if (!look_up_pack (self, pack->number, table, error))
    return FALSE;
  if (self->here->len == 0)
    return TRUE;
  if (pack->size <= WHOLE_SIZE || self->here->len * 100ull >= pack->n_objects * WHOLE_PERCENT)
    {
      send_whole (self, &pack->name, pack->size);
      return TRUE;
    }
  g_array_append_val (self->thin, pack->number);
  for (guint i = 0; i < self->here->len; i++)
    g_hash_table_add (self->missing, g_array_index (self->here, gpointer, i));
  return TRUE;
}

static gboolean
is_missing (const PvLocation *location, gpointer data)
{
  return g_hash_table_contains (data, location_key (location));
}

/* Copies what is missing of packs that are not sent as they are. */
static gboolean
make_thin_packs (Planner *self, GError **error)
{
  PvPushPlan *plan = self->plan;
  GArray *packs;

  if (self->thin->len == 0)
    return TRUE;
  plan->scratch = pv_store_scratch_new_named (self->store, "push", error);
  if (plan->scratch == NULL || (plan->copier = pv_pack_copier_new (self->store, plan->scratch, error)) == NULL)
    return FALSE;
  for (guint i = 0; i < self->thin->len; i++)
    if (!pv_pack_copier_add_chosen (plan->copier, g_array_index (self->thin, guint32, i), is_missing, self->missing,
                                    error))
      return FALSE;
  packs = pv_pack_copier_finish (plan->copier, error);
  for (guint i = 0; packs != NULL && i < packs->len; i++)
    {
      const PvSealedPack *sealed = &g_array_index (packs, PvSealedPack, i);
      struct stat st;

      if (stat (sealed->path, &st) < 0)
        return pv_throw_errno (error, errno, "cannot read '%s'", sealed->path);
      send_whole (self, &sealed->name, (guint64) st.st_size);
    }
  return packs != NULL;
}

char *
pv_push_plan_path (PvPushPlan *self, PvStore *store, const PvName *pack)
{
  GArray *packs = self->copier != NULL ? pv_pack_copier_packs (self->copier) : NULL;

  for (guint i = 0; packs != NULL && i < packs->len; i++)
    if (pv_name_equal (&g_array_index (packs, PvSealedPack, i).name, pack))
      return g_strdup (g_array_index (packs, PvSealedPack, i).path);
  return pv_store_pack_path (store, pack);
}

/* The packs of others that were relied on. One that the view does not have is not in the remote any more. */
static gboolean
add_shared (Planner *self, GError **error)
{
  GHashTableIter iter;
  gpointer number;

  g_hash_table_iter_init (&iter, self->shared);
  while (g_hash_table_iter_next (&iter, &number, NULL))
    {
      const PvMirrorPack *there;
      g_autoptr(GError) why = NULL;
      PvPackRow row;

      if (!pv_index_pack (self->mirror->index, GPOINTER_TO_UINT (number), &row, &why))
        {
          if (why == NULL)
            return pv_throw (error, PV_ERROR_NOT_FOUND, "a pack of the remote is gone");
          return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
        }
      there = g_hash_table_lookup (self->view, &row.name);
      if (there == NULL || !there->live || there->bad)
        return pv_throw (error, PV_ERROR_NOT_FOUND, "a pack of the remote is gone");
      pv_pack_list_add (self->plan->needs, &row.name, there->size, there->generation);
      self->plan->n_shared++;
    }
  return TRUE;
}

static gboolean
plan_all (Planner *self, GCancellable *cancellable, GError **error)
{
  g_autoptr(GArray) packs = pv_index_packs (self->store->index, error);

  for (guint i = 0; packs != NULL && i < packs->len; i++)
    {
      const PvPackRow *pack = &g_array_index (packs, PvPackRow, i);

      if (g_cancellable_is_cancelled (cancellable))
        return pv_throw (error, PV_ERROR_CANCELLED, "stopped");
      if (pv_marks_count (self->marks, pack->number) > 0 && !plan_pack (self, pack, error))
        return FALSE;
    }
  return packs != NULL && make_thin_packs (self, error) && add_shared (self, error);
}

PvPushPlan *
pv_push_plan_new (PvStore *store, PvMirror *mirror, GHashTable *view, PvSnapshot *snapshot, GCancellable *cancellable,
                  GError **error)
{
  g_autoptr(PvMarks) marks = pv_marks_new (store->index, store->reader);
  g_autoptr(GHashTable) shared = g_hash_table_new (NULL, NULL), missing = g_hash_table_new (NULL, NULL);
  g_autoptr(GArray) thin = g_array_new (FALSE, FALSE, sizeof (guint32));
  g_autoptr(GArray) here = g_array_new (FALSE, FALSE, sizeof (gpointer));
  g_autoptr(PvPushPlan) plan = g_new0 (PvPushPlan, 1);
  g_autofree Planner *planner = g_new0 (Planner, 1);

  plan->needs = pv_pack_list_new (PV_PACK_LIST_NEEDS, pv_snapshot_id (snapshot));
  plan->uploads = g_array_new (FALSE, FALSE, sizeof (PvRemotePack));
  *planner = (Planner){ .store = store, .mirror = mirror, .view = view, .marks = marks, .plan = plan,
                        .shared = shared, .missing = missing, .thin = thin, .here = here };
  if (!pv_marks_add_snapshot (marks, snapshot, cancellable, error))
    return NULL;
  if (pv_marks_n_missing (marks) > 0)
    {
      pv_corrupt (error, "%" G_GUINT64_FORMAT " of its chunks are not in the store: run 'pagevault verify'",
                  pv_marks_n_missing (marks));
      return NULL;
    }
  return plan_all (planner, cancellable, error) ? g_steal_pointer (&plan) : NULL;
}
