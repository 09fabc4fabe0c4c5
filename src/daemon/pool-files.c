/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The files of a PvPoolService as the mount asks for them: images that are read, written, removed. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "daemon/pool-service-private.h"
#include "pool/disk-name.h"
#include "restore/working-set.h"
#include "util/error.h"
#include "util/snapshot-name.h"

#define SUFFIX ".save"
#define NAME_MAX_BYTES 255 /* no file system takes more */
#define IMAGE_MODE 0400
#define INCOMING_MODE 0600

/* The errno that says most of @error, which is logged: a caller of open(2) gets no more. */
static int
tell (const char *name, const GError *error)
{
  static const struct
  {
    PvError code;
    int errnum;
  } table[] = {
    { PV_ERROR_NOT_FOUND, ENOENT }, { PV_ERROR_EXISTS, EEXIST },     { PV_ERROR_BUSY, EBUSY },
    { PV_ERROR_NO_SPACE, ENOSPC },  { PV_ERROR_UNSUPPORTED, ENOTSUP }, { PV_ERROR_DENIED, EACCES },
    { PV_ERROR_INVALID, EINVAL },
  };

  g_warning ("%s: %s", name, error->message);
  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    if (g_error_matches (error, PV_ERROR, table[i].code))
      return -table[i].errnum;
  return -EIO;
}

/* --- names ------------------------------------------------------------------------------------------------------- */

/* DOMAIN@NAME.save, or DOMAIN.save, which is DOMAIN@managedsave.save: libvirt calls its managed saves so. @domain,
 * @snapshot: (out) (transfer full). */
static gboolean
parse_name (const char *name, char **domain, char **snapshot, GError **error)
{
  g_autofree char *stem = NULL;

  if (!g_str_has_suffix (name, SUFFIX))
    return pv_throw (error, PV_ERROR_INVALID, "only DOMAIN@NAME.save can be written here");
  stem = g_strndup (name, strlen (name) - strlen (SUFFIX));
  if (strchr (stem, '@') != NULL)
    return pv_snapshot_name_parse (stem, domain, snapshot, error);
  if (!pv_domain_name_check (stem, error))
    return FALSE;
  *domain = g_steal_pointer (&stem);
  *snapshot = g_strdup (PV_MANAGED_SAVE);
  return TRUE;
}

/* (transfer full) (nullable): the image that is being written under that name. One that has become a snapshot is that
 * from now on. */
static PvIncoming *
find_incoming (PvPoolService *self, const char *name)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  PvIncoming *incoming = g_hash_table_lookup (self->incoming, name);

  if (incoming != NULL && pv_incoming_done (incoming))
    {
      g_hash_table_remove (self->incoming, name);
      incoming = NULL;
    }
  return incoming != NULL ? pv_incoming_ref (incoming) : NULL;
}

/* (transfer full): the snapshot whose memory is the file @name; NULL with a negative errno in @result. */
static PvSnapshot *
find_image (PvPoolService *self, const char *name, int *result)
{
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *domain = NULL;
  g_autofree char *snapshot_name = NULL;

  *result = -ENOENT;
  if (!parse_name (name, &domain, &snapshot_name, NULL))
    return NULL;
  snapshot = pv_store_look_up_known (self->store, domain, snapshot_name, &error);
  if (snapshot != NULL && !pv_store_prepare (self->store, snapshot, NULL, &error))
    {
      *result = tell (name, error);
      return NULL;
    }
  if (snapshot == NULL && !g_error_matches (error, PV_ERROR, PV_ERROR_NOT_FOUND))
    *result = tell (name, error);
  if (snapshot == NULL || !pv_served_images_can (snapshot))
    return NULL;
  *result = 0;
  return g_steal_pointer (&snapshot);
}

/* --- what the mount asks ----------------------------------------------------------------------------------------- */

static void
list_incoming (PvPoolService *self, GPtrArray *names)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  GHashTableIter iter;
  gpointer name, incoming;

  g_hash_table_iter_init (&iter, self->incoming);
  while (g_hash_table_iter_next (&iter, &name, &incoming))
    if (!pv_incoming_done (incoming) && !g_ptr_array_find_with_equal_func (names, name, g_str_equal, NULL))
      g_ptr_array_add (names, g_strdup (name));
}

static int
list_images (gpointer data, GPtrArray *names)
{
  PvPoolService *self = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) snapshots = pv_store_list (self->store, NULL, &error);

  if (snapshots == NULL)
    return tell ("the list of snapshots", error);
  for (guint i = 0; i < snapshots->len; i++)
    {
      g_autofree char *name = g_strconcat (pv_snapshot_full_name (snapshots->pdata[i]), SUFFIX, NULL);

      if (pv_served_images_can (snapshots->pdata[i]) && strlen (name) <= NAME_MAX_BYTES)
        g_ptr_array_add (names, g_steal_pointer (&name));
    }
  list_incoming (self, names);
  return 0;
}

static int
stat_image (gpointer data, const char *name, PvMountStat *stat)
{
  PvPoolService *self = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(PvIncoming) incoming = find_incoming (self, name);
  g_autoptr(PvSnapshot) snapshot = NULL;
  int result;

  if (incoming != NULL)
    {
      *stat = (PvMountStat) { pv_incoming_size (incoming), g_get_real_time (), INCOMING_MODE };
      return 0;
    }
  snapshot = find_image (self, name, &result);
  if (snapshot == NULL)
    return result;
  if (!pv_served_images_size (self->images, snapshot, &stat->size, &error))
    return tell (name, error);
  stat->time = pv_snapshot_time (snapshot);
  stat->mode = IMAGE_MODE;
  return 0;
}

/* Takes over the reference. One that has failed is gone with the last who has it open. */
static void
close_incoming (PvPoolService *self, const char *name, PvIncoming *incoming)
{
  pv_incoming_close (incoming);
  g_mutex_lock (&self->lock);
  if (pv_incoming_dead (incoming) && g_hash_table_lookup (self->incoming, name) == incoming)
    g_hash_table_remove (self->incoming, name);
  g_mutex_unlock (&self->lock);
  pv_incoming_unref (incoming);
}

static void
release_handle (gpointer file)
{
  PvPoolFile *handle = file;

  g_mutex_lock (&handle->pool->lock);
  g_hash_table_remove (handle->pool->readers, handle);
  g_mutex_unlock (&handle->pool->lock);
  if (handle->incoming != NULL)
    close_incoming (handle->pool, handle->name, handle->incoming);
  g_clear_pointer (&handle->view, pv_memory_view_unref);
  g_clear_pointer (&handle->pin, pv_store_pin_free);
  g_clear_pointer (&handle->snapshot, pv_snapshot_unref);
  g_free (handle->name);
  g_free (handle);
}

/* @incoming: (transfer full) */
static PvPoolFile *
incoming_handle (PvPoolService *self, const char *name, PvIncoming *incoming)
{
  PvPoolFile *handle = g_new0 (PvPoolFile, 1);

  handle->pool = self;
  handle->name = g_strdup (name);
  handle->incoming = incoming;
  pv_incoming_open (incoming);
  return handle;
}

static int
open_incoming (PvPoolService *self, const char *name, int flags, PvIncoming *incoming, gpointer *file)
{
  int result = (flags & O_TRUNC) != 0 ? pv_incoming_truncate (incoming, 0) : 0;

  if (result == 0)
    *file = incoming_handle (self, name, pv_incoming_ref (incoming));
  return result;
}

static int
open_image (gpointer data, const char *name, int flags, gpointer *file, gboolean *direct)
{
  PvPoolService *self = data;
  g_autoptr(GError) error = NULL;
  g_autoptr(PvIncoming) incoming = find_incoming (self, name);
  g_autoptr(PvSnapshot) snapshot = NULL;
  PvPoolFile *handle;
  int result;

  *direct = TRUE;
  if (incoming != NULL)
    return open_incoming (self, name, flags, incoming, file);
  snapshot = find_image (self, name, &result);
  if (snapshot == NULL)
    return result;
  if ((flags & O_ACCMODE) != O_RDONLY)
    return -EEXIST; /* a snapshot is never written over */
  handle = g_new0 (PvPoolFile, 1);
  handle->pool = self;
  handle->name = g_strdup (name);
  handle->snapshot = pv_snapshot_ref (snapshot);
  handle->pin = pv_store_pin (self->store, snapshot, &error);
  handle->view = handle->pin != NULL ? pv_served_images_view (self->images, snapshot, &error) : NULL;
  if (handle->view == NULL)
    {
      release_handle (handle);
      return tell (name, error);
    }
  g_mutex_lock (&self->lock);
  g_hash_table_add (self->readers, handle);
  g_mutex_unlock (&self->lock);
  *file = handle;
  *direct = FALSE;
  return 0;
}

/* A snapshot that has only disks has the name, too. */
static gboolean
check_free (PvPoolService *self, const char *domain, const char *name, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvSnapshot) there = pv_store_lookup (self->store, domain, name, &local);

  if (there != NULL)
    return pv_throw (error, PV_ERROR_EXISTS, "there is a snapshot %s@%s already", domain, name);
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static int
create_image (gpointer data, const char *name, gpointer *file)
{
  PvPoolService *self = data;
  g_autoptr(PvIncoming) incoming = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *domain = NULL;
  g_autofree char *snapshot = NULL;

  if (!parse_name (name, &domain, &snapshot, &error) || !check_free (self, domain, snapshot, &error))
    return tell (name, error);
  incoming = pv_incoming_new (self->store, self->link, name, domain, snapshot);
  *file = incoming_handle (self, name, pv_incoming_ref (incoming));
  g_mutex_lock (&self->lock);
  g_hash_table_insert (self->incoming, g_strdup (name), g_steal_pointer (&incoming));
  g_mutex_unlock (&self->lock);
  return 0;
}

static int
read_image (gpointer file, guint8 *buffer, gsize size, guint64 offset)
{
  PvPoolFile *handle = file;
  guint64 end = handle->view != NULL ? pv_memory_view_size (handle->view) : 0;
  g_autoptr(GError) error = NULL;

  if (handle->view == NULL)
    return -EAGAIN; /* it can be read when it is finished */
  if (offset >= end)
    return 0;
  size = (gsize) MIN (size, end - offset);
  if (!pv_memory_view_read (handle->view, offset, size, buffer, &error))
    {
      tell (handle->name, error);
      return -EIO; /* what is damaged is never said not to be there */
    }
  return (int) size;
}

static int
write_image (gpointer file, const guint8 *buffer, gsize size, guint64 offset)
{
  PvPoolFile *handle = file;

  return handle->incoming != NULL ? pv_incoming_write (handle->incoming, buffer, size, offset) : -EBADF;
}

static int
truncate_image (gpointer data, const char *name, guint64 size)
{
  PvPoolService *self = data;
  g_autoptr(PvIncoming) incoming = find_incoming (self, name);

  return incoming != NULL ? pv_incoming_truncate (incoming, size) : -EROFS;
}

/* What is written becomes durable with the snapshot, at once. */
static int
sync_image (gpointer file)
{
  return 0;
}

static int
flush_image (gpointer file)
{
  PvPoolFile *handle = file;

  return handle->incoming != NULL ? pv_incoming_flush (handle->incoming) : 0;
}

/* --- removing ---------------------------------------------------------------------------------------------------- */

static int
cancel_incoming (PvPoolService *self, const char *name, PvIncoming *incoming)
{
  g_mutex_lock (&self->lock);
  g_hash_table_remove (self->incoming, name);
  g_mutex_unlock (&self->lock);
  pv_incoming_cancel (incoming);
  return 0;
}

static int
remove_file (gpointer data, const char *name)
{
  PvPoolService *self = data;
  g_autoptr(PvIncoming) incoming = find_incoming (self, name);
  g_autoptr(GError) error = NULL;
  g_autofree char *domain = NULL;
  g_autofree char *snapshot = NULL;
  g_autofree char *target = NULL;
  g_autofree char *full = NULL;

  if (incoming != NULL)
    return cancel_incoming (self, name, incoming);
  if (!parse_name (name, &domain, &snapshot, NULL) && !pv_disk_name_parse (name, &domain, &snapshot, &target))
    return -ENOENT;
  full = g_strconcat (domain, "@", snapshot, NULL);
  if (!pv_pool_service_check_name_unused (self, full, strchr (name, '@') == NULL, &error)
      || !pv_store_delete (self->store, domain, snapshot, &error)
      || !pv_working_set_sweep (self->store, &error))
    return tell (name, error);
  g_message ("%s: snapshot %s is deleted", name, full);
  return 0;
}

const PvMountFiles pv_pool_service_files = {
  .list = list_images,
  .stat = stat_image,
  .open = open_image,
  .create = create_image,
  .read = read_image,
  .write = write_image,
  .truncate = truncate_image,
  .sync = sync_image,
  .flush = flush_image,
  .release = release_handle,
  .remove = remove_file,
};
