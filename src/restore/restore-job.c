/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Eager restore: new disks first, then a save image that libvirt loads, then the definition. Until the last step has
 * succeeded everything can be taken back: files by PvRestoreFiles, the guest and its definition by undo(). */
#include "config.h"

#include "restore/restore-job.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "restore/memory-image.h"
#include "restore/restore-files.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"
#include "virt/attachments.h"
#include "virt/host.h"
#include "xml/domain-xml.h"

typedef struct
{
  PvStore *store;
  PvConnection *connection;
  PvSnapshot *snapshot;
  const PvRestoreOptions *options;
  PvTransfer transfer;
  const char *domain;     /* (not owned): the name that the guest gets */
  gboolean has_memory;
  PvDomainXml *live;      /* (owned): the guest as it ran, changed for its new life */
  PvDomainXml *inactive;  /* (owned) (nullable): its definition, likewise */
  PvRestoreFiles *files;  /* (owned) */
  gboolean started;       /* the guest is ours to end when something fails */
} Restore;

static void
restore_clear (Restore *self)
{
  g_clear_pointer (&self->live, pv_domain_xml_free);
  g_clear_pointer (&self->inactive, pv_domain_xml_free);
  g_clear_pointer (&self->files, pv_restore_files_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Restore, restore_clear)

void
pv_restore_result_clear (PvRestoreResult *self)
{
  g_clear_pointer (&self->domain, g_free);
}

/* --- what is to be restored -------------------------------------------------------------------------------------- */

/* (nullable): attachment @name parsed; NULL without error when there is none. */
static PvDomainXml *
read_xml (PvSnapshot *snapshot, const char *name, GError **error)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, name);
  g_autofree char *text = NULL;
  PvDomainXml *xml;

  if (bytes == NULL)
    return NULL;
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  xml = pv_domain_xml_parse (text, error);
  if (xml == NULL)
    g_prefix_error (error, "%s: ", name);
  return xml;
}

static gboolean
read_descriptions (Restore *self, GError **error)
{
  g_autoptr(GError) local = NULL;

  self->has_memory = pv_snapshot_volumes_size (self->snapshot, PV_VOLUME_RAM) > 0;
  self->live = read_xml (self->snapshot, PV_ATTACH_DOMAIN_XML, &local);
  if (local == NULL)
    self->inactive = read_xml (self->snapshot, PV_ATTACH_INACTIVE_XML, &local);
  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (self->live == NULL && self->inactive == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "the snapshot has no domain XML, so that there is no guest to make: use 'pagevault export'");
  if (self->live == NULL && self->has_memory)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "the snapshot has memory, but no domain XML of its instant: use 'pagevault export'");
  if (self->live == NULL)
    self->live = pv_domain_xml_copy (self->inactive);
  if (!self->has_memory && self->inactive == NULL)
    self->inactive = pv_domain_xml_copy (self->live);
  return TRUE;
}

/* --- who is there already ---------------------------------------------------------------------------------------- */

/* There is a domain of the name. It is left alone unless it is this very guest, shut off and without a saved state of
 * its own. */
static gboolean
check_same (Restore *self, PvGuest *guest, GError **error)
{
  PvRunState state;
  gboolean saved = FALSE;

  if (self->options->name != NULL)
    return pv_throw (error, PV_ERROR_EXISTS, "there is a domain '%s' already: choose another --name", self->domain);
  if (!pv_guest_state (guest, &state, NULL, error))
    return FALSE;
  if (state != PV_RUN_SHUTOFF)
    return pv_throw (error, PV_ERROR_EXISTS,
                     "domain '%s' is running: shut it off first (virsh shutdown, or virsh destroy), or restore under "
                     "another name with --name",
                     self->domain);
  if (g_strcmp0 (pv_guest_uuid (guest), pv_domain_xml_uuid (self->live)) != 0)
    return pv_throw (error, PV_ERROR_EXISTS,
                     "domain '%s' is another guest (its UUID is %s): restore under another name with --name",
                     self->domain, pv_guest_uuid (guest));
  if (!pv_host_managed_save (guest, &saved, error))
    return FALSE;
  if (saved)
    return pv_throw (error, PV_ERROR_EXISTS,
                     "domain '%s' has a managed save image, which its next start would load: remove that first (virsh "
                     "managedsave-remove), or restore under another name with --name",
                     self->domain);
  return TRUE;
}

/* Errors but "not found" are errors. */
static gboolean
absent (GError *local, GError **error)
{
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_error_free (local);
      return TRUE;
    }
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
check_domain (Restore *self, GError **error)
{
  GError *local = NULL;
  g_autoptr(PvGuest) named = pv_guest_lookup (self->connection, self->domain, &local);
  g_autoptr(PvGuest) twin = NULL;

  if (named != NULL)
    return check_same (self, named, error);
  if (!absent (local, error))
    return FALSE;
  if (pv_domain_xml_uuid (self->live) == NULL)
    return TRUE;
  local = NULL;
  twin = pv_guest_lookup_uuid (self->connection, pv_domain_xml_uuid (self->live), &local);
  if (twin != NULL)
    return pv_throw (error, PV_ERROR_EXISTS,
                     "the guest is there under the name '%s': undefine that one, or restore with --name and get a new "
                     "UUID",
                     pv_guest_name (twin));
  return absent (local, error);
}

/* Another name is another guest: it gets a UUID of its own. */
static void
name_domain (Restore *self)
{
  g_autofree char *uuid = NULL;

  self->domain = self->options->name != NULL ? self->options->name : pv_snapshot_domain (self->snapshot);
  if (g_strcmp0 (self->domain, pv_domain_xml_name (self->live)) == 0)
    return;
  uuid = g_uuid_string_random ();
  for (guint i = 0; i < 2; i++)
    {
      PvDomainXml *xml = i == 0 ? self->live : self->inactive;

      if (xml == NULL)
        continue;
      pv_domain_xml_set_name (xml, self->domain);
      pv_domain_xml_set_uuid (xml, uuid);
    }
}

/* --- disks ------------------------------------------------------------------------------------------------------- */

/* A disk that was plugged in later than the definition was made is not in it: @xml may lack it. */
static gboolean
replace_in (PvDomainXml *xml, const char *target, const char *path, const char *backing, GError **error)
{
  if (xml == NULL || pv_domain_xml_find_disk (xml, target) == NULL)
    return TRUE;
  return pv_domain_xml_set_disk (xml, target, path, "qcow2", error)
         && (backing == NULL || pv_domain_xml_set_backing (xml, target, backing, error));
}

/* @backing: (out) (transfer full): the served image of the disk, when the new one is to be an overlay over it. */
static gboolean
find_backing (Restore *self, const char *target, char **backing, GError **error)
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
restore_disk (Restore *self, const char *target, const char *original, gboolean readonly, GError **error)
{
  const PvVolume *volume = pv_snapshot_find_volume (self->snapshot, PV_VOLUME_DISK, target);
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
  if (!find_backing (self, target, &backing, error))
    return FALSE;
  content = (PvFileContent) { self->store, volume, "qcow2", backing };
  path = pv_restore_files_add (self->files, &content, suffix, original, &self->transfer, error);
  return path != NULL && replace_in (self->live, target, path, backing, error)
         && replace_in (self->inactive, target, path, backing, error);
}

static gboolean
restore_disks (Restore *self, GError **error)
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
restore_nvram (Restore *self, GError **error)
{
  const PvVolume *volume = pv_snapshot_find_volume (self->snapshot, PV_VOLUME_BLOB, PV_BLOB_NVRAM);
  PvFileContent content;
  const char *path;

  if (volume == NULL)
    return TRUE;
  content = (PvFileContent) { self->store, volume, "raw", NULL };
  path = pv_restore_files_add (self->files, &content, "nvram.fd", pv_domain_xml_nvram (self->live), &self->transfer,
                               error);
  return path != NULL && pv_domain_xml_set_nvram (self->live, path, error)
         && (self->inactive == NULL || pv_domain_xml_set_nvram (self->inactive, path, error));
}

/* --- memory ------------------------------------------------------------------------------------------------------ */

/* (transfer full): path of the image below @scratch. */
static char *
write_image (Restore *self, PvStoreScratch *scratch, GError **error)
{
  g_autofree char *xml = pv_domain_xml_to_string (self->live);
  g_autofree char *path = g_build_filename (pv_store_scratch_path (scratch), "memory.save", NULL);
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT | O_EXCL, 0600, error);

  if (fd < 0)
    return NULL;
  self->transfer.phase = "writing memory";
  if (!pv_memory_image_write (self->store, self->snapshot, xml, fd, "memory image", &self->transfer, error))
    {
      if (error != NULL && g_error_matches (*error, PV_ERROR, PV_ERROR_NO_SPACE))
        g_prefix_error (error, "the memory has to fit into '%s' once more while it is loaded: ",
                        pv_store_directory (self->store));
      return NULL;
    }
  return g_steal_pointer (&path);
}

static gboolean
start_guest (Restore *self, GError **error)
{
  gboolean paused = self->options->paused || pv_snapshot_state (self->snapshot) != PV_GUEST_RUNNING;
  g_autoptr(PvStoreScratch) scratch = pv_store_scratch_new (self->store, error);
  g_autofree char *image = scratch != NULL ? write_image (self, scratch, error) : NULL;

  if (image == NULL || !pv_transfer_go_on (&self->transfer, error)
      || !pv_host_restore (self->connection, image, paused, error))
    return FALSE;
  self->started = TRUE;
  return TRUE;
}

static gboolean
define_guest (Restore *self, GError **error)
{
  g_autofree char *xml = pv_domain_xml_to_string (self->inactive);
  g_autoptr(PvGuest) guest = pv_host_define (self->connection, xml, error);

  return guest != NULL;
}

/* Never touches the error that led here. */
static void
undo (Restore *self)
{
  g_autoptr(PvGuest) guest = NULL;

  if (self->started)
    {
      guest = pv_guest_lookup (self->connection, self->domain, NULL);
      if (guest != NULL)
        pv_host_destroy (guest, NULL);
    }
  g_clear_pointer (&self->files, pv_restore_files_free);
}

static gboolean
run (Restore *self, gint64 start, PvRestoreResult *result, GError **error)
{
  g_autofree char *stem = NULL;

  if (!read_descriptions (self, error))
    return FALSE;
  name_domain (self);
  if (!check_domain (self, error))
    return FALSE;
  pv_domain_xml_strip_runtime (self->live);
  if (self->inactive != NULL)
    pv_domain_xml_strip_runtime (self->inactive);
  stem = self->options->name != NULL
           ? g_strdup (self->domain)
           : g_strconcat (self->domain, "-", pv_snapshot_name (self->snapshot), NULL);
  self->files = pv_restore_files_new (stem, self->options->disks_dir);
  if (!restore_disks (self, error) || !restore_nvram (self, error))
    return FALSE;
  if (self->has_memory && !start_guest (self, error))
    return FALSE;
  result->running_ms = (double) (g_get_monotonic_time () - start) / 1000;
  return self->inactive == NULL || define_guest (self, error);
}

gboolean
pv_restore_run (PvStore *store, PvConnection *connection, PvSnapshot *snapshot, const PvRestoreOptions *options,
                PvRestoreResult *result, PvRestoreProgressFunc progress, gpointer data, GCancellable *cancellable,
                GError **error)
{
  g_auto(Restore) self = {
    .store = store,
    .connection = connection,
    .snapshot = snapshot,
    .options = options,
    .transfer = { "reading", progress, data, cancellable },
  };
  gint64 start = g_get_monotonic_time ();

  if (!run (&self, start, result, error))
    {
      undo (&self);
      return FALSE;
    }
  pv_restore_files_keep (self.files);
  result->domain = g_strdup (self.domain);
  result->total_ms = (double) (g_get_monotonic_time () - start) / 1000;
  return TRUE;
}
