/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* file:///DIR: key "a/b" is the file DIR/a/b.
 *
 * A put writes DIR/.incoming/NAME.XXXXXX (no key begins with '.'), syncs it, gives it its name, and syncs the directory
 * and those above it that this process has not synced yet; DIR itself is never created. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "remote/remote-private.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define INCOMING ".incoming"

typedef struct
{
  PvRemote base;
  char *root;          /* absolute path, no slash at the end (owned) */
  GMutex lock;
  GHashTable *durable; /* of char *: directories whose own entry is known to be on disk (owned); under lock */
} PvRemoteFile;

static PvRemoteFile *
file_of (PvRemote *self)
{
  return (PvRemoteFile *) self;
}

static gboolean
check_root (PvRemoteFile *self, GError **error)
{
  if (g_file_test (self->root, G_FILE_TEST_IS_DIR))
    return TRUE;
  return pv_throw (error, PV_ERROR_INVALID, "the directory of remote '%s' is not there: mount or create it",
                   self->base.url);
}

static char *
path_of (PvRemoteFile *self, const char *key)
{
  return g_build_filename (self->root, key, NULL);
}

/* NOT_FOUND is only the object's fault when the directory is there. Always FALSE. */
static gboolean
object_failed (PvRemoteFile *self, int errnum, const char *verb, const char *key, GError **error)
{
  if (errnum == ENOENT && !check_root (self, error))
    return FALSE;
  if (errnum == ENOENT || errnum == ENOTDIR)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "there is no object '%s' in '%s'", key, self->base.url);
  return pv_throw_errno (error, errnum, "cannot %s object '%s' in '%s'", verb, key, self->base.url);
}

/* ---- writing ---- */

static gboolean
is_durable (PvRemoteFile *self, const char *directory)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return g_hash_table_contains (self->durable, directory);
}

static void
note_durable (PvRemoteFile *self, const char *directory)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_hash_table_add (self->durable, g_strdup (directory));
}

/* Makes the directories that @path needs below the root, and their entries durable. Another process may have made one
 * and not synced it yet. */
static gboolean
make_directories (PvRemoteFile *self, const char *path, GError **error)
{
  g_autofree char *at = g_strdup (path), *above = g_strdup (self->root);

  for (char *slash = strchr (at + strlen (self->root) + 1, '/'); slash != NULL; slash = strchr (slash + 1, '/'))
    {
      *slash = '\0';
      if (!is_durable (self, at))
        {
          if (mkdir (at, 0700) < 0 && errno != EEXIST)
            return pv_throw_errno (error, errno, "cannot create directory '%s'", at);
          if (!pv_fsync_dir (above, error))
            return FALSE;
          note_durable (self, at);
        }
      g_free (above);
      above = g_strdup (at);
      *slash = '/';
    }
  return TRUE;
}

/* rename(2) that never replaces; link(2) for file systems that have no such rename (NFS). */
static gboolean
publish_if_absent (PvRemoteFile *self, const char *from, const char *to, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (to);

  if (!pv_fault ("file.rename", error))
    return FALSE;
  if (renameat2 (AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
    return pv_fsync_dir (directory, error);
  if (errno != EINVAL && errno != ENOSYS)
    return pv_throw_errno (error, errno, "cannot rename '%s' to '%s'", from, to);
  if (link (from, to) == 0)
    {
      unlink (from);
      return pv_fsync_dir (directory, error);
    }
  if (errno == EPERM || errno == EOPNOTSUPP)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "the file system of '%s' cannot create a file only if it is absent", self->base.url);
  return pv_throw_errno (error, errno, "cannot link '%s' to '%s'", from, to);
}

/* A temporary file that is removed at the end of the scope unless it got its name. */
typedef struct
{
  char *path; /* (owned) (nullable) */
  PvFd fd;
} Incoming;

static void
incoming_clear (Incoming *self)
{
  if (self->path != NULL)
    unlink (self->path);
  g_free (self->path);
  pv_fd_clear (&self->fd);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Incoming, incoming_clear)

static gboolean
incoming_open (PvRemoteFile *self, Incoming *incoming, GError **error)
{
  g_autofree char *path = g_build_filename (self->root, INCOMING, "put.XXXXXX", NULL);

  if (!check_root (self, error) || !make_directories (self, path, error))
    return FALSE;
  incoming->fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0600);
  if (incoming->fd < 0)
    return pv_throw_errno (error, errno, "cannot create a file in '%s/%s'", self->root, INCOMING);
  incoming->path = g_steal_pointer (&path);
  return TRUE;
}

static gboolean
incoming_publish (PvRemoteFile *self, Incoming *incoming, const char *key, PvRemotePutFlags flags, GError **error)
{
  g_autofree char *path = path_of (self, key);

  if (!pv_fsync (incoming->fd, incoming->path, error) || !make_directories (self, path, error))
    return FALSE;
  if (flags & PV_REMOTE_PUT_IF_ABSENT ? !publish_if_absent (self, incoming->path, path, error)
                                      : !pv_publish (incoming->path, path, error))
    return FALSE;
  g_clear_pointer (&incoming->path, g_free);
  return TRUE;
}

static gboolean
put_once (PvRemoteFile *self, const char *key, GBytes *bytes, PvRemotePutFlags flags, GCancellable *cancellable,
          GError **error)
{
  g_auto(Incoming) incoming = { .fd = PV_FD_NONE };

  pv_rate_limit_take (self->base.limit, g_bytes_get_size (bytes), cancellable);
  return pv_remote_go_on (cancellable, error) && incoming_open (self, &incoming, error)
         && pv_write_all (incoming.fd, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), incoming.path, error)
         && incoming_publish (self, &incoming, key, flags, error);
}

/* Copies @size bytes from the start of @from to the start of @to in steps of the rate limit. */
static gboolean
copy (PvRemoteFile *self, int from, const char *from_name, int to, const char *to_name, guint64 size,
      GCancellable *cancellable, PvRemoteProgress progress, gpointer data, GError **error)
{
  gsize step = pv_rate_limit_step (self->base.limit);
  g_autofree guint8 *buffer = g_malloc (step);

  for (guint64 done = 0; done < size;)
    {
      gsize n = (gsize) MIN (step, size - done);

      pv_rate_limit_take (self->base.limit, n, cancellable);
      if (!pv_remote_go_on (cancellable, error) || !pv_pread_exact (from, buffer, n, done, from_name, error)
          || !pv_pwrite_all (to, buffer, n, done, to_name, error))
        return FALSE;
      done += n;
      if (progress != NULL)
        progress (done, data);
    }
  return TRUE;
}

static gboolean
file_put_file (PvRemote *remote, const char *key, int fd, guint64 size, GCancellable *cancellable,
               PvRemoteProgress progress, gpointer data, GError **error)
{
  PvRemoteFile *self = file_of (remote);
  g_auto(Incoming) incoming = { .fd = PV_FD_NONE };

  return incoming_open (self, &incoming, error)
         && copy (self, fd, key, incoming.fd, incoming.path, size, cancellable, progress, data, error)
         && incoming_publish (self, &incoming, key, PV_REMOTE_PUT_DEFAULT, error);
}

static gboolean
file_delete (PvRemote *remote, const char *key, GCancellable *cancellable, GError **error)
{
  PvRemoteFile *self = file_of (remote);
  g_autofree char *path = path_of (self, key), *directory = g_path_get_dirname (path);

  if (!check_root (self, error) || !pv_unlink (path, error))
    return FALSE;
  return !g_file_test (directory, G_FILE_TEST_IS_DIR) || pv_fsync_dir (directory, error);
}

/* ---- reading ---- */

/* The file of object @key, and its size. */
static int
open_object (PvRemoteFile *self, const char *key, guint64 *size, GError **error)
{
  g_autofree char *path = path_of (self, key);
  g_auto(PvFd) fd = TEMP_FAILURE_RETRY (open (path, O_RDONLY | O_CLOEXEC));
  struct stat st;

  if (fd < 0 || fstat (fd, &st) < 0)
    {
      object_failed (self, errno, "read", key, error);
      return -1;
    }
  if (!S_ISREG (st.st_mode))
    {
      pv_throw (error, PV_ERROR_NOT_FOUND, "there is no object '%s' in '%s'", key, self->base.url);
      return -1;
    }
  *size = (guint64) st.st_size;
  return pv_fd_steal (&fd);
}

static GBytes *
file_get (PvRemote *remote, const char *key, guint64 offset, gsize length, GCancellable *cancellable, GError **error)
{
  guint64 size;
  g_auto(PvFd) fd = open_object (file_of (remote), key, &size, error);
  g_autofree guint8 *data = NULL;

  if (fd < 0)
    return NULL;
  if (size < offset || size - offset < length)
    {
      pv_corrupt (error, "object '%s' in '%s' ends early: %" G_GSIZE_FORMAT " bytes wanted at offset %" G_GUINT64_FORMAT
                         ", but it has %" G_GUINT64_FORMAT,
                  key, remote->url, length, offset, size);
      return NULL;
    }
  data = g_malloc (length);
  pv_rate_limit_take (remote->limit, length, cancellable);
  if (!pv_remote_go_on (cancellable, error) || !pv_pread_exact (fd, data, length, offset, key, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&data), length);
}

static GBytes *
file_get_all (PvRemote *remote, const char *key, gsize max_size, GCancellable *cancellable, GError **error)
{
  guint64 size;
  g_auto(PvFd) fd = open_object (file_of (remote), key, &size, error);

  if (fd < 0)
    return NULL;
  if (size > max_size)
    {
      pv_corrupt (error, "object '%s' in '%s' has %" G_GUINT64_FORMAT " bytes, more than the %" G_GSIZE_FORMAT
                         " it can have", key, remote->url, size, max_size);
      return NULL;
    }
  if (size == 0)
    return g_bytes_new (NULL, 0);
  return file_get (remote, key, 0, (gsize) size, cancellable, error);
}

static gboolean
file_get_file (PvRemote *remote, const char *key, int to, guint64 wanted, GCancellable *cancellable,
               PvRemoteProgress progress, gpointer data, GError **error)
{
  guint64 size;
  g_auto(PvFd) fd = open_object (file_of (remote), key, &size, error);

  if (fd < 0)
    return FALSE;
  if (size != wanted)
    return pv_corrupt (error, "object '%s' in '%s' has %" G_GUINT64_FORMAT " bytes instead of %" G_GUINT64_FORMAT, key,
                       remote->url, size, wanted);
  return copy (file_of (remote), fd, key, to, "the local copy", size, cancellable, progress, data, error);
}

static gboolean
file_stat (PvRemote *remote, const char *key, guint64 *size, GCancellable *cancellable, GError **error)
{
  g_auto(PvFd) fd = open_object (file_of (remote), key, size, error);

  return fd >= 0;
}

static gboolean
file_put (PvRemote *remote, const char *key, GBytes *bytes, PvRemotePutFlags flags, GCancellable *cancellable,
          GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(GBytes) there = NULL;

  if (put_once (file_of (remote), key, bytes, flags, cancellable, &local))
    return TRUE;
  if ((flags & PV_REMOTE_PUT_IF_ABSENT) == 0 || !g_error_matches (local, PV_ERROR, PV_ERROR_EXISTS))
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  there = file_get_all (remote, key, g_bytes_get_size (bytes), cancellable, NULL);
  if (there != NULL && g_bytes_equal (there, bytes))
    return TRUE;
  return pv_throw (error, PV_ERROR_EXISTS, "object '%s' is in '%s' already, with other content", key, remote->url);
}

/* ---- listing ---- */

typedef struct
{
  PvRemoteFile *remote;
  const char *prefix;
  const char *after; /* (nullable) */
  PvRemoteVisit visit;
  gpointer data;
  GCancellable *cancellable;
} Walk;

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

static gboolean
is_directory (const char *path, const char *name)
{
  g_autofree char *inside = g_build_filename (path, name, NULL);
  struct stat st;

  return lstat (inside, &st) == 0 && S_ISDIR (st.st_mode);
}

/* The entries of directory @path that can be parts of keys, in the order of the keys: a directory with a '/' behind it.
 * Empty for one that has gone. */
static GPtrArray *
sorted_names (const char *path, GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(GError) local = NULL;
  g_autoptr(GDir) dir = g_dir_open (path, 0, &local);
  const char *name;

  if (dir == NULL && g_error_matches (local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
    return g_steal_pointer (&names);
  if (dir == NULL)
    {
      pv_throw (error, PV_ERROR_FAILED, "cannot list the objects: %s", local->message);
      return NULL;
    }
  while ((name = g_dir_read_name (dir)) != NULL)
    if (pv_remote_key_is_valid (name))
      g_ptr_array_add (names, is_directory (path, name) ? g_strconcat (name, "/", NULL) : g_strdup (name));
  g_ptr_array_sort (names, compare_names);
  return g_steal_pointer (&names);
}

static gboolean
visit_file (const Walk *walk, const char *key, GError **error)
{
  g_autofree char *path = path_of (walk->remote, key);
  PvRemoteEntry entry = { .key = key };
  struct stat st;

  if (!g_str_has_prefix (key, walk->prefix) || (walk->after != NULL && strcmp (key, walk->after) <= 0)
      || !pv_remote_key_is_valid (key) || lstat (path, &st) < 0 || !S_ISREG (st.st_mode))
    return TRUE;
  entry.size = (guint64) st.st_size;
  entry.mtime = st.st_mtime;
  return walk->visit (&entry, walk->data, error);
}

/* FALSE when no key that begins with @folder (which ends in '/') is wanted. */
static gboolean
is_wanted (const Walk *walk, const char *folder)
{
  if (!g_str_has_prefix (folder, walk->prefix) && !g_str_has_prefix (walk->prefix, folder))
    return FALSE;
  return walk->after == NULL || strncmp (folder, walk->after, strlen (folder)) >= 0;
}

static gboolean
walk_folder (const Walk *walk, const char *folder, GError **error)
{
  g_autofree char *path = path_of (walk->remote, folder);
  g_autoptr(GPtrArray) names = sorted_names (path, error);

  if (names == NULL)
    return FALSE;
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *key = g_strconcat (folder, g_ptr_array_index (names, i), NULL);
      gboolean ok = TRUE;

      if (!pv_remote_go_on (walk->cancellable, error))
        return FALSE;
      if (!g_str_has_suffix (key, "/"))
        ok = visit_file (walk, key, error);
      else if (is_wanted (walk, key) && strlen (key) < PV_REMOTE_KEY_MAX)
        ok = walk_folder (walk, key, error);
      if (!ok)
        return FALSE;
    }
  return TRUE;
}

static gboolean
file_list (PvRemote *remote, const char *prefix, const char *after, PvRemoteVisit visit, gpointer data,
           GCancellable *cancellable, GError **error)
{
  Walk walk = { file_of (remote), prefix, after, visit, data, cancellable };

  return check_root (file_of (remote), error) && walk_folder (&walk, "", error);
}

/* ---- the rest ---- */

static gboolean
file_sweep (PvRemote *remote, guint64 age, guint64 *n_removed, GCancellable *cancellable, GError **error)
{
  PvRemoteFile *self = file_of (remote);
  g_autofree char *incoming = g_build_filename (self->root, INCOMING, NULL);
  g_autoptr(GPtrArray) names = check_root (self, error) ? sorted_names (incoming, error) : NULL;
  gint64 now = g_get_real_time () / G_USEC_PER_SEC;

  if (names == NULL)
    return FALSE;
  for (guint i = 0; i < names->len; i++)
    {
      g_autofree char *path = g_build_filename (incoming, g_ptr_array_index (names, i), NULL);
      struct stat st;

      if (!pv_remote_go_on (cancellable, error))
        return FALSE;
      if (lstat (path, &st) < 0 || !S_ISREG (st.st_mode) || now - st.st_mtime < 0
          || (guint64) (now - st.st_mtime) < age)
        continue;
      if (!pv_unlink (path, error))
        return FALSE;
      ++*n_removed;
    }
  return TRUE;
}

static void
file_free (PvRemote *remote)
{
  PvRemoteFile *self = file_of (remote);

  g_hash_table_unref (self->durable);
  g_mutex_clear (&self->lock);
  g_free (self->root);
  g_free (self);
}

static const PvRemoteOps file_ops = {
  .put = file_put,
  .put_file = file_put_file,
  .get = file_get,
  .get_all = file_get_all,
  .get_file = file_get_file,
  .stat = file_stat,
  .delete = file_delete,
  .list = file_list,
  .sweep = file_sweep,
  .free = file_free,
};

PvRemote *
pv_remote_file_open (const char *path, GError **error)
{
  g_autofree char *root = NULL;
  PvRemoteFile *self;

  if (path[0] != '/')
    {
      pv_throw (error, PV_ERROR_INVALID, "'file://%s' names no directory: give file:///DIR, with three slashes", path);
      return NULL;
    }
  root = g_canonicalize_filename (path, "/");
  if (g_str_equal (root, "/"))
    {
      pv_throw (error, PV_ERROR_INVALID, "a remote needs a directory of its own, not '/'");
      return NULL;
    }
  if (!g_file_test (root, G_FILE_TEST_IS_DIR))
    {
      pv_throw (error, PV_ERROR_INVALID, "the directory of remote 'file://%s' is not there: mount or create it", root);
      return NULL;
    }
  self = g_new0 (PvRemoteFile, 1);
  self->base.ops = &file_ops;
  self->base.url = g_strconcat ("file://", root, NULL);
  self->root = g_steal_pointer (&root);
  self->durable = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  g_mutex_init (&self->lock);
  return &self->base;
}
