/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/disk-plan.h"

#include <string.h>

#include "util/error.h"

/* Where libvirt keeps images, and security modules let QEMU open them: for overlays of disks that are no files. */
#define DEFAULT_DIRECTORY "/var/lib/libvirt/images"

static void
entry_free (gpointer data)
{
  PvDiskPlanEntry *entry = data;

  g_free (entry->target);
  g_free (entry->path);
  g_free (entry->format);
  g_free (entry->overlay);
  g_clear_pointer (&entry->backing, g_ptr_array_unref);
  g_clear_pointer (&entry->layers, pv_layers_free);
  g_free (entry);
}

void
pv_disk_plan_free (PvDiskPlan *self)
{
  if (self == NULL)
    return;
  g_ptr_array_unref (self->entries);
  g_free (self);
}

static gboolean
throw_cannot (PvDomainXml *domain, const PvDomainDisk *disk, const char *why, GError **error)
{
  return pv_throw (error, PV_ERROR_UNSUPPORTED, "guest %s: disk %s: %s; leave it out with --diskspec %s,snapshot=no",
                   pv_domain_xml_name (domain), disk->target, why, disk->target);
}

/* Whether the user, or else the description, wants the disk to take part. */
static gboolean
is_wanted (const PvDomainDisk *disk, const PvDiskSpec *spec)
{
  if (spec != NULL)
    return !spec->exclude;
  if (g_strcmp0 (disk->snapshot, "no") == 0 || g_strcmp0 (disk->snapshot, "manual") == 0)
    return FALSE;
  return !disk->readonly && !g_str_equal (disk->device, "cdrom") && !g_str_equal (disk->device, "floppy")
         && (disk->path != NULL || disk->obstacle != NULL);
}

static gboolean
check_possible (PvDomainXml *domain, const PvDomainDisk *disk, GError **error)
{
  if (disk->obstacle != NULL)
    return throw_cannot (domain, disk, disk->obstacle, error);
  if (disk->readonly || g_str_equal (disk->device, "cdrom") || g_str_equal (disk->device, "floppy"))
    return throw_cannot (domain, disk, "it is read-only or removable and cannot be frozen", error);
  if (disk->path == NULL || disk->kind == PV_DISK_OTHER)
    return throw_cannot (domain, disk, "it has no file or block device of its own", error);
  if (disk->shareable)
    return throw_cannot (domain, disk, "it is shared with other guests, whose writes cannot be stopped", error);
  if (disk->transient)
    return throw_cannot (domain, disk, "it is transient, and what it holds goes with the guest", error);
  return TRUE;
}

/* (transfer full): what the overlay's name begins with: the name of the disk's file, or when that is an overlay called
 * after a file below it, that one's name: names of overlays upon overlays do not grow. */
static char *
overlay_stem (const PvDomainDisk *disk)
{
  g_autofree char *name = g_path_get_basename (disk->path);

  for (guint i = 0; disk->backing != NULL && i < disk->backing->len; i++)
    {
      g_autofree char *below = g_path_get_basename (disk->backing->pdata[i]);

      if (g_str_has_prefix (name, below) && name[strlen (below)] == '.')
        return g_steal_pointer (&below);
    }
  return g_steal_pointer (&name);
}

/* (transfer full): the same as libvirt has it: what stands behind the last dot makes room for the snapshot's name. */
static char *
libvirt_stem (const PvDomainDisk *disk)
{
  char *name = g_path_get_basename (disk->path);
  char *dot = strrchr (name, '.');

  if (dot != NULL)
    *dot = '\0';
  return name;
}

/* (transfer full) */
static char *
overlay_directory (PvDomainXml *domain, const PvDomainDisk *disk, const PvCaptureOptions *options, GError **error)
{
  g_autofree char *directory = NULL;

  if (options->overlay_dir != NULL)
    directory = g_strdup (options->overlay_dir);
  else if (disk->kind == PV_DISK_FILE)
    directory = g_path_get_dirname (disk->path);
  else
    directory = g_strdup (DEFAULT_DIRECTORY);
  if (g_file_test (directory, G_FILE_TEST_IS_DIR))
    return g_steal_pointer (&directory);
  pv_throw (error, PV_ERROR_NOT_FOUND,
            "guest %s: disk %s: there is no directory '%s' for its overlay: name one with --overlay-dir",
            pv_domain_xml_name (domain), disk->target, directory);
  return NULL;
}

static gboolean
is_planned (const PvDiskPlan *self, const char *path)
{
  for (guint i = 0; i < self->entries->len; i++)
    if (g_strcmp0 (((PvDiskPlanEntry *) self->entries->pdata[i])->overlay, path) == 0)
      return TRUE;
  return FALSE;
}

/* (transfer full): disks of one file name in different directories may get their overlays in the same one. */
static char *
default_overlay (const PvDiskPlan *self, const PvDomainDisk *disk, const PvCaptureOptions *options,
                 const char *directory, const char *tag)
{
  g_autofree char *stem = options->libvirt_names ? libvirt_stem (disk) : overlay_stem (disk);
  g_autofree char *name = g_strconcat (stem, ".", tag, NULL);
  g_autofree char *longer = g_strconcat (stem, ".", disk->target, ".", tag, NULL);
  g_autofree char *path = g_build_filename (directory, name, NULL);

  return is_planned (self, path) ? g_build_filename (directory, longer, NULL) : g_steal_pointer (&path);
}

/* (transfer full) */
static char *
overlay_path (const PvDiskPlan *self, PvDomainXml *domain, const PvDomainDisk *disk, const PvDiskSpec *spec,
              const PvCaptureOptions *options, const char *tag, GError **error)
{
  g_autofree char *directory = NULL;
  g_autofree char *path = NULL;

  if (spec != NULL && spec->file != NULL)
    path = g_strdup (spec->file);
  else
    {
      directory = overlay_directory (domain, disk, options, error);
      path = directory != NULL ? default_overlay (self, disk, options, directory, tag) : NULL;
    }
  if (path == NULL)
    return NULL;
  if (!g_path_is_absolute (path))
    pv_throw (error, PV_ERROR_INVALID, "guest %s: disk %s: the overlay's path must be whole, '%s' is not",
              pv_domain_xml_name (domain), disk->target, path);
  else if (is_planned (self, path))
    pv_throw (error, PV_ERROR_INVALID, "guest %s: disk %s: another disk has the overlay '%s' already",
              pv_domain_xml_name (domain), disk->target, path);
  else if (g_file_test (path, G_FILE_TEST_EXISTS | G_FILE_TEST_IS_SYMLINK))
    pv_throw (error, PV_ERROR_EXISTS,
              "guest %s: disk %s: its overlay '%s' exists already: name another one with --diskspec",
              pv_domain_xml_name (domain), disk->target, path);
  else
    return g_steal_pointer (&path);
  return NULL;
}

static PvDiskPlanEntry *
plan_disk (const PvDiskPlan *self, PvDomainXml *domain, const PvDomainDisk *disk, const PvDiskSpec *spec,
           const PvCaptureOptions *options, const char *tag, gboolean overlays, GError **error)
{
  PvDiskPlanEntry *entry = g_new0 (PvDiskPlanEntry, 1);
  gboolean ok = TRUE;

  entry->target = g_strdup (disk->target);
  entry->path = g_strdup (disk->path);
  entry->format = g_strdup (disk->format);
  entry->block = disk->kind == PV_DISK_BLOCK;
  entry->backing = g_ptr_array_new_with_free_func (g_free);
  for (guint i = 0; disk->backing != NULL && i < disk->backing->len; i++)
    g_ptr_array_add (entry->backing, g_strdup (disk->backing->pdata[i]));
  entry->taken = !options->no_disks && is_wanted (disk, spec);
  if (entry->taken)
    ok = check_possible (domain, disk, error);
  if (ok && entry->taken && overlays)
    {
      entry->overlay = overlay_path (self, domain, disk, spec, options, tag, error);
      ok = entry->overlay != NULL;
    }
  if (ok)
    return entry;
  entry_free (entry);
  return NULL;
}

/* The specs by disk: each must name one. */
static GHashTable *
match_specs (PvDomainXml *domain, const PvCaptureOptions *options, GError **error)
{
  g_autoptr(GHashTable) specs = g_hash_table_new (g_direct_hash, g_direct_equal);

  for (guint i = 0; i < options->disks->len; i++)
    {
      PvDiskSpec *spec = options->disks->pdata[i];
      PvDomainDisk *disk = pv_domain_xml_find_disk (domain, spec->target);

      if (disk == NULL || !g_hash_table_insert (specs, disk, spec))
        {
          pv_throw (error, PV_ERROR_INVALID,
                    disk == NULL ? "guest %s has no disk '%s'" : "guest %s: disk '%s' is named twice",
                    pv_domain_xml_name (domain), spec->target);
          return NULL;
        }
    }
  return g_steal_pointer (&specs);
}

PvDiskPlan *
pv_disk_plan_new (PvDomainXml *domain, const PvCaptureOptions *options, const char *tag, gboolean overlays,
                  GError **error)
{
  g_autoptr(GHashTable) specs = match_specs (domain, options, error);
  g_autoptr(PvDiskPlan) self = g_new0 (PvDiskPlan, 1);
  GPtrArray *disks = pv_domain_xml_disks (domain);

  self->entries = g_ptr_array_new_with_free_func (entry_free);
  if (specs == NULL)
    return NULL;
  for (guint i = 0; i < disks->len; i++)
    {
      const PvDiskSpec *spec = g_hash_table_lookup (specs, disks->pdata[i]);
      PvDiskPlanEntry *entry = plan_disk (self, domain, disks->pdata[i], spec, options, tag, overlays, error);

      if (entry == NULL)
        return NULL;
      g_ptr_array_add (self->entries, entry);
    }
  return g_steal_pointer (&self);
}

guint
pv_disk_plan_n_taken (const PvDiskPlan *self)
{
  guint n = 0;

  for (guint i = 0; i < self->entries->len; i++)
    n += ((PvDiskPlanEntry *) self->entries->pdata[i])->taken;
  return n;
}

PvOverlay *
pv_disk_plan_overlays (const PvDiskPlan *self, guint *n)
{
  PvOverlay *overlays = g_new0 (PvOverlay, self->entries->len);

  for (guint i = 0; i < self->entries->len; i++)
    {
      const PvDiskPlanEntry *entry = self->entries->pdata[i];

      overlays[i] = (PvOverlay){ .target = entry->target, .overlay = entry->overlay };
    }
  *n = self->entries->len;
  return overlays;
}

char *
pv_disk_plan_snapshot_xml (const PvDiskPlan *self, const char *name)
{
  guint n;
  g_autofree PvOverlay *overlays = pv_disk_plan_overlays (self, &n);

  return pv_snapshot_xml_disks (name, overlays, n);
}
