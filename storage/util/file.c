/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/file.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fault.h"

void
pv_fd_clear (PvFd *fd)
{
  int value = pv_fd_steal (fd);

  if (value >= 0)
    {
      int saved = errno;

      close (value);
      errno = saved;
    }
}

int
pv_fd_steal (PvFd *fd)
{
  int value = *fd;

  *fd = PV_FD_NONE;
  return value;
}

int
pv_openat (int dirfd, const char *path, int flags, int mode, GError **error)
{
  int fd = TEMP_FAILURE_RETRY (openat (dirfd, path, flags | O_CLOEXEC, mode));

  if (fd < 0)
    pv_throw_errno (error, errno, "cannot open '%s'", path);
  return fd;
}

int
pv_reopen (int fd, int flags, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fd/%d", fd);

  return pv_openat (AT_FDCWD, path, flags, 0, error);
}

gboolean
pv_write_all (int fd, gconstpointer data, gsize size, const char *name, GError **error)
{
  const guint8 *at = data;

  if (!pv_fault ("file.write", error))
    {
      g_prefix_error (error, "cannot write '%s': ", name);
      return FALSE;
    }
  while (size > 0)
    {
      ssize_t n = write (fd, at, size);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return pv_throw_errno (error, errno, "cannot write '%s'", name);
      at += n;
      size -= (gsize) n;
    }
  return TRUE;
}

gboolean
pv_pwrite_all (int fd, gconstpointer data, gsize size, guint64 offset, const char *name, GError **error)
{
  const guint8 *at = data;

  if (!pv_fault ("file.write", error))
    {
      g_prefix_error (error, "cannot write '%s': ", name);
      return FALSE;
    }
  while (size > 0)
    {
      ssize_t n = pwrite (fd, at, size, (off_t) offset);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        return pv_throw_errno (error, errno, "cannot write '%s'", name);
      at += n;
      offset += (guint64) n;
      size -= (gsize) n;
    }
  return TRUE;
}

gssize
pv_read_full (int fd, gpointer data, gsize size, const char *name, GError **error)
{
  gsize done = 0;

  while (done < size)
    {
      ssize_t n = read (fd, (guint8 *) data + done, size - done);

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          pv_throw_errno (error, errno, "cannot read '%s'", name);
          return -1;
        }
      if (n == 0)
        break;
      done += (gsize) n;
    }
  return (gssize) done;
}

gssize
pv_pread_full (int fd, gpointer data, gsize size, guint64 offset, const char *name, GError **error)
{
  gsize done = 0;

  while (done < size)
    {
      ssize_t n = pread (fd, (guint8 *) data + done, size - done, (off_t) (offset + done));

      if (n < 0 && errno == EINTR)
        continue;
      if (n < 0)
        {
          pv_throw_errno (error, errno, "cannot read '%s'", name);
          return -1;
        }
      if (n == 0)
        break;
      done += (gsize) n;
    }
  return (gssize) done;
}

gboolean
pv_pread_exact (int fd, gpointer data, gsize size, guint64 offset, const char *name, GError **error)
{
  gssize n = pv_pread_full (fd, data, size, offset, name, error);

  if (n < 0)
    return FALSE;
  if ((gsize) n != size)
    return pv_corrupt (error, "'%s' ends early: %" G_GSIZE_FORMAT " bytes wanted at offset %" G_GUINT64_FORMAT
                              ", %" G_GSSIZE_FORMAT " there",
                       name, size, offset, n);
  return TRUE;
}

gboolean
pv_fsync (int fd, const char *name, GError **error)
{
  if (!pv_fault ("file.fsync", error))
    {
      g_prefix_error (error, "cannot sync '%s': ", name);
      return FALSE;
    }
  if (TEMP_FAILURE_RETRY (fsync (fd)) < 0)
    return pv_throw_errno (error, errno, "cannot sync '%s'", name);
  return TRUE;
}

gboolean
pv_fsync_dir (const char *path, GError **error)
{
  g_auto(PvFd) fd = PV_FD_NONE;

  if (!pv_fault ("file.fsync-dir", error))
    {
      g_prefix_error (error, "cannot sync directory '%s': ", path);
      return FALSE;
    }
  fd = pv_openat (AT_FDCWD, path, O_RDONLY | O_DIRECTORY, 0, error);
  if (fd < 0)
    return FALSE;
  if (TEMP_FAILURE_RETRY (fsync (fd)) < 0)
    return pv_throw_errno (error, errno, "cannot sync directory '%s'", path);
  return TRUE;
}

gboolean
pv_rename (const char *from, const char *to, GError **error)
{
  if (!pv_fault ("file.rename", error))
    {
      g_prefix_error (error, "cannot rename '%s' to '%s': ", from, to);
      return FALSE;
    }
  if (rename (from, to) < 0)
    return pv_throw_errno (error, errno, "cannot rename '%s' to '%s'", from, to);
  return TRUE;
}

gboolean
pv_publish (const char *from, const char *to, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (to);

  return pv_rename (from, to, error) && pv_fsync_dir (directory, error);
}

static gboolean
write_beside (const char *path, gconstpointer data, gsize size, gboolean durable, GError **error)
{
  g_autofree char *temporary = g_strdup_printf ("%s.XXXXXX", path);
  g_auto(PvFd) fd = g_mkstemp_full (temporary, O_RDWR | O_CLOEXEC, 0600);

  if (fd < 0)
    return pv_throw_errno (error, errno, "cannot create a file beside '%s'", path);
  if (!pv_write_all (fd, data, size, path, error) || (durable && !pv_fsync (fd, path, error))
      || !(durable ? pv_publish (temporary, path, error) : pv_rename (temporary, path, error)))
    {
      unlink (temporary);
      return FALSE;
    }
  return TRUE;
}

gboolean
pv_write_file (const char *path, gconstpointer data, gsize size, GError **error)
{
  return write_beside (path, data, size, TRUE, error);
}

gboolean
pv_write_cache_file (const char *path, gconstpointer data, gsize size, GError **error)
{
  return write_beside (path, data, size, FALSE, error);
}

GBytes *
pv_read_file (const char *path, gsize max_size, GError **error)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, error);
  g_autofree guint8 *data = NULL;
  struct stat st;
  gssize n;

  if (fd < 0)
    return NULL;
  if (fstat (fd, &st) < 0)
    {
      pv_throw_errno (error, errno, "cannot read '%s'", path);
      return NULL;
    }
  if (st.st_size < 0 || (guint64) st.st_size > max_size)
    {
      pv_corrupt (error, "'%s' has %" G_GINT64_FORMAT " bytes, more than the %" G_GSIZE_FORMAT " such a file can have",
                  path, (gint64) st.st_size, max_size);
      return NULL;
    }
  data = g_malloc ((gsize) st.st_size + 1);
  n = pv_read_full (fd, data, (gsize) st.st_size, path, error);
  if (n < 0)
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&data), (gsize) n);
}

char **
pv_read_lines (const char *path, gsize max_size, GError **error)
{
  g_autoptr(GBytes) bytes = pv_read_file (path, max_size, error);
  g_autofree char *text = NULL;
  char **lines;
  guint n;

  if (bytes == NULL)
    return NULL;
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  lines = g_strsplit (text, "\n", -1);
  n = g_strv_length (lines);
  if (n > 0) /* the last piece has no end: empty, or torn */
    g_clear_pointer (&lines[n - 1], g_free);
  return lines;
}

gboolean
pv_unlink (const char *path, GError **error)
{
  if (!pv_fault ("file.unlink", error))
    {
      g_prefix_error (error, "cannot remove '%s': ", path);
      return FALSE;
    }
  if (unlink (path) < 0 && errno != ENOENT)
    return pv_throw_errno (error, errno, "cannot remove '%s'", path);
  return TRUE;
}

static int
remove_entry (const char *path, const struct stat *st, int type, struct FTW *ftw)
{
  return remove (path) < 0 && errno != ENOENT ? -1 : 0;
}

gboolean
pv_remove_tree (const char *path, GError **error)
{
  if (nftw (path, remove_entry, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT) < 0 && errno != ENOENT)
    return pv_throw_errno (error, errno, "cannot remove '%s'", path);
  return TRUE;
}

gboolean
pv_mkdirs (const char *path, int mode, GError **error)
{
  if (g_mkdir_with_parents (path, mode) < 0)
    return pv_throw_errno (error, errno, "cannot create directory '%s'", path);
  return TRUE;
}

gboolean
pv_flock (int fd, int operation, const char *name, GError **error)
{
  if (TEMP_FAILURE_RETRY (flock (fd, operation)) == 0)
    return TRUE;
  if (errno == EWOULDBLOCK)
    return pv_throw (error, PV_ERROR_BUSY, "'%s' is locked by another process", name);
  return pv_throw_errno (error, errno, "cannot lock '%s'", name);
}
