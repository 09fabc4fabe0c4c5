/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/overlay-list.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#define FOLDER "overlays"
#define GROUP "overlay"
#define GRACE_US (60 * G_USEC_PER_SEC) /* for which an entry waits for its file to get its name */

void
pv_overlay_entry_free (PvOverlayEntry *self)
{
  g_free (self->path);
  g_free (self->snapshot);
  g_free (self->domain);
  g_free (self);
}

static gint64
modified_ns (const struct stat *st)
{
  return (gint64) st->st_mtim.tv_sec * G_GINT64_CONSTANT (1000000000) + st->st_mtim.tv_nsec;
}

/* (transfer full) */
static char *
entry_path (const char *store_directory, const char *path)
{
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, path, -1);

  return g_build_filename (store_directory, FOLDER, digest, NULL);
}

gboolean
pv_overlay_list_add (const char *store_directory, const char *path, const struct stat *st, const char *snapshot,
                     const char *domain, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new ();
  g_autofree char *folder = g_build_filename (store_directory, FOLDER, NULL);
  g_autofree char *where = entry_path (store_directory, path);
  g_autofree char *text = NULL;
  gsize size;

  g_key_file_set_string (file, GROUP, "path", path);
  g_key_file_set_string (file, GROUP, "snapshot", snapshot);
  g_key_file_set_string (file, GROUP, "domain", domain);
  g_key_file_set_uint64 (file, GROUP, "inode", st->st_ino);
  g_key_file_set_uint64 (file, GROUP, "size", (guint64) st->st_size);
  g_key_file_set_int64 (file, GROUP, "modified_ns", modified_ns (st));
  g_key_file_set_int64 (file, GROUP, "made", g_get_real_time ());
  text = g_key_file_to_data (file, &size, NULL);
  return pv_mkdirs (folder, 0700, error)
         && g_file_set_contents_full (where, text, (gssize) size, G_FILE_SET_CONTENTS_CONSISTENT, 0600, error);
}

void
pv_overlay_list_sync (const char *store_directory)
{
  g_autofree char *folder = g_build_filename (store_directory, FOLDER, NULL);
  g_auto(PvFd) fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

  if (fd >= 0 && syncfs (fd) < 0)
    g_warning ("'%s' cannot be synced: %s", folder, g_strerror (errno));
}

/* (nullable): NULL for what is no entry. */
static PvOverlayEntry *
read_entry (const char *where)
{
  g_autoptr(GKeyFile) file = g_key_file_new ();
  g_autoptr(PvOverlayEntry) self = g_new0 (PvOverlayEntry, 1);

  if (!g_key_file_load_from_file (file, where, G_KEY_FILE_NONE, NULL))
    return NULL;
  self->path = g_key_file_get_string (file, GROUP, "path", NULL);
  self->snapshot = g_key_file_get_string (file, GROUP, "snapshot", NULL);
  self->domain = g_key_file_get_string (file, GROUP, "domain", NULL);
  self->inode = g_key_file_get_uint64 (file, GROUP, "inode", NULL);
  self->size = g_key_file_get_uint64 (file, GROUP, "size", NULL);
  self->modified_ns = g_key_file_get_int64 (file, GROUP, "modified_ns", NULL);
  self->made = g_key_file_get_int64 (file, GROUP, "made", NULL);
  return self->path != NULL && self->snapshot != NULL && self->domain != NULL ? g_steal_pointer (&self) : NULL;
}

GPtrArray *
pv_overlay_list_read (const char *store_directory)
{
  GPtrArray *entries = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_overlay_entry_free);
  g_autofree char *folder = g_build_filename (store_directory, FOLDER, NULL);
  g_autoptr(GDir) directory = g_dir_open (folder, 0, NULL);
  const char *name;

  while (directory != NULL && (name = g_dir_read_name (directory)) != NULL)
    {
      g_autofree char *where = g_build_filename (folder, name, NULL);
      g_autoptr(PvOverlayEntry) entry = strlen (name) == 64 ? read_entry (where) : NULL;
      struct stat st;

      if (entry == NULL)
        continue;
      if (lstat (entry->path, &st) == 0 && st.st_ino == entry->inode)
        g_ptr_array_add (entries, g_steal_pointer (&entry));
      else if (entry->made + GRACE_US < g_get_real_time ())
        unlink (where);
    }
  return entries;
}

/* QEMU locks the images that it has open, whoever the guest is. */
static gboolean
is_locked (const char *path)
{
  struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  g_auto(PvFd) fd = open (path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

  return fd < 0 || fcntl (fd, F_OFD_GETLK, &lock) < 0 || lock.l_type != F_UNLCK;
}

void
pv_overlay_list_remove_unused (const char *store_directory, const PvOverlayEntry *entry)
{
  g_autofree char *where = entry_path (store_directory, entry->path);
  struct stat st;

  if (lstat (entry->path, &st) < 0 || st.st_ino != entry->inode
      || (guint64) st.st_size != entry->size || modified_ns (&st) != entry->modified_ns || is_locked (entry->path))
    return;
  if (unlink (entry->path) == 0)
    unlink (where);
}
