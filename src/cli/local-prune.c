/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/local-prune.h"

#include "cli/disk-users.h"
#include "cli/lazy.h"
#include "restore/overlay-list.h"
#include "restore/working-set.h"
#include "util/error.h"

void
pv_pruned_free (gpointer pruned)
{
  PvPruned *self = pruned;

  pv_snapshot_unref (self->snapshot);
  g_free (self->kept);
  g_free (self);
}

/* (element-type PvSnapshot) (transfer full): those of @domain that policies took, oldest first. */
static GPtrArray *
list_automatic (PvStore *store, const char *domain, GError **error)
{
  g_autoptr(GPtrArray) all = pv_store_list (store, domain, error);
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_unref);

  for (guint i = 0; all != NULL && i < all->len; i++)
    if (pv_auto_name_parse (pv_snapshot_name (all->pdata[i]), NULL))
      g_ptr_array_add (found, pv_snapshot_ref (all->pdata[i]));
  return all != NULL ? g_steal_pointer (&found) : NULL;
}

static gboolean
any_goes (const PvRetentionItem *items, guint n)
{
  for (guint i = 0; i < n; i++)
    if (items[i].kept == NULL)
      return TRUE;
  return FALSE;
}

/* The newest of those that count as good and were not looked at yet. */
static gint
newest_unchecked (const PvRetentionItem *items, guint n, const gboolean *checked)
{
  gint newest = -1;

  for (guint i = 0; i < n; i++)
    if (items[i].good && !checked[i] && g_strcmp0 (items[i].kept, "future") != 0
        && (newest < 0 || items[i].time >= items[newest].time))
      newest = (gint) i;
  return newest;
}

/* Decides on all. Nothing goes before the newest that is to stay was found to be good: those above it that are not stay
 * as well. */
static gboolean
decide (PvCli *cli, PvStore *store, GPtrArray *snapshots, const PvRetention *retention, PvRetentionItem *items,
        GError **error)
{
  g_autoptr(GTimeZone) zone = g_time_zone_new_local ();
  g_autofree gboolean *checked = g_new0 (gboolean, snapshots->len);
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;
  gint newest;

  for (guint i = 0; i < snapshots->len; i++)
    {
      items[i] = (PvRetentionItem){ .good = TRUE };
      pv_auto_name_parse (pv_snapshot_name (snapshots->pdata[i]), &items[i].time);
    }
  pv_retention_apply (retention, zone, now, items, snapshots->len);
  while (any_goes (items, snapshots->len) && (newest = newest_unchecked (items, snapshots->len, checked)) >= 0)
    {
      g_autoptr(GError) why = NULL;

      checked[newest] = TRUE;
      items[newest].good = pv_store_snapshot_check (store, snapshots->pdata[newest], cli->cancellable, &why);
      if (items[newest].good)
        break;
      if (g_error_matches (why, PV_ERROR, PV_ERROR_CANCELLED))
        {
          g_propagate_error (error, g_steal_pointer (&why));
          return FALSE;
        }
      pv_retention_apply (retention, zone, now, items, snapshots->len);
    }
  return TRUE;
}

/* (transfer full) (nullable): who needs the snapshot @full. @users: (nullable). */
static char *
needed_by (PvStore *store, GPtrArray *overlays, GHashTable *users, const char *full)
{
  g_autoptr(GError) error = NULL;
  const char *guest = users != NULL ? g_hash_table_lookup (users, full) : NULL;

  if (guest != NULL)
    return g_strdup_printf ("a disk of guest '%s' lies over a disk of it", guest);
  for (guint i = 0; i < overlays->len; i++)
    if (g_str_equal (((PvOverlayEntry *) overlays->pdata[i])->snapshot, full))
      return g_strdup_printf ("'%s' lies over a disk of it", ((PvOverlayEntry *) overlays->pdata[i])->path);
  return pv_lazy_check_unused (store, full, &error) ? NULL : g_strdup (error->message);
}

gboolean
pv_local_prune (PvCli *cli, PvStore *store, PvConnection *connection, const char *domain,
                const PvRetention *retention, gboolean dry_run, GPtrArray *results, GError **error)
{
  g_autoptr(GPtrArray) snapshots = list_automatic (store, domain, error);
  g_autoptr(GPtrArray) overlays = pv_overlay_list_read (pv_store_directory (store));
  g_autoptr(GHashTable) users = NULL;
  g_autofree PvRetentionItem *items = NULL;

  if (snapshots == NULL)
    return FALSE;
  items = g_new0 (PvRetentionItem, MAX (snapshots->len, 1));
  if (!decide (cli, store, snapshots, retention, items, error))
    return FALSE;
  if (connection != NULL && any_goes (items, snapshots->len)
      && (users = pv_disk_users_find (connection, error)) == NULL)
    return FALSE;
  for (guint i = 0; i < snapshots->len; i++)
    {
      PvPruned *pruned = g_new0 (PvPruned, 1);

      g_ptr_array_add (results, pruned);
      pruned->snapshot = pv_snapshot_ref (snapshots->pdata[i]);
      pruned->kept = g_strdup (items[i].kept);
      if (pruned->kept == NULL)
        pruned->kept = needed_by (store, overlays, users, pv_snapshot_full_name (pruned->snapshot));
      if (pruned->kept == NULL && !dry_run
          && !pv_store_delete (store, domain, pv_snapshot_name (pruned->snapshot), error))
        {
          pruned->kept = g_strdup ("it could not be deleted");
          return FALSE;
        }
    }
  return dry_run || pv_working_set_sweep (store, error);
}
