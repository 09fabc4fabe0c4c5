/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernel asks of a mount. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "pool/disk-name.h"
#include "pool/mount-private.h"
#include "store/volume-reader.h"
#include "util/error.h"

#define DIRECTORY_MODE 0711
#define FILE_MODE 0400
#define ATTRIBUTES_SECONDS 1.0 /* for which the kernel may believe what it was told */

/* An open file: a disk, or one of PvMountFiles. */
typedef struct
{
  gpointer other;         /* of PvMountFiles; NULL for a disk */
  PvSnapshot *snapshot;   /* (owned) */
  const PvVolume *volume; /* of snapshot */
  PvStorePin *pin;        /* (owned) */
  PvVolumeReader *reader; /* (owned) */
} OpenFile;

static PvMount *
this_mount (void)
{
  return fuse_get_context ()->private_data;
}

static OpenFile *
open_file_of (struct fuse_file_info *file)
{
  return (OpenFile *) (gsize) file->fh;
}

static int
errno_of (const GError *error)
{
  if (g_error_matches (error, PV_ERROR, PV_ERROR_NOT_FOUND))
    return -ENOENT;
  g_warning ("%s", error->message);
  return -EIO;
}

/* 0, or a negative errno. @volume: (out): valid as long as @snapshot (out) (transfer full). */
static int
find_disk (PvMount *self, const char *path, PvSnapshot **snapshot, const PvVolume **volume)
{
  g_autofree char *domain = NULL;
  g_autofree char *name = NULL;
  g_autofree char *target = NULL;
  g_autoptr(GError) error = NULL;

  if (*path != '/' || !pv_disk_name_parse (path + 1, &domain, &name, &target))
    return -ENOENT;
  *snapshot = pv_store_look_up_known (self->store, domain, name, &error);
  if (*snapshot == NULL)
    return errno_of (error);
  *volume = pv_snapshot_find_volume (*snapshot, PV_VOLUME_DISK, target);
  return *volume != NULL ? 0 : -ENOENT;
}

/* --- attributes -------------------------------------------------------------------------------------------------- */

/* A file that has another content has another time: the kernel then forgets what it has cached of it. */
static void
fill_stat (PvMount *self, const char *path, const PvMountStat *what, struct stat *st)
{
  gboolean directory = g_str_equal (path, "/");
  const PvMountOwner *owner;

  st->st_mode = what->mode;
  st->st_nlink = directory ? 2 : 1;
  st->st_uid = getuid ();
  st->st_gid = getgid ();
  st->st_size = (off_t) what->size;
  st->st_blocks = (blkcnt_t) ((what->size + 511) / 512);
  st->st_blksize = 65536;
  st->st_mtim.tv_sec = what->time / G_USEC_PER_SEC;
  st->st_mtim.tv_nsec = what->time % G_USEC_PER_SEC * 1000;
  st->st_ctim = st->st_atim = st->st_mtim;
  g_mutex_lock (&self->lock);
  owner = g_hash_table_lookup (self->owners, path);
  if (owner != NULL)
    {
      st->st_uid = owner->uid;
      st->st_gid = owner->gid;
      st->st_mode = owner->mode;
    }
  g_mutex_unlock (&self->lock);
  st->st_mode |= directory ? S_IFDIR : S_IFREG;
}

static void
fill_disk_stat (PvMount *self, const char *path, PvSnapshot *snapshot, const PvVolume *volume, struct stat *st)
{
  PvMountStat what = { volume->size, pv_snapshot_time (snapshot), FILE_MODE };

  fill_stat (self, path, &what, st);
}

static int
do_getattr (const char *path, struct stat *st, struct fuse_file_info *file)
{
  PvMount *self = this_mount ();
  g_autoptr(PvSnapshot) snapshot = NULL;
  PvMountStat what = { 0, 0, DIRECTORY_MODE };
  const PvVolume *volume = NULL;
  int result = 0;

  memset (st, 0, sizeof *st);
  if (file != NULL && open_file_of (file)->other == NULL)
    {
      /* An open disk is there, whether its snapshot is listed or not: the kernel asks again while it reads. */
      fill_disk_stat (self, path, open_file_of (file)->snapshot, open_file_of (file)->volume, st);
      return 0;
    }
  if (!g_str_equal (path, "/"))
    result = self->files != NULL ? self->files->stat (self->files_data, path + 1, &what) : -ENOENT;
  if (result == 0)
    fill_stat (self, path, &what, st);
  if (result != -ENOENT)
    return result;
  result = find_disk (self, path, &snapshot, &volume);
  if (result == 0)
    fill_disk_stat (self, path, snapshot, volume, st);
  return result;
}

/* The kernel has checked that the caller may. -1: stays. */
static int
set_owner (const char *path, uid_t uid, gid_t gid, gint64 mode)
{
  PvMount *self = this_mount ();
  struct stat st;
  int result = do_getattr (path, &st, NULL);
  PvMountOwner *owner;

  if (result != 0)
    return result;
  if (S_ISDIR (st.st_mode) && self->files == NULL)
    return -EROFS;
  owner = g_new0 (PvMountOwner, 1);
  owner->uid = uid != (uid_t) -1 ? uid : st.st_uid;
  owner->gid = gid != (gid_t) -1 ? gid : st.st_gid;
  owner->mode = (mode >= 0 ? (mode_t) mode : st.st_mode) & 0777;
  g_mutex_lock (&self->lock);
  g_hash_table_insert (self->owners, g_strdup (path), owner);
  g_mutex_unlock (&self->lock);
  return 0;
}

static int
do_chown (const char *path, uid_t uid, gid_t gid, struct fuse_file_info *file)
{
  return set_owner (path, uid, gid, -1);
}

static int
do_chmod (const char *path, mode_t mode, struct fuse_file_info *file)
{
  return set_owner (path, (uid_t) -1, (gid_t) -1, mode);
}

/* Times are those of the snapshots. */
static int
do_utimens (const char *path, const struct timespec times[2], struct fuse_file_info *file)
{
  struct stat st;

  return this_mount ()->files != NULL ? do_getattr (path, &st, NULL) : -EROFS;
}

static int
do_statfs (const char *path, struct statvfs *status)
{
  return statvfs (pv_store_directory (this_mount ()->store), status) == 0 ? 0 : -errno;
}

/* --- the directory ----------------------------------------------------------------------------------------------- */

static void
list_disks (void *buffer, fuse_fill_dir_t fill, GPtrArray *snapshots)
{
  for (guint i = 0; i < snapshots->len; i++)
    {
      PvSnapshot *snapshot = snapshots->pdata[i];

      for (guint j = 0; j < pv_snapshot_n_volumes (snapshot); j++)
        {
          const PvVolume *volume = pv_snapshot_volume (snapshot, j);
          g_autofree char *name = volume->kind == PV_VOLUME_DISK ? pv_disk_name_make (snapshot, volume) : NULL;

          if (name != NULL)
            fill (buffer, name, NULL, 0, 0);
        }
    }
}

/* A pool of libvirt reads from all that it lists: there it is only what is here. What attached remotes have is there by
 * its name. */
static int
do_readdir (const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *file,
            enum fuse_readdir_flags flags)
{
  PvMount *self = this_mount ();
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) snapshots = self->files == NULL ? pv_store_list_known (self->store, &error)
                                                       : pv_store_list (self->store, NULL, &error);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  int result;

  if (snapshots == NULL)
    return errno_of (error);
  result = self->files != NULL ? self->files->list (self->files_data, names) : 0;
  if (result != 0)
    return result;
  fill (buffer, ".", NULL, 0, 0);
  fill (buffer, "..", NULL, 0, 0);
  for (guint i = 0; i < names->len; i++)
    fill (buffer, names->pdata[i], NULL, 0, 0);
  list_disks (buffer, fill, snapshots);
  return 0;
}

static int
do_unlink (const char *path)
{
  PvMount *self = this_mount ();
  int result = self->files != NULL ? self->files->remove (self->files_data, path + 1) : -EROFS;

  if (result == 0)
    {
      g_mutex_lock (&self->lock);
      g_hash_table_remove (self->owners, path);
      g_mutex_unlock (&self->lock);
    }
  return result;
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static void
open_file_free (OpenFile *open)
{
  g_clear_pointer (&open->reader, pv_volume_reader_free);
  g_clear_pointer (&open->pin, pv_store_pin_free);
  g_clear_pointer (&open->snapshot, pv_snapshot_unref);
  g_free (open);
}

static void
keep_other (struct fuse_file_info *file, gpointer other, gboolean direct)
{
  OpenFile *open = g_new0 (OpenFile, 1);

  open->other = other;
  file->direct_io = direct;
  file->fh = (guint64) (gsize) open;
}

static int
open_disk (PvMount *self, const char *path, struct fuse_file_info *file)
{
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GError) error = NULL;
  const PvVolume *volume = NULL;
  OpenFile *open;
  int result = (file->flags & O_ACCMODE) != O_RDONLY ? -EROFS : find_disk (self, path, &snapshot, &volume);

  if (result != 0)
    return result;
  open = g_new0 (OpenFile, 1);
  open->volume = volume;
  open->snapshot = g_steal_pointer (&snapshot);
  if (pv_store_prepare (self->store, open->snapshot, NULL, &error))
    open->pin = pv_store_pin (self->store, open->snapshot, &error);
  open->reader = open->pin != NULL ? pv_volume_reader_new (self->store, volume, &error) : NULL;
  if (open->reader == NULL)
    {
      open_file_free (open);
      return errno_of (error);
    }
  g_mutex_lock (&self->lock);
  g_ptr_array_add (self->open_disks, g_strdup (pv_snapshot_full_name (open->snapshot)));
  g_mutex_unlock (&self->lock);
  file->fh = (guint64) (gsize) open;
  return 0;
}

static int
do_open (const char *path, struct fuse_file_info *file)
{
  PvMount *self = this_mount ();
  gboolean direct = FALSE;
  gpointer other = NULL;
  int result = -ENOENT;

  if (self->files != NULL)
    result = self->files->open (self->files_data, path + 1, file->flags, &other, &direct);
  if (result == 0)
    keep_other (file, other, direct);
  return result != -ENOENT ? result : open_disk (self, path, file);
}

static int
do_create (const char *path, mode_t mode, struct fuse_file_info *file)
{
  PvMount *self = this_mount ();
  struct fuse_context *context = fuse_get_context ();
  gpointer other = NULL;
  PvMountOwner *owner;
  int result = self->files != NULL ? self->files->create (self->files_data, path + 1, &other) : -EROFS;

  if (result != 0)
    return result;
  keep_other (file, other, TRUE);
  owner = g_new0 (PvMountOwner, 1);
  *owner = (PvMountOwner) { context->uid, context->gid, mode & 0777 };
  g_mutex_lock (&self->lock);
  g_hash_table_insert (self->owners, g_strdup (path), owner);
  g_mutex_unlock (&self->lock);
  return 0;
}

static int
do_read (const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *file)
{
  PvMount *self = this_mount ();
  OpenFile *open = open_file_of (file);
  g_autoptr(GError) error = NULL;
  guint64 end;

  if (offset < 0)
    return -EINVAL;
  if (open->other != NULL)
    return self->files->read (open->other, (guint8 *) buffer, size, (guint64) offset);
  end = pv_volume_reader_size (open->reader);
  if ((guint64) offset >= end)
    return 0;
  size = MIN (size, end - (guint64) offset);
  if (!pv_volume_reader_read (open->reader, (guint64) offset, size, (guint8 *) buffer, &error))
    {
      g_warning ("%s: %s", path, error->message);
      return -EIO; /* what is damaged is never given out, nor said not to be there */
    }
  return (int) size;
}

static int
do_write (const char *path, const char *buffer, size_t size, off_t offset, struct fuse_file_info *file)
{
  PvMount *self = this_mount ();
  OpenFile *open = open_file_of (file);

  if (offset < 0)
    return -EINVAL;
  return open->other != NULL ? self->files->write (open->other, (const guint8 *) buffer, size, (guint64) offset)
                             : -EROFS;
}

static int
do_truncate (const char *path, off_t size, struct fuse_file_info *file)
{
  PvMount *self = this_mount ();

  if (size < 0)
    return -EINVAL;
  return self->files != NULL ? self->files->truncate (self->files_data, path + 1, (guint64) size) : -EROFS;
}

static int
do_flush (const char *path, struct fuse_file_info *file)
{
  OpenFile *open = open_file_of (file);

  return open->other != NULL ? this_mount ()->files->flush (open->other) : 0;
}

static int
do_fsync (const char *path, int data_only, struct fuse_file_info *file)
{
  OpenFile *open = open_file_of (file);

  return open->other != NULL ? this_mount ()->files->sync (open->other) : 0;
}

static int
do_release (const char *path, struct fuse_file_info *file)
{
  PvMount *self = this_mount ();
  OpenFile *open = open_file_of (file);
  guint index;

  if (open->other != NULL)
    self->files->release (open->other);
  else
    {
      g_mutex_lock (&self->lock);
      if (g_ptr_array_find_with_equal_func (self->open_disks, pv_snapshot_full_name (open->snapshot), g_str_equal,
                                            &index))
        g_ptr_array_remove_index_fast (self->open_disks, index);
      g_mutex_unlock (&self->lock);
    }
  open_file_free (open);
  return 0;
}

static void *
do_init (struct fuse_conn_info *connection, struct fuse_config *config)
{
  PvMount *self = this_mount ();

  config->kernel_cache = 1; /* a disk of a snapshot never changes */
  config->attr_timeout = ATTRIBUTES_SECONDS;
  /* What is opened by its name is asked for anew: a file that was written may have become another one. */
  config->entry_timeout = self->files != NULL ? 0 : ATTRIBUTES_SECONDS;
  config->negative_timeout = 0;
  config->hard_remove = 1;
  return self;
}

const struct fuse_operations pv_mount_operations = {
  .init = do_init,
  .getattr = do_getattr,
  .statfs = do_statfs,
  .readdir = do_readdir,
  .open = do_open,
  .create = do_create,
  .read = do_read,
  .write = do_write,
  .truncate = do_truncate,
  .flush = do_flush,
  .fsync = do_fsync,
  .release = do_release,
  .unlink = do_unlink,
  .chown = do_chown,
  .chmod = do_chmod,
  .utimens = do_utimens,
};
