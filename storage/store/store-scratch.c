/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Scratch directories: STORE/tmp/PREFIX-XXXXXX with a flock()ed file in it, removed by whoever finds it unlocked. */
#include "config.h"

#include "store/store-private.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"

struct _PvStoreScratch
{
  char *path;
  char *lock_path;
  PvFd lock;     /* flock()ed exclusively */
  gboolean keep; /* the directory stays when this is freed */
};

const char *
pv_store_scratch_path (PvStoreScratch *self)
{
  return self->path;
}

const char *
pv_store_scratch_lock_path (PvStoreScratch *self)
{
  return self->lock_path;
}

void
pv_store_scratch_free (PvStoreScratch *self)
{
  g_autoptr(GError) error = NULL;

  if (self == NULL)
    return;
  if (self->path != NULL && !self->keep && !pv_remove_tree (self->path, &error))
    g_debug ("%s", error->message);
  pv_fd_clear (&self->lock);
  g_free (self->path);
  g_free (self->lock_path);
  g_free (self);
}

void
pv_store_scratch_keep (PvStoreScratch *self, gboolean keep)
{
  self->keep = keep;
}

/* STORE/lock is held shared in between, so that nobody sweeps the directory before its file is locked. Somebody may be
 * probing the file for a moment: wait for him. */
PvStoreScratch *
pv_store_scratch_new_named (PvStore *self, const char *prefix, GError **error)
{
  g_autoptr(PvStoreScratch) scratch = g_new0 (PvStoreScratch, 1);
  g_autofree char *template = g_strdup_printf ("%s/%s-XXXXXX", self->tmp, prefix);
  g_auto(PvFd) guard = PV_FD_NONE;

  scratch->lock = PV_FD_NONE;
  guard = pv_store_lock (self, LOCK_SH, error);
  if (guard < 0)
    return NULL;
  if (g_mkdtemp_full (template, 0700) == NULL)
    {
      pv_throw_errno (error, errno, "cannot create a directory below '%s'", self->tmp);
      return NULL;
    }
  scratch->path = g_steal_pointer (&template);
  scratch->lock_path = g_build_filename (scratch->path, PV_SCRATCH_LOCK, NULL);
  scratch->lock = pv_openat (AT_FDCWD, scratch->lock_path, O_RDWR | O_CREAT | O_EXCL, 0600, error);
  if (scratch->lock < 0 || !pv_flock (scratch->lock, LOCK_EX, scratch->lock_path, error))
    return NULL;
  return g_steal_pointer (&scratch);
}

PvStoreScratch *
pv_store_scratch_new (PvStore *self, GError **error)
{
  return pv_store_scratch_new_named (self, "scratch", error);
}

static void
append_names (GString *text, const char *kind, GArray *names)
{
  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      g_autofree char *hex = pv_name_to_hex (&g_array_index (names, PvName, i));

      g_string_append_printf (text, "%s %s\n", kind, hex);
    }
}

gboolean
pv_store_scratch_journal (PvStoreScratch *self, GArray *packs, GArray *snapshots, GError **error)
{
  g_autofree char *path = g_build_filename (self->path, PV_SCRATCH_JOURNAL, NULL);
  g_autoptr(GString) text = g_string_new (NULL);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND, 0600, error);

  if (fd < 0)
    return FALSE;
  append_names (text, "pack", packs);
  append_names (text, "snapshot", snapshots);
  return pv_write_all (fd, text->str, text->len, path, error);
}

/* TRUE when the lock file in @directory is locked by somebody. */
static gboolean
has_owner (const char *directory)
{
  g_autofree char *path = g_build_filename (directory, PV_SCRATCH_LOCK, NULL);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY | O_NOFOLLOW, 0, NULL);

  return fd >= 0 && !pv_flock (fd, LOCK_SH | LOCK_NB, path, NULL);
}

GPtrArray *
pv_store_scratch_bases (PvStore *self, GError **error)
{
  g_autoptr(GPtrArray) bases = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_snapshot_unref);
  g_autoptr(GDir) dir = g_dir_open (self->tmp, 0, error);
  const char *name;

  if (dir == NULL)
    return NULL;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *directory = g_build_filename (self->tmp, name, NULL);
      g_autofree char *path = g_build_filename (directory, PV_SCRATCH_BASE, NULL);
      g_autoptr(GError) why = NULL;
      g_autoptr(GBytes) bytes = pv_read_file (path, PV_SNAPSHOT_OBJECT_MAX, &why);
      PvSnapshot *base;

      if (bytes == NULL && g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
        continue;
      if (!has_owner (directory))
        continue;
      base = bytes != NULL ? pv_store_parse_snapshot (self, bytes, 0, &why) : NULL;
      if (base == NULL)
        {
          g_propagate_prefixed_error (error, g_steal_pointer (&why), "'%s': ", path);
          return NULL;
        }
      g_ptr_array_add (bases, base);
    }
  return g_steal_pointer (&bases);
}

gboolean
pv_store_scratch_alone (PvStore *self, PvStoreScratch *mine, GError **error)
{
  g_autoptr(GDir) dir = g_dir_open (self->tmp, 0, error);
  const char *name;

  if (dir == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (self->tmp, name, NULL);

      if (!g_str_equal (path, mine->path) && has_owner (path))
        return pv_throw (error, PV_ERROR_BUSY, "'%s' is at work", path);
    }
  return TRUE;
}
