/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/repair.h"

#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "pack/pack-reader.h"
#include "store/damage.h"
#include "store/pull-fetch.h"
#include "store/store-private.h"
#include "util/error.h"

#define PACK_PREFIX "pack " /* of PvDamage.what */

/* --- the store ---------------------------------------------------------------------------------------------------- */

/* Fetches one pack to where packs are fetched to. FALSE without @error: it cannot be had; @why says so. */
static gboolean
fetch_one (PvMirror *mirror, const PvRemotePack *pack, GError **why, GCancellable *cancellable, GError **error)
{
  g_autoptr(GArray) one = g_array_new (FALSE, FALSE, sizeof (PvRemotePack));
  g_autoptr(GError) local = NULL;

  g_array_append_val (one, *pack);
  if (pv_pull_fetch (mirror, one, NULL, NULL, cancellable, &local))
    return TRUE;
  if (pv_is_damage (local))
    g_propagate_error (why, g_steal_pointer (&local));
  else
    g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

/* Renames what was fetched into place, unless gc has removed the pack meanwhile. */
static gboolean
put_in_place (PvStore *store, PvMirror *mirror, const PvName *name, GError **error)
{
  g_autofree char *from = pv_pull_path (mirror, name);
  g_autofree char *to = pv_store_pack_path (store, name);
  g_autofree char *directory = g_path_get_dirname (to);
  g_auto(PvFd) guard = pv_store_lock (store, LOCK_SH, error);
  g_autoptr(GError) why = NULL;
  PvPackRow row;

  if (guard < 0)
    return FALSE;
  if (!pv_index_pack_by_name (store->index, name, &row, &why))
    {
      (void) unlink (from);
      return why == NULL || (g_propagate_error (error, g_steal_pointer (&why)), FALSE);
    }
  return pv_mkdirs (directory, 0700, error) && pv_publish (from, to, error);
}

static void
note_failure (GPtrArray *failures, const PvDamage *damage, const char *why)
{
  g_ptr_array_add (failures, g_strdup_printf ("%s cannot be repaired: %s", damage->what, why));
}

static gboolean
repair_pack (PvStore *store, PvMirror *mirror, GHashTable *view, const PvDamage *damage, const PvName *name,
             guint64 *n_repaired, GPtrArray *failures, GCancellable *cancellable, GError **error)
{
  const PvMirrorPack *there = g_hash_table_lookup (view, name);
  g_autoptr(GError) why = NULL, fatal = NULL;
  PvRemotePack wanted;

  if (there == NULL)
    {
      note_failure (failures, damage, "the remote does not have it");
      return TRUE;
    }
  wanted = (PvRemotePack){ *name, there->size, there->generation };
  if (fetch_one (mirror, &wanted, &why, cancellable, &fatal))
    {
      *n_repaired += 1;
      return put_in_place (store, mirror, name, error);
    }
  if (fatal != NULL)
    return g_propagate_error (error, g_steal_pointer (&fatal)), FALSE;
  note_failure (failures, damage, why->message);
  return TRUE;
}

gboolean
pv_store_repair (PvStore *store, PvMirror *mirror, const PvVerifyResult *found, guint64 *n_repaired,
                 GPtrArray *failures, GCancellable *cancellable, GError **error)
{
  g_autoptr(GHashTable) view = NULL;

  *n_repaired = 0;
  if (!pv_mirror_check_format (mirror, FALSE, cancellable, error))
    return FALSE;
  view = pv_mirror_view_packs (mirror, cancellable, error);
  for (guint i = 0; view != NULL && i < found->damaged->len; i++)
    {
      const PvDamage *damage = found->damaged->pdata[i];
      PvName name;

      if (!g_str_has_prefix (damage->what, PACK_PREFIX)
          || !pv_name_from_hex (damage->what + strlen (PACK_PREFIX), &name, NULL))
        note_failure (failures, damage, "only packs can be taken from a remote");
      else if (!repair_pack (store, mirror, view, damage, &name, n_repaired, failures, cancellable, error))
        return FALSE;
    }
  return view != NULL;
}

/* --- the remote --------------------------------------------------------------------------------------------------- */

/* What snapshots need of a remote. */
typedef struct
{
  PvRemotePack pack;
  GPtrArray *snapshots; /* (owned) (element-type utf8): DOMAIN@NAME */
} Need;

typedef struct
{
  PvMirror *mirror;
  PvRemote *remote;     /* (owned) */
  PvStore *store;       /* (nullable) */
  GHashTable *needs;    /* (owned): PvName -> Need (owned) */
  GHashTable *view;     /* (owned): PvName -> PvMirrorPack */
  PvVerifyResult *result;
  guint64 *n_repaired;
  GCancellable *cancellable;
} Verify;

static void
need_free (gpointer data)
{
  Need *need = data;

  g_ptr_array_unref (need->snapshots);
  g_free (need);
}

static void
verify_clear (Verify *self)
{
  g_clear_pointer (&self->needs, g_hash_table_unref);
  g_clear_pointer (&self->view, g_hash_table_unref);
  g_clear_pointer (&self->remote, pv_remote_unref);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Verify, verify_clear)

static void
report_damage (Verify *self, char *what, const char *why, GPtrArray *snapshots)
{
  PvDamage *damage = g_new0 (PvDamage, 1);

  damage->what = what;
  damage->why = g_strdup (why);
  damage->snapshots = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; snapshots != NULL && i < snapshots->len; i++)
    g_ptr_array_add (damage->snapshots, g_strdup (snapshots->pdata[i]));
  g_ptr_array_add (self->result->damaged, damage);
}

/* The list of a snapshot's needs of which least is missing: others may be of pushes that were given up. */
typedef struct
{
  GHashTable *view;
  GArray *packs; /* (owned) (nullable): of PvRemotePack */
  guint missing;
  GPtrArray *damaged; /* (not owned) (element-type utf8): keys of lists that are none */
} Best;

static gboolean
is_there (GHashTable *view, const PvRemotePack *pack)
{
  const PvMirrorPack *there = g_hash_table_lookup (view, &pack->name);

  return there != NULL && there->size == pack->size;
}

static gboolean
compare_list (const char *key, gint64 mtime, PvPackList *list, gpointer data, GError **error)
{
  Best *best = data;
  guint missing = 0;

  for (guint i = 0; i < list->packs->len; i++)
    missing += !is_there (best->view, &g_array_index (list->packs, PvRemotePack, i));
  if (best->packs != NULL && missing >= best->missing)
    return TRUE;
  g_clear_pointer (&best->packs, g_array_unref);
  best->packs = g_array_ref (list->packs);
  best->missing = missing;
  return TRUE;
}

static void
note_damaged (const char *key, gint64 mtime, const PvName *snapshot, const GError *why, gpointer data)
{
  g_ptr_array_add (((Best *) data)->damaged, g_strdup (key));
}

/* Damaged lists are not needed where a sound one names packs that are all there. They go, if mending was asked for. */
static gboolean
mend_lists (Verify *self, Best *best, GError **error)
{
  if (self->store == NULL || best->packs == NULL || best->missing > 0)
    return TRUE;
  for (; best->damaged->len > 0; g_ptr_array_remove_index_fast (best->damaged, 0))
    {
      if (!pv_remote_delete (self->remote, best->damaged->pdata[0], self->cancellable, error))
        return FALSE;
      *self->n_repaired += 1;
    }
  return TRUE;
}

static void
add_need (Verify *self, const PvRemotePack *pack, const char *full_name)
{
  Need *need = g_hash_table_lookup (self->needs, &pack->name);

  if (need == NULL)
    {
      need = g_new0 (Need, 1);
      need->pack = *pack;
      need->snapshots = g_ptr_array_new_with_free_func (g_free);
      g_hash_table_insert (self->needs, &need->pack.name, need);
    }
  g_ptr_array_add (need->snapshots, g_strdup (full_name));
}

static gboolean
add_needs (Verify *self, PvSnapshot *snapshot, GError **error)
{
  const char *full_name = pv_snapshot_full_name (snapshot);
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (snapshot));
  g_autofree char *prefix = g_strdup_printf ("needs/%s/", id);
  g_autoptr(GPtrArray) hit = g_ptr_array_new ();
  g_autoptr(GPtrArray) damaged = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GArray) packs = NULL;
  Best best = { .view = self->view, .damaged = damaged };
  gboolean done;

  g_ptr_array_add (hit, (gpointer) full_name);
  done = pv_mirror_each_list (self->mirror, prefix, compare_list, note_damaged, &best, self->cancellable, error);
  packs = best.packs;
  if (!done || !mend_lists (self, &best, error))
    return FALSE;
  for (guint i = 0; i < best.damaged->len; i++)
    report_damage (self, g_strdup (best.damaged->pdata[i]), "it is no list of packs: push the snapshot again", hit);
  if (packs == NULL && best.damaged->len == 0)
    report_damage (self, g_strdup_printf ("snapshot %s", full_name),
                   "it is not told which packs it needs: push it again", hit);
  for (guint i = 0; packs != NULL && i < packs->len; i++)
    add_need (self, &g_array_index (packs, PvRemotePack, i), full_name);
  return TRUE;
}

/* Sends the pack from the store, if it is there and sound. */
static gboolean
send_again (Verify *self, const Need *need)
{
  g_autofree char *path = self->store != NULL ? pv_store_pack_path (self->store, &need->pack.name) : NULL;
  const PvMirrorPack *there = g_hash_table_lookup (self->view, &need->pack.name);
  g_autofree char *key = pv_remote_pack_key (&need->pack.name,
                                             there != NULL ? there->generation : need->pack.generation);
  g_auto(PvFd) fd = path != NULL ? pv_openat (AT_FDCWD, path, O_RDONLY, 0, NULL) : PV_FD_NONE;
  g_autoptr(GError) why = NULL;

  if (fd < 0 || !pv_pull_check (self->mirror, path, &need->pack, &why)
      || !pv_remote_put_file (self->remote, key, fd, need->pack.size, self->cancellable, NULL, NULL, &why))
    {
      g_debug ("%s", why != NULL ? why->message : "the store does not have the pack");
      return FALSE;
    }
  *self->n_repaired += 1;
  return TRUE;
}

static gboolean
verify_pack (Verify *self, const Need *need, gboolean fetch, GError **error)
{
  const PvMirrorPack *there = g_hash_table_lookup (self->view, &need->pack.name);
  g_autofree char *hex = pv_name_to_hex (&need->pack.name);
  g_autofree char *path = pv_pull_path (self->mirror, &need->pack.name);
  g_autoptr(GError) why = NULL, fatal = NULL;

  if (there == NULL)
    pv_corrupt (&why, "it is not there");
  else if (there->size != need->pack.size)
    pv_corrupt (&why, "it has %" G_GUINT64_FORMAT " bytes instead of %" G_GUINT64_FORMAT, there->size,
                need->pack.size);
  else if (fetch)
    {
      (void) unlink (path); /* what the remote has is asked for, not what was fetched before */
      if (fetch_one (self->mirror, &need->pack, &why, self->cancellable, &fatal))
        self->result->checked_bytes += need->pack.size;
      (void) unlink (path);
    }
  if (fatal != NULL)
    return g_propagate_error (error, g_steal_pointer (&fatal)), FALSE;
  if (why != NULL && !send_again (self, need))
    report_damage (self, g_strconcat (PACK_PREFIX, hex, NULL), why->message, need->snapshots);
  return TRUE;
}

static gboolean
verify_packs (Verify *self, guint percent, PvStoreProgressFunc progress, gpointer data, GError **error)
{
  guint n = g_hash_table_size (self->needs), i = 0, n_fetched = 0;
  GHashTableIter iter;
  gpointer need;

  g_hash_table_iter_init (&iter, self->needs);
  while (g_hash_table_iter_next (&iter, NULL, &need))
    {
      gboolean fetch = g_random_int_range (0, 100) < (gint) percent || (n_fetched == 0 && i + 1 == n);

      if (progress != NULL)
        progress ("packs", i, n, data);
      if (!verify_pack (self, need, fetch, error))
        return FALSE;
      n_fetched += fetch;
      i++;
    }
  return TRUE;
}

static gboolean
verify_all (Verify *self, guint percent, PvStoreProgressFunc progress, gpointer data, GError **error)
{
  g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GPtrArray) snapshots = NULL;

  if (!pv_mirror_check_format (self->mirror, FALSE, self->cancellable, error)
      || !pv_mirror_refresh_snapshots (self->mirror, warnings, self->cancellable, error)
      || (snapshots = pv_mirror_list (self->mirror, NULL, error)) == NULL)
    return FALSE;
  for (guint i = 0; i < warnings->len; i++)
    report_damage (self, g_strdup ("a snapshot object"), warnings->pdata[i], NULL);
  self->view = pv_mirror_view_packs (self->mirror, self->cancellable, error);
  for (guint i = 0; self->view != NULL && i < snapshots->len; i++)
    if (!add_needs (self, snapshots->pdata[i], error))
      return FALSE;
  return self->view != NULL && verify_packs (self, percent, progress, data, error);
}

gboolean
pv_mirror_verify (PvMirror *self, guint percent, PvStore *store, PvVerifyResult *result, guint64 *n_repaired,
                  PvStoreProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error)
{
  g_auto(Verify) verify = { .mirror = self, .store = store, .result = result, .n_repaired = n_repaired,
                            .cancellable = cancellable };

  *n_repaired = 0;
  result->checked_bytes = 0;
  result->damaged = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_damage_free);
  verify.needs = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, NULL, need_free);
  verify.remote = pv_mirror_remote (self, error);
  if (verify.remote != NULL && verify_all (&verify, percent, progress, data, error))
    return TRUE;
  pv_verify_result_clear (result);
  return FALSE;
}
