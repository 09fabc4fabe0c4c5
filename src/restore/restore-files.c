/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/restore-files.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "restore/disk-image.h"
#include "util/error.h"
#include "util/file.h"

#define STEM_MAX 200u /* bytes: room for suffix and number below NAME_MAX */
#define TRIES 1000u

struct _PvRestoreFiles
{
  char *stem;       /* (owned) */
  char *directory;  /* (owned) (nullable) */
  GPtrArray *paths; /* (owned) (element-type utf8): made, oldest first */
  gboolean kept;
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
pv_restore_files_new (const char *stem, const char *directory)
{
  PvRestoreFiles *self = g_new0 (PvRestoreFiles, 1);

  self->stem = pv_restore_files_clean_name (stem);
  self->directory = g_strdup (directory);
  self->paths = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
pv_restore_files_keep (PvRestoreFiles *self)
{
  self->kept = TRUE;
}

void
pv_restore_files_free (PvRestoreFiles *self)
{
  if (self == NULL)
    return;
  for (guint i = self->paths->len; i-- > 0 && !self->kept;)
    unlink (g_ptr_array_index (self->paths, i));
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

/* qemu-img overwrites what there is: the file is made first, by us. */
static gboolean
create_overlay (const char *backing, const char *path, GError **error)
{
  const char *const arguments[] = { "qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", backing, path, NULL };
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL, 0600, error);
  g_autoptr(GSubprocess) process = NULL;
  g_autofree char *complaint = NULL;

  if (fd < 0)
    return FALSE;
  process = g_subprocess_newv (arguments, G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE, error);
  if (process != NULL && g_subprocess_communicate_utf8 (process, NULL, NULL, NULL, &complaint, error)
      && g_subprocess_get_successful (process))
    return TRUE;
  unlink (path);
  if (complaint != NULL)
    pv_throw (error, PV_ERROR_FAILED, "qemu-img: %s", g_strdelimit (g_strstrip (complaint), "\n", ' '));
  return FALSE;
}

static gboolean
create_file (const PvFileContent *content, const char *path, const PvTransfer *transfer, GError **error)
{
  if (content->backing != NULL)
    return create_overlay (content->backing, path, error);
  return pv_disk_image_create (content->store, content->volume, content->format, path, transfer, error);
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

      if (create_file (content, path, transfer, &local))
        {
          g_ptr_array_add (self->paths, g_steal_pointer (&path));
          return g_ptr_array_index (self->paths, self->paths->len - 1);
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
