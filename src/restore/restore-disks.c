/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "restore/restore-job-private.h"
#include "util/error.h"
#include "virt/attachments.h"

/* --- disks ------------------------------------------------------------------------------------------------------- */

PvRestoreBase *
pv_restore_base_new (const char *path, const char *format)
{
  PvRestoreBase *self = g_new0 (PvRestoreBase, 1);

  self->path = g_strdup (path);
  self->format = g_strdup (format);
  return self;
}

void
pv_restore_base_free (PvRestoreBase *self)
{
  g_free (self->path);
  g_free (self->format);
  g_free (self);
}

/* A disk that was plugged in later than the definition was made is not in it: @xml may lack it. */
static gboolean
replace_in (PvDomainXml *xml, const char *target, const char *path, const char *backing, GError **error)
{
  if (xml == NULL || pv_domain_xml_find_disk (xml, target) == NULL)
    return TRUE;
  if (!pv_domain_xml_set_disk (xml, target, path, "qcow2", error))
    return FALSE;
  /* Should the store not be served for a while, the guest pauses and loses nothing. */
  return backing == NULL
         || (pv_domain_xml_set_backing (xml, target, backing, error)
             && pv_domain_xml_set_stop_on_error (xml, target, error));
}

/* @backing: (out) (transfer full): the served image of the disk, when the new one is to be an overlay over it. */
static gboolean
find_backing (PvRestore *self, const char *target, char **backing, GError **error)
{
  g_autofree char *name = NULL;

  if (self->options->disks != PV_RESTORE_DISKS_OVERLAY)
    return TRUE;
  name = g_strconcat (pv_snapshot_full_name (self->snapshot), ".", target, ".raw", NULL);
  *backing = g_build_filename (self->options->pool_dir, name, NULL);
  return access (*backing, F_OK) == 0
         || pv_throw (error, PV_ERROR_NOT_FOUND, "'%s' is not served: is another store mounted there?", *backing);
}

static gboolean
restore_disk (PvRestore *self, const char *target, const char *original, gboolean readonly, GError **error)
{
  const PvVolume *volume = pv_snapshot_find_volume (self->snapshot, PV_VOLUME_DISK, target);
  const PvRestoreBase *base = self->options->bases != NULL ? g_hash_table_lookup (self->options->bases, target) : NULL;
  g_autofree char *suffix = NULL;
  g_autofree char *backing = NULL;
  PvFileContent content;
  const char *path;

  if (volume == NULL && (readonly || original == NULL))
    return TRUE;
  if (volume == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "the snapshot has no copy of disk %s, and memory must not meet the disk of another instant: "
                     "'pagevault export' writes the memory for 'virsh restore' if you know that '%s' has not changed",
                     target, original);
  suffix = g_strconcat (target, ".qcow2", NULL);
  if (base == NULL && !find_backing (self, target, &backing, error))
    return FALSE;
  content = (PvFileContent) { self->store, volume, "qcow2", backing, NULL };
  if (base != NULL) /* libvirt looks for the layers itself */
    {
      content.backing = base->path;
      content.backing_format = base->format;
    }
  path = pv_restore_files_add (self->files, &content, suffix, original, &self->transfer, error);
  return path != NULL && replace_in (self->live, target, path, backing, error)
         && replace_in (self->inactive, target, path, backing, error);
}

static gboolean
make_all (PvRestore *self, GError **error)
{
  g_autoptr(PvDomainXml) plan = pv_domain_xml_copy (self->live); /* the one that is changed drops its list */
  GPtrArray *disks = pv_domain_xml_disks (plan);

  self->transfer.phase = "writing disks";
  for (guint i = 0; i < disks->len; i++)
    {
      const PvDomainDisk *disk = g_ptr_array_index (disks, i);

      if (!restore_disk (self, disk->target, disk->path, disk->readonly || disk->shareable, error))
        {
          g_prefix_error (error, "disk %s: ", disk->target);
          return FALSE;
        }
    }
  return TRUE;
}

static gboolean
restore_nvram (PvRestore *self, GError **error)
{
  const PvVolume *volume = pv_snapshot_find_volume (self->snapshot, PV_VOLUME_BLOB, PV_BLOB_NVRAM);
  PvFileContent content;
  const char *path;

  if (volume == NULL)
    return TRUE;
  content = (PvFileContent) { self->store, volume, "raw", NULL, NULL };
  path = pv_restore_files_add (self->files, &content, "nvram.fd", pv_domain_xml_nvram (self->live), &self->transfer,
                               error);
  return path != NULL && pv_domain_xml_set_nvram (self->live, path, error)
         && (self->inactive == NULL || pv_domain_xml_set_nvram (self->inactive, path, error));
}

gboolean
pv_restore_make_disks (PvRestore *self, GError **error)
{
  g_autofree char *stem = self->options->name != NULL
                            ? g_strdup (self->domain)
                            : g_strconcat (self->domain, "-", pv_snapshot_name (self->snapshot), NULL);

  self->files = pv_restore_files_new (self->journal, stem, self->options->disks_dir);
  return make_all (self, error) && restore_nvram (self, error);
}
