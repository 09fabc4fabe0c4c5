/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/marks.h"
#include "store/store-private.h"
#include "util/error.h"

typedef struct
{
  PvStore *store;
  PvMarks *others; /* (not owned) */
  double own;      /* bytes */
  double shared;
} Usage;

/* An object has the part of its frame's bytes that falls to one slot. */
static gboolean
count_object (const PvLocation *location, gpointer data, GError **error)
{
  Usage *usage = data;
  g_autoptr(GError) why = NULL;
  g_autoptr(PvPackTable) pack = pv_object_reader_table (usage->store->reader, location->pack, &why);
  PvPackFrame frame;
  double bytes;

  if (pack == NULL)
    return why == NULL || (g_propagate_error (error, g_steal_pointer (&why)), FALSE);
  if (!pv_pack_table_frame (pack, location->frame, &frame, error))
    return FALSE;
  bytes = (double) frame.stored_size / frame.n_slots;
  if (pv_marks_contains (usage->others, location))
    usage->shared += bytes;
  else
    usage->own += bytes;
  return TRUE;
}

gboolean
pv_store_snapshot_usage (PvStore *self, PvSnapshot *snapshot, guint64 *own_bytes, guint64 *shared_bytes,
                         GCancellable *cancellable, GError **error)
{
  g_autoptr(GPtrArray) list = pv_store_list (self, NULL, error);
  g_autoptr(PvMarks) others = pv_marks_new (self->index, self->reader);
  g_autoptr(PvMarks) mine = pv_marks_new (self->index, self->reader);
  Usage usage = { .store = self, .others = others };

  if (list == NULL)
    return FALSE;
  for (guint i = 0; i < list->len; i++)
    if (!pv_name_equal (pv_snapshot_id (list->pdata[i]), pv_snapshot_id (snapshot))
        && !pv_marks_add_snapshot (others, list->pdata[i], cancellable, error))
      return FALSE;
  pv_marks_set_func (mine, count_object, &usage);
  if (!pv_marks_add_snapshot (mine, snapshot, cancellable, error))
    return FALSE;
  *own_bytes = (guint64) usage.own;
  *shared_bytes = (guint64) usage.shared;
  return TRUE;
}

/* The reader keeps the tables that it has read: once for each pack. */
static gboolean
check_pack (const PvLocation *location, gpointer data, GError **error)
{
  PvStore *self = data;
  g_autoptr(GError) why = NULL;
  g_autoptr(PvPackTable) pack = pv_object_reader_table (self->reader, location->pack, &why);

  if (pack != NULL)
    return TRUE;
  if (why == NULL)
    return pv_corrupt (error, "pack %u is not there", location->pack);
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

gboolean
pv_store_snapshot_check (PvStore *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error)
{
  g_autoptr(PvMarks) marks = pv_marks_new (self->index, self->reader);

  pv_marks_set_func (marks, check_pack, self);
  if (!pv_marks_add_snapshot (marks, snapshot, cancellable, error))
    return FALSE;
  return pv_marks_n_missing (marks) == 0
         || pv_corrupt (error, "snapshot %s: %" G_GUINT64_FORMAT " chunks are missing",
                        pv_snapshot_full_name (snapshot), pv_marks_n_missing (marks));
}
