/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/fresh-disks.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "daemon/overlay-file.h"
#include "restore/overlay-list.h"
#include "daemon/own-disks.h"
#include "restore/disk-image.h"
#include "restore/restore-files.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"
#include "virt/attachments.h"
#include "xml/domain-xml.h"
#include "xml/restore-path.h"

#define TRIES 1000u
#define DEFAULT_DIRECTORY "/var/lib/libvirt/images" /* for disks that are no files: where libvirt keeps images */

struct _PvFreshDisks
{
  PvStore *store;        /* (owned) */
  char *pool_directory;  /* (owned) */
  char *disks_directory; /* (owned) (nullable) */
};

/* One restore. */
typedef struct
{
  PvFreshDisks *disks;   /* (not owned) */
  PvSnapshot *snapshot;  /* (owned) */
  PvDomainXml *original; /* (owned): the description as it was at the instant */
  PvDomainXml *xml;      /* (owned): the one that is changed */
  GPtrArray *made;       /* (not owned) */
} Restore;

static void
restore_clear (Restore *self)
{
  g_clear_pointer (&self->snapshot, pv_snapshot_unref);
  g_clear_pointer (&self->original, pv_domain_xml_free);
  g_clear_pointer (&self->xml, pv_domain_xml_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Restore, restore_clear)

PvFreshDisks *
pv_fresh_disks_new (PvStore *store, const char *pool_directory, const char *disks_directory)
{
  PvFreshDisks *self = g_new0 (PvFreshDisks, 1);

  self->store = pv_store_ref (store);
  self->pool_directory = g_strdup (pool_directory);
  self->disks_directory = g_strdup (disks_directory);
  return self;
}

void
pv_fresh_disks_free (PvFreshDisks *self)
{
  pv_store_unref (self->store);
  g_free (self->pool_directory);
  g_free (self->disks_directory);
  g_free (self);
}

/* --- files ------------------------------------------------------------------------------------------------------- */

/* (transfer full): where the file that stands for @original (nullable) goes. */
static char *
choose_directory (PvFreshDisks *self, const char *original)
{
  if (self->disks_directory != NULL)
    return g_strdup (self->disks_directory);
  if (original == NULL || g_str_has_prefix (original, "/dev/") || pv_restore_path_parse (original, NULL, NULL, NULL))
    return g_strdup (DEFAULT_DIRECTORY);
  return g_path_get_dirname (original);
}

/* Gives the finished file @fd, which has no name yet, the first free name STEM[-N].@suffix in @directory, having
 * written it down. (transfer full) */
static char *
give_name (Restore *self, int fd, const char *directory, const char *suffix, GError **error)
{
  PvStore *store = self->disks->store;
  const char *full = pv_snapshot_full_name (self->snapshot);
  g_autofree char *text = g_strdelimit (g_strdup (full), "@", '-');
  g_autofree char *stem = pv_restore_files_clean_name (text);
  g_autofree char *link = g_strdup_printf ("/proc/self/fd/%d", fd);
  struct stat st;

  if (fstat (fd, &st) < 0)
    {
      pv_throw_errno (error, errno, "'%s'", directory);
      return NULL;
    }
  for (guint i = 1; i <= TRIES; i++)
    {
      g_autofree char *number = i == 1 ? g_strdup ("") : g_strdup_printf ("-%u", i);
      g_autofree char *path = g_strdup_printf ("%s/%s%s.%s", directory, stem, number, suffix);

      if (g_file_test (path, G_FILE_TEST_EXISTS | G_FILE_TEST_IS_SYMLINK))
        continue;
      if (!pv_overlay_list_add (pv_store_directory (store), path, &st, full, pv_domain_xml_name (self->xml), error))
        return NULL;
      if (linkat (AT_FDCWD, link, AT_FDCWD, path, AT_SYMLINK_FOLLOW) == 0)
        {
          g_ptr_array_add (self->made, g_strdup (path));
          return g_steal_pointer (&path);
        }
      if (errno != EEXIST)
        {
          pv_throw_errno (error, errno, "cannot make '%s'", path);
          return NULL;
        }
    }
  pv_throw (error, PV_ERROR_EXISTS, "'%s' has %u files called %s*.%s already", directory, TRIES, stem, suffix);
  return NULL;
}

static int
open_nameless (const char *directory, GError **error)
{
  int fd = open (directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

  if (fd < 0)
    pv_throw_errno (error, errno, "cannot make a file in '%s'", directory);
  return fd;
}

/* (transfer full): path of a new overlay over the served image of disk @volume. */
static char *
make_overlay (Restore *self, const PvVolume *volume, const char *original, const char *backing, GError **error)
{
  g_autofree char *directory = choose_directory (self->disks, original);
  g_autofree char *suffix = g_strconcat (volume->name, ".qcow2", NULL);
  g_auto(PvFd) fd = open_nameless (directory, error);

  if (fd < 0 || !pv_overlay_file_write (fd, volume->size, backing, directory, error))
    return NULL;
  return give_name (self, fd, directory, suffix, error);
}

/* --- one disk ---------------------------------------------------------------------------------------------------- */

static gboolean
use_overlay (Restore *self, const PvVolume *volume, const char *original, GError **error)
{
  g_autofree char *name = g_strconcat (pv_snapshot_full_name (self->snapshot), ".", volume->name, ".raw", NULL);
  g_autofree char *backing = g_build_filename (self->disks->pool_directory, name, NULL);
  g_autofree char *path = make_overlay (self, volume, original, backing, error);

  /* Should the store not be served for a while, the guest pauses and loses nothing. */
  return path != NULL && pv_domain_xml_set_disk (self->xml, volume->name, path, "qcow2", error)
         && pv_domain_xml_set_backing (self->xml, volume->name, backing, error)
         && pv_domain_xml_set_stop_on_error (self->xml, volume->name, error);
}

static gboolean
put_disk (Restore *self, const char *target, GError **error)
{
  const PvVolume *volume = pv_snapshot_find_volume (self->snapshot, PV_VOLUME_DISK, target);
  const PvDomainDisk *own = pv_domain_xml_find_disk (self->original, target);

  if (own != NULL && pv_own_disks_untouched (self->snapshot, own))
    return pv_domain_xml_copy_disk_source (self->xml, target, self->original, error);
  if (volume == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "snapshot %s has no copy of disk %s, and its memory must not meet the disk of another instant: "
                     "'virsh restore --xml' takes a description with a disk that you know to be right",
                     pv_snapshot_full_name (self->snapshot), target);
  if (g_str_equal (pv_snapshot_name (self->snapshot), PV_MANAGED_SAVE))
    return pv_throw (error, PV_ERROR_BUSY,
                     "disk %s has been written to since the guest was saved: 'virsh managedsave-remove' lets it boot "
                     "from its disks; 'pagevault restore %s' brings back what was saved", target,
                     pv_snapshot_full_name (self->snapshot));
  return use_overlay (self, volume, own != NULL ? own->path : NULL, error);
}

static gboolean
put_nvram (Restore *self, GError **error)
{
  const PvVolume *volume = pv_snapshot_find_volume (self->snapshot, PV_VOLUME_BLOB, PV_BLOB_NVRAM);
  const char *original = pv_domain_xml_nvram (self->original);
  PvTransfer transfer = { .phase = "" };
  g_autoptr(PvVolumeReader) reader = NULL;
  g_autofree char *directory = choose_directory (self->disks, original);
  g_autofree char *path = NULL;
  g_auto(PvFd) fd = PV_FD_NONE;

  if (volume == NULL || !pv_restore_path_parse (pv_domain_xml_nvram (self->xml), NULL, NULL, NULL))
    return TRUE;
  reader = pv_volume_reader_new (self->disks->store, volume, error);
  fd = reader != NULL ? open_nameless (directory, error) : PV_FD_NONE;
  if (fd < 0 || !pv_disk_image_write_raw (reader, fd, directory, &transfer, error))
    return FALSE;
  path = give_name (self, fd, directory, "nvram.fd", error);
  return path != NULL && pv_domain_xml_set_nvram (self->xml, path, error);
}

/* --- all --------------------------------------------------------------------------------------------------------- */

/* (element-type utf8) (transfer full): targets of the disks whose paths lead nowhere. All of them must be of one
 * snapshot: @id and @full: (out) (transfer full) (nullable): NULL when there is none. */
static GPtrArray *
find_targets (PvDomainXml *xml, char **id, char **full, GError **error)
{
  g_autoptr(GPtrArray) targets = g_ptr_array_new_with_free_func (g_free);
  GPtrArray *disks = pv_domain_xml_disks (xml);

  pv_restore_path_parse (pv_domain_xml_nvram (xml), id, full, NULL);
  for (guint i = 0; i < disks->len; i++)
    {
      const PvDomainDisk *disk = disks->pdata[i];
      g_autofree char *this_id = NULL;
      g_autofree char *this_full = NULL;

      if (!pv_restore_path_parse (disk->path, &this_id, &this_full, NULL))
        continue;
      if (*id != NULL && (!g_str_equal (*id, this_id) || !g_str_equal (*full, this_full)))
        {
          pv_throw (error, PV_ERROR_INVALID, "the description has disks of more than one snapshot: %s, %s", *full,
                    this_full);
          return NULL;
        }
      if (*id == NULL)
        {
          *id = g_steal_pointer (&this_id);
          *full = g_steal_pointer (&this_full);
        }
      g_ptr_array_add (targets, g_strdup (disk->target));
    }
  return g_steal_pointer (&targets);
}

static PvSnapshot *
find_snapshot (PvFreshDisks *self, const char *id, const char *full, GError **error)
{
  g_autofree char *domain = NULL;
  g_autofree char *name = NULL;
  g_autofree char *hex = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;

  if (!pv_snapshot_name_parse (full, &domain, &name, error))
    return NULL;
  snapshot = pv_store_look_up_known (self->store, domain, name, error);
  if (snapshot == NULL)
    return NULL;
  hex = pv_name_to_hex (pv_snapshot_id (snapshot));
  if (g_str_has_prefix (hex, id))
    return g_steal_pointer (&snapshot);
  pv_throw (error, PV_ERROR_NOT_FOUND, "this memory is of a snapshot %s that was deleted; another one has its name",
            full);
  return NULL;
}

static PvDomainXml *
read_original (PvSnapshot *snapshot, GError **error)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, PV_ATTACH_DOMAIN_XML);
  g_autofree char *text
      = bytes != NULL ? g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)) : NULL;

  if (text != NULL)
    return pv_domain_xml_parse (text, error);
  pv_throw (error, PV_ERROR_UNSUPPORTED, "snapshot %s has no domain XML", pv_snapshot_full_name (snapshot));
  return NULL;
}

char *
pv_fresh_disks_make (PvFreshDisks *self, const char *xml, GPtrArray *made, GError **error)
{
  g_auto(Restore) restore = { .disks = self, .made = made };
  g_autoptr(GPtrArray) targets = NULL;
  g_autofree char *id = NULL;
  g_autofree char *full = NULL;

  restore.xml = pv_domain_xml_parse (xml, error);
  targets = restore.xml != NULL ? find_targets (restore.xml, &id, &full, error) : NULL;
  if (targets == NULL || full == NULL)
    return NULL;
  restore.snapshot = find_snapshot (self, id, full, error);
  restore.original = restore.snapshot != NULL ? read_original (restore.snapshot, error) : NULL;
  if (restore.original == NULL)
    return NULL;
  for (guint i = 0; i < targets->len; i++)
    if (!put_disk (&restore, targets->pdata[i], error))
      return NULL;
  return put_nvram (&restore, error) ? pv_domain_xml_to_string (restore.xml) : NULL;
}

gboolean
pv_fresh_disks_check_own (PvFreshDisks *self, PvSnapshot *snapshot, const char *xml, GError **error)
{
  g_autoptr(PvDomainXml) given = pv_domain_xml_parse (xml, error);
  g_autoptr(PvDomainXml) original = given != NULL ? read_original (snapshot, error) : NULL;
  GPtrArray *disks = original != NULL ? pv_domain_xml_disks (original) : NULL;

  for (guint i = 0; disks != NULL && i < disks->len; i++)
    {
      const PvDomainDisk *own = disks->pdata[i];

      if (own->path != NULL && !own->readonly && !own->shareable
          && pv_domain_xml_find_disk (given, own->path) != NULL && !pv_own_disks_untouched (snapshot, own))
        return pv_throw (error, PV_ERROR_BUSY,
                         "the memory of %s must not meet '%s', which has been written to since: leave --xml out, or "
                         "name another disk", pv_snapshot_full_name (snapshot), own->path);
    }
  return disks != NULL;
}

/* --- afterwards -------------------------------------------------------------------------------------------------- */

void
pv_fresh_disks_sync (PvFreshDisks *self)
{
  pv_overlay_list_sync (pv_store_directory (self->store));
}

void
pv_fresh_disks_undo (PvFreshDisks *self, GPtrArray *made)
{
  const char *directory = pv_store_directory (self->store);
  g_autoptr(GPtrArray) entries = pv_overlay_list_read (directory);

  for (guint i = 0; i < entries->len; i++)
    {
      const PvOverlayEntry *entry = entries->pdata[i];

      if (g_ptr_array_find_with_equal_func (made, entry->path, g_str_equal, NULL))
        pv_overlay_list_remove_unused (directory, entry);
    }
}

void
pv_fresh_disks_forget (PvFreshDisks *self, const char *name, gint64 time)
{
  const char *directory = pv_store_directory (self->store);
  g_autoptr(GPtrArray) entries = pv_overlay_list_read (directory);

  for (guint i = 0; i < entries->len; i++)
    {
      const PvOverlayEntry *entry = entries->pdata[i];

      if (g_str_equal (entry->domain, name) && entry->made < time)
        pv_overlay_list_remove_unused (directory, entry);
    }
}

char *
pv_fresh_disks_over (PvFreshDisks *self, const char *snapshot)
{
  g_autoptr(GPtrArray) entries = pv_overlay_list_read (pv_store_directory (self->store));

  for (guint i = 0; i < entries->len; i++)
    {
      const PvOverlayEntry *entry = entries->pdata[i];

      if (g_str_equal (entry->snapshot, snapshot))
        return g_strdup (entry->path);
    }
  return NULL;
}
