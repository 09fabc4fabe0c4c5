/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool/mount.h"

#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "pool/disk-name.h"
#include "store/volume-reader.h"
#include "util/error.h"

#define FUSE_MAGIC 0x65735546 /* statfs.f_type */
#define DIRECTORY_MODE 0711
#define FILE_MODE 0400
#define ATTRIBUTES_SECONDS 1.0 /* for which the kernel may believe what it was told */

/* Who may read a file, since somebody has said so. */
typedef struct
{
  uid_t uid;
  gid_t gid;
  mode_t mode;
} Owner;

struct _PvMount
{
  PvStore *store;     /* (owned) */
  struct fuse *fuse;  /* (owned) */
  gboolean mounted;
  GMutex lock;
  GHashTable *owners; /* (owned): name -> Owner, under lock */
};

/* An open file. */
typedef struct
{
  PvSnapshot *snapshot;   /* (owned) */
  const PvVolume *volume; /* of snapshot */
  PvStorePin *pin;        /* (owned) */
  PvVolumeReader *reader; /* (owned) */
} OpenDisk;

static PvMount *
this_mount (void)
{
  return fuse_get_context ()->private_data;
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
  *snapshot = pv_store_lookup (self->store, domain, name, &error);
  if (*snapshot == NULL)
    return errno_of (error);
  *volume = pv_snapshot_find_volume (*snapshot, PV_VOLUME_DISK, target);
  return *volume != NULL ? 0 : -ENOENT;
}

static void
fill_stat (PvMount *self, const char *path, PvSnapshot *snapshot, const PvVolume *volume, struct stat *st)
{
  const Owner *owner;
  gint64 time = pv_snapshot_time (snapshot);

  st->st_mode = S_IFREG | FILE_MODE;
  st->st_nlink = 1;
  st->st_uid = getuid ();
  st->st_gid = getgid ();
  st->st_size = (off_t) volume->size;
  st->st_blksize = 65536;
  st->st_mtim.tv_sec = time / G_USEC_PER_SEC;
  st->st_ctim = st->st_atim = st->st_mtim;
  g_mutex_lock (&self->lock);
  owner = g_hash_table_lookup (self->owners, path);
  if (owner != NULL)
    {
      st->st_uid = owner->uid;
      st->st_gid = owner->gid;
      st->st_mode = S_IFREG | owner->mode;
    }
  g_mutex_unlock (&self->lock);
}

static int
do_getattr (const char *path, struct stat *st, struct fuse_file_info *file)
{
  PvMount *self = this_mount ();
  g_autoptr(PvSnapshot) snapshot = NULL;
  const PvVolume *volume = NULL;
  int result;

  memset (st, 0, sizeof *st);
  if (g_str_equal (path, "/"))
    {
      st->st_mode = S_IFDIR | DIRECTORY_MODE;
      st->st_nlink = 2;
      st->st_uid = getuid ();
      st->st_gid = getgid ();
      return 0;
    }
  if (file != NULL)
    {
      /* An open file is there, whether its snapshot is listed or not: the kernel asks again while it reads. */
      const OpenDisk *disk = (const OpenDisk *) (gsize) file->fh;

      fill_stat (self, path, disk->snapshot, disk->volume, st);
      return 0;
    }
  result = find_disk (self, path, &snapshot, &volume);
  if (result == 0)
    fill_stat (self, path, snapshot, volume, st);
  return result;
}

static int
do_readdir (const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *file,
            enum fuse_readdir_flags flags)
{
  PvMount *self = this_mount ();
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) snapshots = pv_store_list (self->store, NULL, &error);

  if (snapshots == NULL)
    return errno_of (error);
  fill (buffer, ".", NULL, 0, 0);
  fill (buffer, "..", NULL, 0, 0);
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
  return 0;
}

static void
open_disk_free (OpenDisk *disk)
{
  g_clear_pointer (&disk->reader, pv_volume_reader_free);
  g_clear_pointer (&disk->pin, pv_store_pin_free);
  g_clear_pointer (&disk->snapshot, pv_snapshot_unref);
  g_free (disk);
}

static int
do_open (const char *path, struct fuse_file_info *file)
{
  PvMount *self = this_mount ();
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(GError) error = NULL;
  const PvVolume *volume = NULL;
  OpenDisk *disk;
  int result = (file->flags & O_ACCMODE) != O_RDONLY ? -EROFS : find_disk (self, path, &snapshot, &volume);

  if (result != 0)
    return result;
  disk = g_new0 (OpenDisk, 1);
  disk->volume = volume;
  disk->snapshot = g_steal_pointer (&snapshot);
  disk->pin = pv_store_pin (self->store, disk->snapshot, &error);
  disk->reader = disk->pin != NULL ? pv_volume_reader_new (self->store, volume, &error) : NULL;
  if (disk->reader == NULL)
    {
      open_disk_free (disk);
      return errno_of (error);
    }
  file->fh = (guint64) (gsize) disk;
  return 0;
}

static int
do_read (const char *path, char *buffer, size_t size, off_t offset, struct fuse_file_info *file)
{
  OpenDisk *disk = (OpenDisk *) (gsize) file->fh;
  guint64 end = pv_volume_reader_size (disk->reader);
  g_autoptr(GError) error = NULL;

  if (offset < 0 || (guint64) offset >= end)
    return 0;
  size = MIN (size, end - (guint64) offset);
  if (!pv_volume_reader_read (disk->reader, (guint64) offset, size, (guint8 *) buffer, &error))
    {
      g_warning ("%s: %s", path, error->message);
      return -EIO; /* what is damaged is never given out, nor said not to be there */
    }
  return (int) size;
}

static int
do_release (const char *path, struct fuse_file_info *file)
{
  open_disk_free ((OpenDisk *) (gsize) file->fh);
  return 0;
}

/* The kernel has checked that the caller may. -1: stays. */
static int
set_owner (const char *path, uid_t uid, gid_t gid, gint64 mode)
{
  PvMount *self = this_mount ();
  struct stat st;
  int result = do_getattr (path, &st, NULL);
  Owner *owner;

  if (result != 0)
    return result;
  if (S_ISDIR (st.st_mode))
    return -EROFS;
  owner = g_new0 (Owner, 1);
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

static void *
do_init (struct fuse_conn_info *connection, struct fuse_config *config)
{
  config->kernel_cache = 1; /* a disk of a snapshot never changes */
  config->attr_timeout = ATTRIBUTES_SECONDS;
  config->entry_timeout = ATTRIBUTES_SECONDS;
  config->negative_timeout = 0;
  return this_mount ();
}

static const struct fuse_operations operations = {
  .init = do_init,
  .getattr = do_getattr,
  .readdir = do_readdir,
  .open = do_open,
  .read = do_read,
  .release = do_release,
  .chown = do_chown,
  .chmod = do_chmod,
};

PvMount *
pv_mount_new (PvStore *store, const char *directory, GError **error)
{
  g_autoptr(PvMount) self = g_new0 (PvMount, 1);
  /* Not "ro": the kernel would refuse chown(2) before we are asked. What could write is not implemented. */
  const char *options = geteuid () == 0 ? "default_permissions,fsname=pagevault,subtype=pagevault,allow_other"
                                        : "default_permissions,fsname=pagevault,subtype=pagevault";
  struct fuse_args args = FUSE_ARGS_INIT (0, NULL);

  g_mutex_init (&self->lock);
  self->owners = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->store = pv_store_ref (store);
  if (access ("/dev/fuse", R_OK | W_OK) != 0)
    {
      pv_throw (error, PV_ERROR_UNSUPPORTED,
                "/dev/fuse cannot be used (%s): load the module 'fuse', and give it to the container when this is one",
                g_strerror (errno));
      return NULL;
    }
  fuse_opt_add_arg (&args, "pagevault");
  fuse_opt_add_arg (&args, "-o");
  fuse_opt_add_arg (&args, options);
  self->fuse = fuse_new (&args, &operations, sizeof operations, self);
  fuse_opt_free_args (&args);
  if (self->fuse == NULL)
    pv_throw (error, PV_ERROR_FAILED, "libfuse does not start");
  else if (fuse_mount (self->fuse, directory) != 0)
    pv_throw (error, PV_ERROR_FAILED, "cannot mount on '%s': is it an empty directory, and may you mount?", directory);
  else
    self->mounted = TRUE;
  return self->mounted ? g_steal_pointer (&self) : NULL;
}

void
pv_mount_free (PvMount *self)
{
  if (self == NULL)
    return;
  if (self->mounted)
    fuse_unmount (self->fuse);
  if (self->fuse != NULL)
    fuse_destroy (self->fuse);
  g_hash_table_unref (self->owners);
  pv_store_unref (self->store);
  g_mutex_clear (&self->lock);
  g_free (self);
}

gboolean
pv_mount_run (PvMount *self, GError **error)
{
  struct fuse_session *session = fuse_get_session (self->fuse);
  int result;

  if (fuse_set_signal_handlers (session) != 0)
    return pv_throw (error, PV_ERROR_FAILED, "cannot set signal handlers");
  result = fuse_loop_mt (self->fuse, 0);
  fuse_remove_signal_handlers (session);
  return result >= 0 || pv_throw_errno (error, -result, "serving the file system");
}

gboolean
pv_mount_is_there (const char *directory)
{
  struct statfs status;

  return statfs (directory, &status) == 0 && status.f_type == FUSE_MAGIC;
}

void
pv_mount_clear_dead (const char *directory)
{
  const char *const arguments[] = { "fusermount3", "-u", "-z", "-q", "--", directory, NULL };
  g_autoptr(GSubprocess) process = NULL;
  struct statfs status;

  if (statfs (directory, &status) == 0 || errno != ENOTCONN || umount2 (directory, MNT_DETACH) == 0)
    return;
  process = g_subprocess_newv (arguments, G_SUBPROCESS_FLAGS_STDERR_SILENCE, NULL);
  if (process != NULL)
    g_subprocess_wait (process, NULL, NULL);
}
