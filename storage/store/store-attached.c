/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The store's own snapshots and those of attached remotes together. */
#include "config.h"

#include "store/mirror-private.h"
#include "store/store-private.h"
#include "util/error.h"

/* The mirror that knows the snapshot, and it, in @snapshot: NULL without @error when nobody does. */
static PvMirror *
who_knows (PvStore *self, const char *domain, const char *name, PvSnapshot **snapshot, GError **error)
{
  for (guint i = 0; i < self->mirrors->len; i++)
    {
      g_autoptr(GError) why = NULL;

      *snapshot = pv_mirror_find (self->mirrors->pdata[i], domain, name, &why);
      if (why != NULL)
        return g_propagate_error (error, g_steal_pointer (&why)), NULL;
      if (*snapshot != NULL)
        return self->mirrors->pdata[i];
    }
  return NULL;
}

/* (nullable): a snapshot of an attached remote, made ready to be read. @refresh: asks the remotes what they have. */
static PvSnapshot *
find_attached (PvStore *self, const char *domain, const char *name, gboolean refresh, GCancellable *cancellable,
               GError **error)
{
  for (guint i = 0; i < self->mirrors->len; i++)
    {
      g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
      g_autoptr(PvSnapshot) snapshot = NULL;
      g_autoptr(GError) why = NULL;

      if (refresh && !pv_mirror_refresh_snapshots (self->mirrors->pdata[i], warnings, cancellable, error))
        return NULL;
      snapshot = pv_mirror_find (self->mirrors->pdata[i], domain, name, &why);
      if (why != NULL)
        return g_propagate_error (error, g_steal_pointer (&why)), NULL;
      if (snapshot != NULL)
        return pv_mirror_prepare (self->mirrors->pdata[i], snapshot, cancellable, error) ? g_steal_pointer (&snapshot)
                                                                                         : NULL;
    }
  return NULL;
}

PvSnapshot *
pv_store_find (PvStore *self, const char *domain, const char *name, GCancellable *cancellable, GError **error)
{
  g_autoptr(GError) local = NULL, remote = NULL;
  PvSnapshot *snapshot = pv_store_lookup (self, domain, name, &local);

  if (snapshot != NULL || !g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      if (snapshot == NULL)
        g_propagate_error (error, g_steal_pointer (&local));
      return snapshot;
    }
  snapshot = find_attached (self, domain, name, FALSE, cancellable, &remote);
  if (snapshot == NULL && remote == NULL)
    snapshot = find_attached (self, domain, name, TRUE, cancellable, &remote);
  if (snapshot == NULL)
    g_propagate_error (error, remote != NULL ? g_steal_pointer (&remote) : g_steal_pointer (&local));
  return snapshot;
}


PvSnapshot *
pv_store_look_up_known (PvStore *self, const char *domain, const char *name, GError **error)
{
  g_autoptr(GError) local = NULL, remote = NULL;
  PvSnapshot *snapshot = pv_store_lookup (self, domain, name, &local);

  if (snapshot != NULL)
    return snapshot;
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND)
      && who_knows (self, domain, name, &snapshot, &remote) != NULL)
    return snapshot;
  g_propagate_error (error, remote != NULL ? g_steal_pointer (&remote) : g_steal_pointer (&local));
  return NULL;
}

gboolean
pv_store_prepare (PvStore *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvSnapshot) known = pv_store_lookup (self, pv_snapshot_domain (snapshot), pv_snapshot_name (snapshot),
                                                 &local);
  PvMirror *mirror = NULL;

  if (known == NULL && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_clear_error (&local);
      mirror = who_knows (self, pv_snapshot_domain (snapshot), pv_snapshot_name (snapshot), &known, &local);
    }
  if (local != NULL)
    return g_propagate_error (error, g_steal_pointer (&local)), FALSE;
  return mirror == NULL || pv_mirror_prepare (mirror, known, cancellable, error);
}

/* Appends those of @snapshots whose name is not in @names yet. */
static void
add_new (GPtrArray *all, GHashTable *names, GPtrArray *snapshots)
{
  for (guint i = 0; i < snapshots->len; i++)
    if (g_hash_table_add (names, (gpointer) pv_snapshot_full_name (snapshots->pdata[i])))
      g_ptr_array_add (all, pv_snapshot_ref (snapshots->pdata[i]));
}

GPtrArray *
pv_store_list_known (PvStore *self, GError **error)
{
  g_autoptr(GPtrArray) all = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_unref);
  g_autoptr(GHashTable) names = g_hash_table_new (g_str_hash, g_str_equal);
  g_autoptr(GPtrArray) own = pv_store_list (self, NULL, error);

  if (own == NULL)
    return NULL;
  add_new (all, names, own);
  for (guint i = 0; i < self->mirrors->len; i++)
    {
      g_autoptr(GPtrArray) there = pv_mirror_list (self->mirrors->pdata[i], NULL, error);

      if (there == NULL)
        return NULL;
      add_new (all, names, there);
    }
  return g_steal_pointer (&all);
}
