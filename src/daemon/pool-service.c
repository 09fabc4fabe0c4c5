/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/pool-service.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "util/error.h"
#include "util/snapshot-name.h"

#define SUFFIX ".save"
#define NAME_MAX_BYTES 255 /* no file system takes more */
#define IMAGE_MODE 0400

struct _PvPoolService
{
  PvStore *store;          /* (owned) */
  PvServedImages *images;  /* (owned) */
};

/* An open file. */
typedef struct
{
  PvMemoryView *view; /* (owned) */
  PvStorePin *pin;    /* (owned) */
  char *name;         /* (owned): for messages */
} Handle;

PvPoolService *
pv_pool_service_new (PvStore *store)
{
  PvPoolService *self = g_new0 (PvPoolService, 1);

  self->store = pv_store_ref (store);
  self->images = pv_served_images_new (store);
  return self;
}

void
pv_pool_service_free (PvPoolService *self)
{
  pv_served_images_free (self->images);
  pv_store_unref (self->store);
  g_free (self);
}

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

/* (transfer full): the snapshot whose memory is the file @name; NULL with a negative errno in @result. */
static PvSnapshot *
find_image (PvPoolService *self, const char *name, int *result)
{
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GError) error = NULL;
  g_autofree char *stem = NULL;
  g_autofree char *domain = NULL;
  g_autofree char *snapshot_name = NULL;

  *result = -ENOENT;
  if (!g_str_has_suffix (name, SUFFIX))
    return NULL;
  stem = g_strndup (name, strlen (name) - strlen (SUFFIX));
  if (!pv_snapshot_name_parse (stem, &domain, &snapshot_name, NULL))
    return NULL;
  snapshot = pv_store_lookup (self->store, domain, snapshot_name, &error);
  if (snapshot == NULL && !g_error_matches (error, PV_ERROR, PV_ERROR_NOT_FOUND))
    *result = tell (name, error);
  if (snapshot == NULL || !pv_served_images_can (snapshot))
    return NULL;
  *result = 0;
  return g_steal_pointer (&snapshot);
}

/* --- what the mount asks ----------------------------------------------------------------------------------------- */

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
  return 0;
}

static int
stat_image (gpointer data, const char *name, PvMountStat *stat)
{
  PvPoolService *self = data;
  g_autoptr(GError) error = NULL;
  int result;
  g_autoptr(PvSnapshot) snapshot = find_image (self, name, &result);

  if (snapshot == NULL)
    return result;
  if (!pv_served_images_size (self->images, snapshot, &stat->size, &error))
    return tell (name, error);
  stat->time = pv_snapshot_time (snapshot);
  stat->mode = IMAGE_MODE;
  return 0;
}

static void
release_handle (gpointer file)
{
  Handle *handle = file;

  g_clear_pointer (&handle->view, pv_memory_view_unref);
  g_clear_pointer (&handle->pin, pv_store_pin_free);
  g_free (handle->name);
  g_free (handle);
}

static int
open_image (gpointer data, const char *name, int flags, gpointer *file, gboolean *direct)
{
  PvPoolService *self = data;
  g_autoptr(GError) error = NULL;
  int result;
  g_autoptr(PvSnapshot) snapshot = find_image (self, name, &result);
  Handle *handle;

  if (snapshot == NULL)
    return result;
  if ((flags & O_ACCMODE) != O_RDONLY)
    return -EEXIST; /* a snapshot is never written over */
  handle = g_new0 (Handle, 1);
  handle->name = g_strdup (name);
  handle->pin = pv_store_pin (self->store, snapshot, &error);
  handle->view = handle->pin != NULL ? pv_served_images_view (self->images, snapshot, &error) : NULL;
  if (handle->view == NULL)
    {
      release_handle (handle);
      return tell (name, error);
    }
  *file = handle;
  *direct = FALSE;
  return 0;
}

static int
create_image (gpointer data, const char *name, gpointer *file)
{
  return -EROFS;
}

static int
read_image (gpointer file, guint8 *buffer, gsize size, guint64 offset)
{
  Handle *handle = file;
  guint64 end = pv_memory_view_size (handle->view);
  g_autoptr(GError) error = NULL;

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
  return -EBADF;
}

static int
truncate_image (gpointer data, const char *name, guint64 size)
{
  return -EROFS;
}

static int
sync_image (gpointer file)
{
  return 0;
}

static int
remove_file (gpointer data, const char *name)
{
  return -EROFS;
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
  .flush = sync_image,
  .release = release_handle,
  .remove = remove_file,
};
