/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The order of reading is what makes it safe: packs, condemned, needs, snapshots. tests/unit/test-remote-model.c shows
 * why. */
#include "config.h"

#include "store/prune.h"

#include <string.h>

#include "store/mirror-private.h"
#include "store/store-private.h"
#include "util/error.h"
#include "util/fault.h"

#define PACKS_MAX (1u << 20)
#define SWEEP_SECONDS (24u * 3600u) /* an upload that began before that is given up */

/* A pack list as it was found. */
typedef struct
{
  char *key;
  PvPackList *list;
  gboolean old; /* not written anew for the grace period */
} Found;

/* A list of needs that is none. */
typedef struct
{
  char *key;       /* (owned) */
  PvName snapshot; /* as the key says */
  gboolean old;
} Damaged;

typedef struct
{
  PvMirror *mirror;
  PvRemote *remote;      /* (owned) */
  guint64 grace;
  gint64 now;
  gboolean dry_run;
  GCancellable *cancellable;
  PvPruneResult *result;
  GArray *packs;         /* (owned): of PvRemotePack: all there are */
  GArray *condemned;     /* (owned): of Found */
  GArray *needs;         /* (owned): of Found */
  GHashTable *snapshots; /* (owned): of PvName */
  GPtrArray *stray;      /* (owned): keys of working sets to remove */
  GArray *damaged;       /* (owned): of Damaged: lists of needs */
  GPtrArray *unread;     /* (owned): keys of lists of condemned packs that are none */
  GHashTable *live;      /* (owned): of PvRemotePack (not owned): needed */
} Prune;

static void
found_clear (gpointer data)
{
  Found *found = data;

  g_free (found->key);
  pv_pack_list_free (found->list);
}

static void
damaged_clear (gpointer data)
{
  g_free (((Damaged *) data)->key);
}

static void
prune_clear (Prune *self)
{
  g_clear_pointer (&self->damaged, g_array_unref);
  g_clear_pointer (&self->unread, g_ptr_array_unref);
  g_clear_pointer (&self->stray, g_ptr_array_unref);
  g_clear_pointer (&self->live, g_hash_table_unref);
  g_clear_pointer (&self->snapshots, g_hash_table_unref);
  g_clear_pointer (&self->needs, g_array_unref);
  g_clear_pointer (&self->condemned, g_array_unref);
  g_clear_pointer (&self->packs, g_array_unref);
  g_clear_pointer (&self->remote, pv_remote_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Prune, prune_clear)

/* --- reading ------------------------------------------------------------------------------------------------------ */

static gboolean
note_pack (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  Prune *self = data;
  PvRemotePack pack = { .size = entry->size };

  if (!pv_remote_pack_parse_key (entry->key, &pack.name, &pack.generation))
    return TRUE;
  if (self->packs->len >= PACKS_MAX)
    return pv_corrupt (error, "the remote lists more than %u packs", PACKS_MAX);
  g_array_append_val (self->packs, pack);
  return TRUE;
}

/* The later of what writer and remote say counts: a clock that is behind only makes it wait. */
static gboolean
is_old (Prune *self, gint64 time, gint64 mtime)
{
  time = MAX (time, mtime * G_USEC_PER_SEC);
  return self->now > time && (guint64) (self->now - time) / G_USEC_PER_SEC >= self->grace;
}

static gboolean
note_list (const char *key, gint64 mtime, PvPackList *list, gpointer data, GError **error)
{
  Prune *self = data;
  Found found = { g_strdup (key), pv_pack_list_new (list->kind, &list->snapshot), is_old (self, list->time, mtime) };

  found.list->time = list->time;
  g_array_append_vals (found.list->packs, list->packs->data, list->packs->len);
  if (list->kind == PV_PACK_LIST_NEEDS)
    g_array_append_val (self->needs, found);
  else
    g_array_append_val (self->condemned, found);
  return TRUE;
}

static void
note_damaged (const char *key, gint64 mtime, const PvName *snapshot, const GError *why, gpointer data)
{
  Prune *self = data;
  Damaged damaged = { g_strdup (key), *snapshot, is_old (self, 0, mtime) };

  g_array_append_val (self->damaged, damaged);
}

static void
note_unread (const char *key, gint64 mtime, const PvName *snapshot, const GError *why, gpointer data)
{
  g_ptr_array_add (((Prune *) data)->unread, g_strdup (key));
}

/* Of a snapshot that is there, or of a push that may be under way. */
static gboolean
is_live (Prune *self, const Found *needs)
{
  return !needs->old || g_hash_table_contains (self->snapshots, &needs->list->snapshot);
}

static void
note_needed (Prune *self, const Found *needs)
{
  for (guint i = 0; i < needs->list->packs->len; i++)
    g_hash_table_add (self->live, &g_array_index (needs->list->packs, PvRemotePack, i));
}

/* A snapshot whose needs were not among those read may have been pushed since. They were written before it, so they are
 * there now. */
static gboolean
find_late (Prune *self, const PvName *id, GError **error)
{
  g_autofree char *hex = pv_name_to_hex (id);
  g_autofree char *prefix = g_strdup_printf ("needs/%s/", hex);
  g_autofree char *key = pv_mirror_snapshot_key (id);
  guint n = self->needs->len;

  if (!pv_mirror_each_list (self->mirror, prefix, note_list, note_damaged, self, self->cancellable, error))
    return FALSE;
  for (guint i = n; i < self->needs->len; i++)
    note_needed (self, &g_array_index (self->needs, Found, i));
  return self->needs->len > n
         || pv_corrupt (error, "nothing was removed, because it cannot be told which packs '%s' of remote '%s' needs:"
                               " push that snapshot again, or delete it there",
                        key, pv_mirror_name (self->mirror));
}

/* What is needed; every snapshot must have said it. */
static gboolean
find_live (Prune *self, GError **error)
{
  g_autoptr(GHashTable) told = g_hash_table_new (pv_name_hash, pv_name_equal_func);
  GHashTableIter iter;
  gpointer id;

  for (guint i = 0; i < self->needs->len; i++)
    {
      const Found *needs = &g_array_index (self->needs, Found, i);

      g_hash_table_add (told, &needs->list->snapshot);
      if (is_live (self, needs))
        note_needed (self, needs);
    }
  g_hash_table_iter_init (&iter, self->snapshots);
  while (g_hash_table_iter_next (&iter, &id, NULL))
    if (!g_hash_table_contains (told, id) && !find_late (self, id, error))
      return FALSE;
  return TRUE;
}

/* A damaged list of a snapshot that is there may be the one that counts. One of a push that is under way is written
 * again; else it is of no use any more. */
static gboolean
judge_damaged (Prune *self, GError **error)
{
  for (guint i = 0; i < self->damaged->len; i++)
    {
      const Damaged *damaged = &g_array_index (self->damaged, Damaged, i);
      g_autofree char *key = pv_mirror_snapshot_key (&damaged->snapshot);

      if (g_hash_table_contains (self->snapshots, &damaged->snapshot))
        return pv_corrupt (error, "nothing was removed, because '%s' of remote '%s' is damaged, which tells what '%s'"
                                  " needs: push that snapshot again, or delete it there",
                           damaged->key, pv_mirror_name (self->mirror), key);
      if (damaged->old)
        g_ptr_array_add (self->stray, g_strdup (damaged->key));
    }
  return TRUE;
}

static gboolean
look (Prune *self, GError **error)
{
  if (!pv_remote_list (self->remote, "packs/", NULL, note_pack, self, self->cancellable, error)
      || !pv_mirror_each_list (self->mirror, "condemned/", note_list, note_unread, self, self->cancellable, error)
      || !pv_mirror_each_list (self->mirror, "needs/", note_list, note_damaged, self, self->cancellable, error))
    {
      g_prefix_error (error, "nothing was removed: ");
      return FALSE;
    }
  self->snapshots = pv_mirror_snapshot_ids (self->mirror, self->cancellable, error);
  return self->snapshots != NULL && judge_damaged (self, error) && find_live (self, error);
}

/* --- removing ----------------------------------------------------------------------------------------------------- */

static gboolean
remove_object (Prune *self, const char *key, GError **error)
{
  return self->dry_run
         || (pv_fault ("prune.remove", error) && pv_remote_delete (self->remote, key, self->cancellable, error));
}

/* Lists of pushes that were given up, and of snapshots that were deleted. */
static gboolean
remove_dead_needs (Prune *self, GError **error)
{
  for (guint i = 0; i < self->needs->len; i++)
    {
      const Found *needs = &g_array_index (self->needs, Found, i);

      if (!is_live (self, needs) && !remove_object (self, needs->key, error))
        return FALSE;
    }
  return TRUE;
}

/* The second phase for one list: its packs first, then the list itself, so that nobody relies on a pack that is
 * going. */
static gboolean
carry_out (Prune *self, const Found *condemned, GHashTable *there, GError **error)
{
  for (guint i = 0; i < condemned->list->packs->len; i++)
    {
      const PvRemotePack *pack = &g_array_index (condemned->list->packs, PvRemotePack, i);
      g_autofree char *key = pv_remote_pack_key (&pack->name, pack->generation);

      if (g_hash_table_contains (self->live, pack) || !g_hash_table_contains (there, pack))
        continue;
      if (!remove_object (self, key, error))
        return FALSE;
      self->result->removed_packs++;
      self->result->removed_bytes += pack->size;
      g_hash_table_remove (there, pack);
    }
  return remove_object (self, condemned->key, error);
}

/* The first phase. @there: (inout): of packs that no list condemns yet. */
static gboolean
condemn (Prune *self, GHashTable *there, GError **error)
{
  g_autoptr(PvPackList) list = pv_pack_list_new (PV_PACK_LIST_CONDEMNED, NULL);
  g_autofree char *token = pv_mirror_token ();
  g_autofree char *key = g_strconcat ("condemned/", token, NULL);
  g_autoptr(GBytes) bytes = NULL;
  GHashTableIter iter;
  gpointer value;

  g_hash_table_iter_init (&iter, there);
  while (g_hash_table_iter_next (&iter, &value, NULL))
    {
      const PvRemotePack *pack = value;

      if (g_hash_table_contains (self->live, pack) || list->packs->len >= PV_PACK_LIST_MAX)
        continue;
      pv_pack_list_add (list, &pack->name, CLAMP (pack->size, PV_REMOTE_PACK_SIZE_MIN, PV_PACK_SIZE_MAX),
                        pack->generation);
      self->result->condemned_packs++;
      self->result->condemned_bytes += pack->size;
    }
  if (list->packs->len == 0 || self->dry_run)
    return TRUE;
  list->time = self->now;
  bytes = pv_pack_list_serialize (list);
  return pv_fault ("prune.condemn", error)
         && pv_remote_put (self->remote, key, bytes, PV_REMOTE_PUT_DEFAULT, self->cancellable, error);
}

static gboolean
note_working_set (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  Prune *self = data;
  const char *slash = strchr (entry->key, '/');
  PvName id;

  if (slash != NULL && pv_name_from_hex (slash + 1, &id, NULL) && !g_hash_table_contains (self->snapshots, &id))
    g_ptr_array_add (self->stray, g_strdup (entry->key));
  return TRUE;
}

/* Of snapshots that are not there any more. */
static gboolean
remove_working_sets (Prune *self, GError **error)
{
  if (!pv_remote_list (self->remote, "working-sets/", NULL, note_working_set, self, self->cancellable, error))
    return FALSE;
  for (guint i = 0; i < self->stray->len; i++)
    if (!remove_object (self, self->stray->pdata[i], error))
      return FALSE;
  return TRUE;
}

/* All that they condemned, and nobody needs, the list that was just written condemns. */
static gboolean
remove_unread (Prune *self, GError **error)
{
  for (guint i = 0; i < self->unread->len; i++)
    if (!remove_object (self, self->unread->pdata[i], error))
      return FALSE;
  return TRUE;
}

static gboolean
work (Prune *self, GError **error)
{
  g_autoptr(GHashTable) there = g_hash_table_new (pv_remote_pack_hash, pv_remote_pack_equal);

  for (guint i = 0; i < self->packs->len; i++)
    g_hash_table_add (there, &g_array_index (self->packs, PvRemotePack, i));
  if (!remove_dead_needs (self, error) || !remove_working_sets (self, error))
    return FALSE;
  for (guint i = 0; i < self->condemned->len; i++)
    {
      const Found *condemned = &g_array_index (self->condemned, Found, i);

      if (condemned->old && !carry_out (self, condemned, there, error))
        return FALSE;
    }
  for (guint i = 0; i < self->condemned->len; i++)
    {
      const Found *condemned = &g_array_index (self->condemned, Found, i);

      for (guint j = 0; !condemned->old && j < condemned->list->packs->len; j++)
        self->result->waiting_packs
            += g_hash_table_remove (there, &g_array_index (condemned->list->packs, PvRemotePack, j));
    }
  return condemn (self, there, error) && remove_unread (self, error)
         && (self->dry_run
             || pv_remote_sweep (self->remote, MAX (self->grace, SWEEP_SECONDS), NULL, self->cancellable, error));
}

gboolean
pv_mirror_prune (PvMirror *self, guint64 grace, gint64 now, gboolean dry_run, PvPruneResult *result,
                 GCancellable *cancellable, GError **error)
{
  g_auto(Prune) prune = { .mirror = self, .grace = grace, .now = now, .dry_run = dry_run, .cancellable = cancellable,
                          .result = result };

  g_return_val_if_fail (grace >= PV_PRUNE_GRACE_MIN, FALSE);
  *result = (PvPruneResult){ 0 };
  prune.packs = g_array_new (FALSE, FALSE, sizeof (PvRemotePack));
  prune.condemned = g_array_new (FALSE, FALSE, sizeof (Found));
  prune.needs = g_array_new (FALSE, FALSE, sizeof (Found));
  g_array_set_clear_func (prune.condemned, found_clear);
  g_array_set_clear_func (prune.needs, found_clear);
  prune.damaged = g_array_new (FALSE, FALSE, sizeof (Damaged));
  g_array_set_clear_func (prune.damaged, damaged_clear);
  prune.unread = g_ptr_array_new_with_free_func (g_free);
  prune.stray = g_ptr_array_new_with_free_func (g_free);
  prune.live = g_hash_table_new (pv_remote_pack_hash, pv_remote_pack_equal);
  prune.remote = pv_mirror_remote (self, error);
  return prune.remote != NULL && pv_mirror_check_format (self, FALSE, cancellable, error) && look (&prune, error)
         && work (&prune, error);
}

gboolean
pv_mirror_delete (PvMirror *self, const char *domain, const char *name, GCancellable *cancellable, GError **error)
{
  g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(PvRemote) remote = pv_mirror_remote (self, error);
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autofree char *key = NULL, *row_domain = NULL, *row_name = NULL;
  g_autoptr(GError) why = NULL;

  if (remote == NULL || !pv_mirror_check_format (self, FALSE, cancellable, error)
      || !pv_mirror_refresh_snapshots (self, warnings, cancellable, error))
    return FALSE;
  snapshot = pv_mirror_find (self, domain, name, &why);
  if (why != NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  if (snapshot == NULL)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "remote '%s' has no snapshot %s@%s", pv_mirror_name (self), domain,
                     name);
  key = pv_mirror_snapshot_key (pv_snapshot_id (snapshot));
  row_domain = pv_index_domain_with_key (self->key, domain);
  row_name = pv_index_name_with_key (self->key, domain, name);
  return pv_remote_delete (remote, key, cancellable, error)
         && pv_index_delete_snapshot (self->index, row_domain, row_name, error);
}
