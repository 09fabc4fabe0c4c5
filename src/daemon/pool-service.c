/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/pool-service.h"

#include "daemon/pool-service-private.h"
#include "restore/lazy-restore.h"
#include "restore/working-set.h"
#include "util/error.h"

#define FORGET_SECONDS 60 /* after which an unfinished image that nobody has open is given up */
#define SWEEP_SECONDS 10

/* Who has begun an image and is gone does not come back. */
static gboolean
sweep (gpointer data)
{
  PvPoolService *self = data;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GHashTableIter iter;
  gpointer incoming;

  g_hash_table_iter_init (&iter, self->incoming);
  while (g_hash_table_iter_next (&iter, NULL, &incoming))
    if (pv_incoming_idle (incoming) >= FORGET_SECONDS)
      g_hash_table_iter_remove (&iter);
  return G_SOURCE_CONTINUE;
}

PvPoolService *
pv_pool_service_new (PvStore *store, PvFreshDisks *disks, PvLibvirtLink *link)
{
  PvPoolService *self = g_new0 (PvPoolService, 1);

  self->store = pv_store_ref (store);
  self->images = pv_served_images_new (store);
  g_mutex_init (&self->lock);
  self->disks = disks;
  self->link = link;
  self->readers = g_hash_table_new (NULL, NULL);
  self->incoming = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) pv_incoming_unref);
  self->sweep = g_timeout_add_seconds (SWEEP_SECONDS, sweep, self);
  return self;
}

void
pv_pool_service_free (PvPoolService *self)
{
  pv_served_images_free (self->images);
  g_source_remove (self->sweep);
  g_hash_table_unref (self->incoming);
  g_hash_table_unref (self->readers);
  g_mutex_clear (&self->lock);
  pv_store_unref (self->store);
  g_free (self);
}

void
pv_pool_service_set_mount (PvPoolService *self, PvMount *mount)
{
  self->mount = mount;
}

/* --- who needs a snapshot ----------------------------------------------------------------------------------------- */

static gboolean
is_read (PvPoolService *self, const char *full)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GHashTableIter iter;
  gpointer handle;

  g_hash_table_iter_init (&iter, self->readers);
  while (g_hash_table_iter_next (&iter, &handle, NULL))
    if (g_str_equal (pv_snapshot_full_name (((PvPoolFile *) handle)->snapshot), full))
      return TRUE;
  return FALSE;
}

gboolean
pv_pool_service_check_name_unused (PvPoolService *self, const char *full, gboolean managed, GError **error)
{
  g_autofree char *overlay = pv_fresh_disks_over (self->disks, full);
  g_autofree char *user = NULL;

  if ((is_read (self, full) && !managed) || pv_mount_is_open (self->mount, full))
    return pv_throw (error, PV_ERROR_BUSY, "snapshot %s is not deleted: it is being read", full);
  if (overlay != NULL)
    return pv_throw (error, PV_ERROR_BUSY, "snapshot %s is not deleted: '%s' lies over a disk of it", full, overlay);
  user = pv_lazy_user (pv_store_directory (self->store), full);
  return user == NULL
         || pv_throw (error, PV_ERROR_BUSY, "snapshot %s is not deleted: the memory of guest %s is still coming", full,
                      user);
}

gboolean
pv_pool_service_check_unused (PvPoolService *self, PvSnapshot *snapshot, GError **error)
{
  return pv_pool_service_check_name_unused (self, pv_snapshot_full_name (snapshot), FALSE, error);
}

gboolean
pv_pool_service_delete (PvPoolService *self, PvSnapshot *snapshot, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (!pv_pool_service_check_unused (self, snapshot, error))
    return FALSE;
  if (!pv_store_delete (self->store, pv_snapshot_domain (snapshot), pv_snapshot_name (snapshot), &local)
      && !g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  return pv_working_set_sweep (self->store, error);
}

/* --- for the hook ------------------------------------------------------------------------------------------------ */

/* (element-type PvSnapshot) (transfer full): those of which somebody reads the memory. */
static GPtrArray *
snapshots_read (PvPoolService *self)
{
  GPtrArray *snapshots = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_unref);
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GHashTableIter iter;
  gpointer handle;

  g_hash_table_iter_init (&iter, self->readers);
  while (g_hash_table_iter_next (&iter, &handle, NULL))
    g_ptr_array_add (snapshots, pv_snapshot_ref (((PvPoolFile *) handle)->snapshot));
  return snapshots;
}

gboolean
pv_pool_service_check_restore (PvPoolService *self, const char *xml, GError **error)
{
  g_autoptr(GPtrArray) snapshots = snapshots_read (self);

  for (guint i = 0; i < snapshots->len; i++)
    if (!pv_fresh_disks_check_own (self->disks, snapshots->pdata[i], xml, error))
      return FALSE;
  return TRUE;
}
