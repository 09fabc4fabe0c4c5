/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/restore-files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "restore/disk-image.h"
#include "util/error.h"
#include "util/file.h"

#define STEM_MAX 200u /* bytes: room for suffix and number below NAME_MAX */
#define TRIES 1000u

struct _PvRestoreFiles
{
  PvRestoreJournal *journal; /* (not owned) */
  char *stem;                /* (owned) */
  char *directory;           /* (owned) (nullable) */
  GPtrArray *paths;          /* (owned) (element-type utf8): made, oldest first */
};

char *
pv_restore_files_clean_name (const char *stem)
{
  char *clean = g_strndup (stem, STEM_MAX);

  g_strcanon (clean, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._+-", '_');
  if (*clean == '.' || *clean == '-')
    *clean = '_';
  return clean;
}

PvRestoreFiles *
pv_restore_files_new (PvRestoreJournal *journal, const char *stem, const char *directory)
{
  PvRestoreFiles *self = g_new0 (PvRestoreFiles, 1);

  self->journal = journal;
  self->stem = pv_restore_files_clean_name (stem);
  self->directory = g_strdup (directory);
  self->paths = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
pv_restore_files_free (PvRestoreFiles *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->paths);
  g_free (self->directory);
  g_free (self->stem);
  g_free (self);
}

/* (transfer full): where the file that stands for @original goes. */
static char *
choose_directory (PvRestoreFiles *self, const char *suffix, const char *original, GError **error)
{
  if (self->directory != NULL)
    return g_strdup (self->directory);
  if (original == NULL || g_str_has_prefix (original, "/dev/"))
    {
      pv_throw (error, PV_ERROR_INVALID, "%s was not in a file: say with --disks-dir where its copy is to go", suffix);
      return NULL;
    }
  return g_path_get_dirname (original);
}

static gboolean
write_down (PvRestoreFiles *self, int fd, const char *path, GError **error)
{
  g_autofree char *device = NULL;
  g_autofree char *inode = NULL;
  struct stat st;

  if (fstat (fd, &st) < 0)
    return pv_throw_errno (error, errno, "'%s'", path);
  device = g_strdup_printf ("%" G_GUINT64_FORMAT, (guint64) st.st_dev);
  inode = g_strdup_printf ("%" G_GUINT64_FORMAT, (guint64) st.st_ino);
  return pv_restore_journal_add (self->journal, error, PV_MADE_FILE, path, device, inode, NULL);
}

/* A new empty file, open; -1 with PV_ERROR_EXISTS when the name is taken. The journal knows the file before it has the
 * name, where the file system can do that. */
static int
make_file (PvRestoreFiles *self, const char *directory, const char *path, GError **error)
{
  g_auto(PvFd) fd = open (directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);

  if (fd < 0)
    {
      fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600, error);
      if (fd >= 0 && write_down (self, fd, path, error))
        return pv_fd_steal (&fd);
      if (fd >= 0)
        unlink (path);
      return -1;
    }
  if (!write_down (self, fd, path, error))
    return -1;
  if (linkat (AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
    return pv_fd_steal (&fd);
  if (errno == EEXIST)
    pv_throw (error, PV_ERROR_EXISTS, "'%s' exists", path);
  else
    pv_throw_errno (error, errno, "cannot make '%s'", path);
  return -1;
}

static gboolean
write_overlay (const PvFileContent *content, const char *path, GError **error)
{
  const char *format = content->backing_format != NULL ? content->backing_format : "raw";
  const char *const arguments[]
      = { "qemu-img", "create", "-q", "-f", "qcow2", "-F", format, "-b", content->backing, path, NULL };
  g_autoptr(GSubprocess) process = NULL;
  g_autofree char *complaint = NULL;

  process = g_subprocess_newv (arguments, G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE, error);
  if (process == NULL || !g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, &complaint, error))
    return FALSE;
  return g_subprocess_get_successful (process)
         || pv_throw (error, PV_ERROR_FAILED, "qemu-img: %s", g_strdelimit (g_strstrip (complaint), "\n", ' '));
}

static gboolean
write_content (const PvFileContent *content, int fd, const char *path, const PvTransfer *transfer, GError **error)
{
  g_autoptr(PvVolumeReader) reader = NULL;

  if (content->backing != NULL)
    return write_overlay (content, path, error);
  reader = pv_volume_reader_new (content->store, content->volume, error);
  if (reader == NULL)
    return FALSE;
  return g_str_equal (content->format, "qcow2") ? pv_disk_image_write_qcow2 (reader, fd, path, transfer, error)
                                                : pv_disk_image_write_raw (reader, fd, path, transfer, error);
}

const char *
pv_restore_files_add (PvRestoreFiles *self, const PvFileContent *content, const char *suffix, const char *original,
                      const PvTransfer *transfer, GError **error)
{
  g_autofree char *directory = choose_directory (self, suffix, original, error);

  if (directory == NULL)
    return NULL;
  for (guint i = 1; i <= TRIES; i++)
    {
      g_autoptr(GError) local = NULL;
      g_autofree char *number = i == 1 ? g_strdup ("") : g_strdup_printf ("-%u", i);
      g_autofree char *name = g_strconcat (self->stem, number, ".", suffix, NULL);
      g_autofree char *path = g_build_filename (directory, name, NULL);
      g_auto(PvFd) fd = make_file (self, directory, path, &local);

      if (fd >= 0)
        {
          g_ptr_array_add (self->paths, g_strdup (path));
          return write_content (content, fd, path, transfer, error)
                     ? g_ptr_array_index (self->paths, self->paths->len - 1)
                     : NULL;
        }
      if (!g_error_matches (local, PV_ERROR, PV_ERROR_EXISTS))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return NULL;
        }
    }
  pv_throw (error, PV_ERROR_EXISTS, "%s has %u files called %s*.%s already: name another directory with --disks-dir",
            directory, TRIES, self->stem, suffix);
  return NULL;
}
