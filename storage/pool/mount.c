/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool/mount.h"

#include <errno.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "pool/mount-private.h"
#include "util/error.h"

#define THREADS_MAX 256 /* one that waits for another file of the mount must not be the last */
#define THREADS_IDLE 8
#define FUSE_MAGIC 0x65735546 /* statfs.f_type */

PvMount *
pv_mount_new (PvStore *store, const char *directory, GError **error)
{
  return pv_mount_new_with_files (store, directory, NULL, NULL, error);
}

PvMount *
pv_mount_new_with_files (PvStore *store, const char *directory, const PvMountFiles *files, gpointer data,
                         GError **error)
{
  g_autoptr(PvMount) self = g_new0 (PvMount, 1);
  /* Not "ro": the kernel would refuse chown(2) before we are asked. What could write is not implemented. */
  const char *options = geteuid () == 0 ? "default_permissions,fsname=pagevault,subtype=pagevault,allow_other"
                                        : "default_permissions,fsname=pagevault,subtype=pagevault";
  struct fuse_args args = FUSE_ARGS_INIT (0, NULL);

  g_mutex_init (&self->lock);
  self->owners = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->open_disks = g_ptr_array_new_with_free_func (g_free);
  self->store = pv_store_ref (store);
  self->files = files;
  self->files_data = data;
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
  self->fuse = fuse_new (&args, &pv_mount_operations, sizeof pv_mount_operations, self);
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
  g_ptr_array_unref (self->open_disks);
  pv_store_unref (self->store);
  g_mutex_clear (&self->lock);
  g_free (self);
}

gboolean
pv_mount_is_open (PvMount *self, const char *full)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return g_ptr_array_find_with_equal_func (self->open_disks, full, g_str_equal, NULL);
}

gboolean
pv_mount_run (PvMount *self, GError **error)
{
  struct fuse_session *session = fuse_get_session (self->fuse);
  struct fuse_loop_config *config;
  int result;

  if (fuse_set_signal_handlers (session) != 0)
    return pv_throw (error, PV_ERROR_FAILED, "cannot set signal handlers");
  config = fuse_loop_cfg_create ();
  fuse_loop_cfg_set_max_threads (config, THREADS_MAX);
  fuse_loop_cfg_set_idle_threads (config, THREADS_IDLE);
  result = fuse_loop_mt (self->fuse, config);
  fuse_loop_cfg_destroy (config);
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
