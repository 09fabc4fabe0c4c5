/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/disk-plan.h"

#include <errno.h>
#include <fcntl.h>
#include <json-glib/json-glib.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fault.h"

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

/* (transfer full) */
static char *
overlay_path (PvDomainXml *domain, const PvDomainDisk *disk, const PvDiskSpec *spec, const PvCaptureOptions *options,
              const char *tag, GError **error)
{
  g_autofree char *directory = NULL;
  g_autofree char *base_name = g_path_get_basename (disk->path);
  g_autofree char *name = g_strconcat (base_name, ".", tag, NULL);
  g_autofree char *path = NULL;

  if (options->overlay_dir != NULL)
    directory = g_strdup (options->overlay_dir);
  else if (disk->kind == PV_DISK_FILE)
    directory = g_path_get_dirname (disk->path);
  else
    directory = g_strdup (DEFAULT_DIRECTORY);
  if ((spec == NULL || spec->file == NULL) && !g_file_test (directory, G_FILE_TEST_IS_DIR))
    {
      pv_throw (error, PV_ERROR_NOT_FOUND,
                "guest %s: disk %s: there is no directory '%s' for its overlay: name one with --overlay-dir",
                pv_domain_xml_name (domain), disk->target, directory);
      return NULL;
    }
  path = spec != NULL && spec->file != NULL ? g_strdup (spec->file) : g_build_filename (directory, name, NULL);
  if (g_path_is_absolute (path) && !g_file_test (path, G_FILE_TEST_EXISTS | G_FILE_TEST_IS_SYMLINK))
    return g_steal_pointer (&path);
  if (!g_path_is_absolute (path))
    pv_throw (error, PV_ERROR_INVALID, "guest %s: disk %s: the overlay's path must be whole, '%s' is not",
              pv_domain_xml_name (domain), disk->target, path);
  else
    pv_throw (error, PV_ERROR_EXISTS,
              "guest %s: disk %s: its overlay '%s' exists already: name another one with --diskspec",
              pv_domain_xml_name (domain), disk->target, path);
  return NULL;
}

static PvDiskPlanEntry *
plan_disk (PvDomainXml *domain, const PvDomainDisk *disk, const PvDiskSpec *spec, const PvCaptureOptions *options,
           const char *tag, gboolean overlays, GError **error)
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
      entry->overlay = overlay_path (domain, disk, spec, options, tag, error);
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
      PvDiskPlanEntry *entry = plan_disk (domain, disks->pdata[i], g_hash_table_lookup (specs, disks->pdata[i]),
                                          options, tag, overlays, error);

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

/* By qemu-img, which reads beside a running QEMU too. */
static gboolean
virtual_size (const char *path, const char *format, guint64 *size, GError **error)
{
  const char *argv[] = { "qemu-img", "info", "--force-share", "--output=json", "-f", format, "--", path, NULL };
  g_autofree char *text = NULL;
  g_autofree char *message = NULL;
  g_autoptr(JsonNode) node = NULL;
  g_autoptr(GError) local = NULL;
  JsonObject *object;
  int status;

  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &text, &message, &status, &local))
    return pv_throw (error, PV_ERROR_FAILED, "cannot run qemu-img (install qemu-utils): %s", local->message);
  if (!g_spawn_check_wait_status (status, NULL))
    return pv_throw (error, PV_ERROR_FAILED, "cannot look at the image '%s': %s", path, g_strstrip (message));
  node = json_from_string (text, NULL);
  object = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  *size = object != NULL ? (guint64) json_object_get_int_member_with_default (object, "virtual-size", 0) : 0;
  return TRUE;
}

gboolean
pv_disk_plan_measure (PvDiskPlan *self, guint64 *total, GError **error)
{
  *total = 0;
  for (guint i = 0; i < self->entries->len; i++)
    {
      PvDiskPlanEntry *entry = self->entries->pdata[i];

      if (entry->taken && !virtual_size (entry->path, entry->format, &entry->size, error))
        return FALSE;
      *total += entry->taken ? entry->size : 0;
    }
  return TRUE;
}

/* An empty file that only its owner, the owner of the base, may open: its descriptor, or -1. */
static int
make_file (const PvDiskPlanEntry *entry, GError **error)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, entry->overlay, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, error);
  struct stat st;

  if (fd < 0)
    return -1;
  if (stat (entry->path, &st) < 0)
    {
      pv_throw_errno (error, errno, "cannot look at '%s'", entry->path);
      return -1;
    }
  if (fchown (fd, st.st_uid, st.st_gid) < 0)
    g_debug ("cannot give '%s' the owner of '%s': %s", entry->overlay, entry->path, g_strerror (errno));
  return pv_fd_steal (&fd);
}

/* In the child, before exec: the file stays open for it, and it does not outlive us. */
static void
set_up_child (gpointer fd)
{
  fcntl (GPOINTER_TO_INT (fd), F_SETFD, 0);
  prctl (PR_SET_PDEATHSIG, SIGKILL);
}

/* By its descriptor, not its name: one that is still at work when we were killed and the guardian has removed the file
 * must not make it anew. */
static gboolean
run_qemu_img (const PvDiskPlanEntry *entry, int fd, GError **error)
{
  g_autofree char *file = g_strdup_printf ("/proc/self/fd/%d", fd);
  const char *argv[]
      = { "qemu-img", "create", "-q", "-f", "qcow2", "-b", entry->path, "-F", entry->format, file, NULL };
  g_autofree char *message = NULL;
  g_autoptr(GError) local = NULL;
  int status;

  if (!g_spawn_sync (NULL, (char **) argv, NULL, G_SPAWN_SEARCH_PATH | G_SPAWN_STDOUT_TO_DEV_NULL, set_up_child,
                     GINT_TO_POINTER (fd), NULL, &message, &status, &local))
    return pv_throw (error, PV_ERROR_FAILED, "cannot run qemu-img (install qemu-utils): %s", local->message);
  if (g_spawn_check_wait_status (status, NULL))
    return TRUE;
  return pv_throw (error, PV_ERROR_FAILED, "cannot make the overlay '%s': %s", entry->overlay, g_strstrip (message));
}

static gboolean
create_overlay (const PvDiskPlanEntry *entry, GError **error)
{
  g_auto(PvFd) fd = pv_fault ("capture.overlay.create", error) ? make_file (entry, error) : PV_FD_NONE;

  return fd >= 0 && run_qemu_img (entry, fd, error);
}

gboolean
pv_disk_plan_create_overlays (PvDiskPlan *self, PvJournal *journal, GError **error)
{
  for (guint i = 0; i < self->entries->len; i++)
    {
      const PvDiskPlanEntry *entry = self->entries->pdata[i];
      g_autoptr(GError) local = NULL;
      gboolean ok;

      if (entry->overlay == NULL)
        continue;
      if (!pv_journal_add (journal, TRUE, error, PV_STEP_OVERLAY, entry->target, entry->overlay, entry->path, NULL))
        return FALSE;
      ok = create_overlay (entry, &local);
      /* somebody else's file of that name is not ours to remove */
      if (g_error_matches (local, PV_ERROR, PV_ERROR_EXISTS) && !pv_journal_over (journal, PV_STEP_OVERLAY, error))
        return FALSE;
      if (!ok)
        {
          g_propagate_prefixed_error (error, g_steal_pointer (&local), "disk %s: ", entry->target);
          return FALSE;
        }
    }
  return TRUE;
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
