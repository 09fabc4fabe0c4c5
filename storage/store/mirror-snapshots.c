/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The snapshots of a remote: their objects are read once, and kept in the mirror's index. */
#include "config.h"

#include <string.h>

#include "store/damage.h"
#include "store/mirror-private.h"
#include "store/snapshot-private.h"
#include "store/store-private.h"
#include "util/error.h"
#include "util/snapshot-name.h"

#define PREFIX "snapshots/"
#define SNAPSHOTS_MAX (1u << 20) /* that a listing may have */

/* Keys that are not called by a digest are somebody else's. */
static gboolean
note_id (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  GHashTable *ids = data;
  PvName id;

  if (!g_str_has_prefix (entry->key, PREFIX) || !pv_name_from_hex (entry->key + strlen (PREFIX), &id, NULL))
    return TRUE;
  if (g_hash_table_size (ids) >= SNAPSHOTS_MAX)
    return pv_corrupt (error, "the remote lists more than %u snapshots", SNAPSHOTS_MAX);
  g_hash_table_add (ids, g_memdup2 (&id, sizeof id));
  return TRUE;
}

GHashTable *
pv_mirror_snapshot_ids (PvMirror *self, GCancellable *cancellable, GError **error)
{
  g_autoptr(GHashTable) ids = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, g_free, NULL);
  g_autoptr(PvRemote) remote = pv_mirror_remote (self, error);

  if (remote == NULL || !pv_remote_list (remote, PREFIX, NULL, note_id, ids, cancellable, error))
    return NULL;
  return g_steal_pointer (&ids);
}

char *
pv_mirror_snapshot_key (const PvName *id)
{
  g_autofree char *hex = pv_name_to_hex (id);

  return g_strconcat (PREFIX, hex, NULL);
}

static PvSnapshot *
fetch_snapshot (PvMirror *self, const PvName *id, GCancellable *cancellable, GError **error)
{
  g_autoptr(PvRemote) remote = pv_mirror_remote (self, error);
  g_autofree char *key = pv_mirror_snapshot_key (id);
  g_autoptr(GBytes) bytes = NULL;
  PvName digest;
  gsize size;
  gconstpointer data;

  if (remote == NULL)
    return NULL;
  bytes = pv_remote_get_all (remote, key, PV_SNAPSHOT_OBJECT_MAX, cancellable, error);
  if (bytes == NULL)
    return NULL;
  data = g_bytes_get_data (bytes, &size);
  pv_digest (data, size, &digest);
  if (!pv_name_equal (&digest, id))
    {
      pv_corrupt (error, "its content is not what its name says");
      return NULL;
    }
  return pv_snapshot_parse_with_key (bytes, self->key, 0, error);
}

static gboolean
list_snapshot (PvMirror *self, PvSnapshot *snapshot, GError **error)
{
  g_autofree char *domain = pv_index_domain_with_key (self->key, pv_snapshot_domain (snapshot));
  g_autofree char *name = pv_index_name_with_key (self->key, pv_snapshot_domain (snapshot),
                                                  pv_snapshot_name (snapshot));
  g_autoptr(GBytes) bytes = pv_snapshot_serialize (snapshot);
  PvSnapshotRow row = { .id = *pv_snapshot_id (snapshot),
                        .domain = domain,
                        .name = name,
                        .time = pv_snapshot_time (snapshot),
                        .object = bytes };
  g_autoptr(PvIndexWriter) writer = pv_index_writer_begin (self->index, self->lock_path, error);

  return writer != NULL && pv_index_writer_commit (writer, &row, error);
}

/* What is wrong with one snapshot does not keep the others from being listed. */
static gboolean
add_snapshot (PvMirror *self, const PvName *id, GPtrArray *warnings, GCancellable *cancellable, GError **error)
{
  g_autofree char *key = pv_mirror_snapshot_key (id);
  g_autoptr(GError) why = NULL;
  g_autoptr(PvSnapshot) snapshot = fetch_snapshot (self, id, cancellable, &why);

  if (snapshot == NULL && !pv_is_damage (why))
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  if (snapshot == NULL)
    {
      g_ptr_array_add (warnings, g_strdup_printf ("'%s' of remote '%s' is left out: %s", key, self->name,
                                                  why->message));
      return TRUE;
    }
  if (list_snapshot (self, snapshot, &why))
    return TRUE;
  if (!g_error_matches (why, PV_ERROR, PV_ERROR_EXISTS))
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  g_ptr_array_add (warnings, g_strdup_printf ("'%s' of remote '%s' is left out: there is another snapshot %s", key,
                                              self->name, pv_snapshot_full_name (snapshot)));
  return TRUE;
}

/* Rows of snapshots that are not there any more go; of those that are, @ids (inout) forgets. */
static gboolean
drop_gone (PvMirror *self, GHashTable *ids, GError **error)
{
  g_autoptr(GPtrArray) rows = pv_index_snapshots (self->index, NULL, error);

  for (guint i = 0; rows != NULL && i < rows->len; i++)
    {
      const PvSnapshotRow *row = rows->pdata[i];

      if (!g_hash_table_remove (ids, &row->id)
          && !pv_index_delete_snapshot (self->index, row->domain, row->name, error))
        return FALSE;
    }
  return rows != NULL;
}

gboolean
pv_mirror_refresh_snapshots (PvMirror *self, GPtrArray *warnings, GCancellable *cancellable, GError **error)
{
  g_autoptr(GHashTable) ids = NULL;
  g_auto(PvFd) guard = PV_FD_NONE;
  GHashTableIter iter;
  gpointer id;

  guard = pv_mirror_lock (self, error);
  if (guard < 0)
    return FALSE;
  ids = pv_mirror_snapshot_ids (self, cancellable, error);
  if (ids == NULL || !drop_gone (self, ids, error))
    return FALSE;
  g_hash_table_iter_init (&iter, ids);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    if (!add_snapshot (self, id, warnings, cancellable, error))
      return FALSE;
  return TRUE;
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

GPtrArray *
pv_mirror_list (PvMirror *self, const char *domain, GError **error)
{
  g_autofree char *index_domain = pv_index_domain_with_key (self->key, domain);
  g_autoptr(GPtrArray) rows = pv_index_snapshots (self->index, index_domain, error);
  g_autoptr(GPtrArray) list = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_unref);

  for (guint i = 0; rows != NULL && i < rows->len; i++)
    {
      const PvSnapshotRow *row = rows->pdata[i];
      PvSnapshot *snapshot = pv_snapshot_parse_with_key (row->object, self->key, row->stored_size, error);

      if (snapshot == NULL)
        return NULL;
      g_ptr_array_add (list, snapshot);
    }
  return rows != NULL ? g_steal_pointer (&list) : NULL;
}

PvSnapshot *
pv_mirror_find (PvMirror *self, const char *domain, const char *name, GError **error)
{
  g_autofree char *index_domain = pv_index_domain_with_key (self->key, domain);
  g_autofree char *index_name = pv_index_name_with_key (self->key, domain, name);
  g_autoptr(GError) why = NULL;
  g_autoptr(PvSnapshotRow) row = pv_index_snapshot (self->index, index_domain, index_name, &why);

  if (row != NULL)
    return pv_snapshot_parse_with_key (row->object, self->key, row->stored_size, error);
  if (!g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
    g_propagate_error (error, g_steal_pointer (&why));
  return NULL;
}
