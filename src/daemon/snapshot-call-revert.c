/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* virDomainRevertToSnapshot() to a snapshot that the store has, done by a lazy restore. */
#include "config.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "capture/capture-record.h"
#include "capture/layers.h"
#include "daemon/snapshot-calls-private.h"
#include "restore/restore-job.h"
#include "util/error.h"
#include "virt/attachments.h"
#include "xml/snapshot-xml.h"

/* (transfer full): target -> PvRestoreBase: disks of @stored whose frozen layers lie there as they were, nothing in
 * them or below them written since. */
static GHashTable *
find_bases (PvSnapshot *stored)
{
  GHashTable *bases = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) pv_restore_base_free);
  GBytes *bytes = pv_snapshot_attachment (stored, PV_ATTACH_DOMAIN_XML);
  g_autofree char *text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  g_autoptr(PvDomainXml) domain = pv_domain_xml_parse (text, NULL);
  GPtrArray *disks = domain != NULL ? pv_domain_xml_disks (domain) : NULL;

  for (guint i = 0; disks != NULL && i < disks->len; i++)
    {
      const PvDomainDisk *disk = disks->pdata[i];
      g_autoptr(PvLayers) then = disk->kind == PV_DISK_FILE ? pv_capture_record_layers (stored, disk->target) : NULL;
      g_autoptr(PvLayers) now = then != NULL ? pv_layers_look (disk->path, disk->format, NULL) : NULL;

      if (pv_layers_unwritten (now, then))
        g_hash_table_insert (bases, g_strdup (disk->target), pv_restore_base_new (disk->path, disk->format));
    }
  return bases;
}

/* (transfer full): what the guest has as its disks now. Strings belong to @domain. */
static PvOverlay *
list_overlays (PvDomainXml *domain, guint *n)
{
  GPtrArray *disks = pv_domain_xml_disks (domain);
  PvOverlay *overlays = g_new0 (PvOverlay, disks->len + 1);

  for (*n = 0; *n < disks->len; (*n)++)
    {
      const PvDomainDisk *disk = disks->pdata[*n];

      overlays[*n] = (PvOverlay) { .target = disk->target, .overlay = disk->path };
    }
  return overlays;
}

/* (transfer full): libvirt's description of the snapshot, to be registered anew. When the guest's new disks lie where
 * those lay that it names, it names the new ones: so libvirt can delete it. Not when other snapshots come after it,
 * whose disks lie over those that it names. */
static char *
describe (PvSnapshotJob *job, virDomainSnapshot *libvirt, gboolean chained, GError **error)
{
  char *xml = virDomainSnapshotGetXMLDesc (libvirt, VIR_DOMAIN_SNAPSHOT_XML_SECURE);
  g_autofree char *copy = g_strdup (xml);
  g_autofree char *text = NULL;
  g_autoptr(PvDomainXml) domain = NULL;
  g_autofree PvOverlay *overlays = NULL;
  guint n = 0;

  free (xml);
  if (copy == NULL)
    pv_throw_libvirt (error, "its description");
  if (copy == NULL || !chained || virDomainSnapshotNumChildren (libvirt, 0) != 0)
    return g_steal_pointer (&copy);
  text = pv_guest_xml (job->guest, 0, error);
  domain = text != NULL ? pv_domain_xml_parse (text, error) : NULL;
  if (domain == NULL)
    return NULL;
  overlays = list_overlays (domain, &n);
  return pv_snapshot_xml_replace_overlays (copy, overlays, n, error);
}

/* It is libvirt's current snapshot from now on. */
static void
make_current (PvSnapshotJob *job, const char *name, gboolean chained)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(virDomainSnapshot) libvirt = virDomainSnapshotLookupByName (pv_guest_get (job->guest), name, 0);
  g_autofree char *xml = NULL;

  if (libvirt == NULL)
    pv_throw_libvirt (&error, "it is gone");
  else
    xml = describe (job, libvirt, chained, &error);
  if (xml != NULL)
    pv_guest_redefine_snapshot (job->guest, xml, TRUE, &error);
  if (error != NULL)
    g_warning ("guest %s: '%s' is not made libvirt's current snapshot: %s", job->call->domain.name, name,
               error->message);
}

static void
tell_reverted (PvSnapshot *stored, const PvRestoreResult *result)
{
  g_message ("the libvirt socket: guest %s is at %s again, running after %.0f ms%s%s", result->domain,
             pv_snapshot_full_name (stored), result->running_ms, result->why_eager != NULL ? "; not lazily: " : "",
             result->why_eager != NULL ? result->why_eager : "");
  for (guint i = 0; result->replaced != NULL && i < result->replaced->len; i++)
    g_message ("its former disk is still in %s", (char *) result->replaced->pdata[i]);
}

static guint
n_disks (PvSnapshot *stored)
{
  guint n = 0;

  for (guint i = 0; i < pv_snapshot_n_volumes (stored); i++)
    n += pv_snapshot_volume (stored, i)->kind == PV_VOLUME_DISK;
  return n;
}

static GByteArray *
run_revert (PvSnapshotJob *job, PvSnapshot *stored)
{
  PvSnapshotCalls *calls = job->calls;
  g_autoptr(GHashTable) bases = find_bases (stored);
  PvRestoreOptions options = {
    .replace = TRUE,
    .running = (job->call->flags & VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING) != 0,
    .paused = (job->call->flags & VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED) != 0,
    .disks = PV_RESTORE_DISKS_OVERLAY,
    .pool_dir = calls->pool_directory,
    .bases = bases,
    .disks_dir = calls->disks_directory,
  };
  PvRestoreResult result = { 0 };
  g_autoptr(GPtrArray) mended = NULL;
  g_autoptr(GError) error = NULL;
  gboolean ok = pv_snapshot_job_settle (job, &error)
                && pv_restore_recover (calls->store, job->connection, &mended, &error)
                && pv_restore_can (calls->store, job->connection, stored, &options, &error)
                && pv_restore_run (calls->store, job->connection, stored, &options, &result, NULL, NULL,
                                   calls->cancellable, &error);

  if (ok)
    {
      tell_reverted (stored, &result);
      make_current (job, job->call->snapshot,
                    g_hash_table_size (bases) == n_disks (stored));
    }
  pv_restore_result_clear (&result);
  return ok ? pv_rpc_reply_void (job->call) : pv_snapshot_job_refuse (job, "a revert", error);
}

GByteArray *
pv_snapshot_job_revert (PvSnapshotJob *job)
{
  g_autoptr(virDomainSnapshot) libvirt
      = virDomainSnapshotLookupByName (pv_guest_get (job->guest), job->call->snapshot, 0);
  g_autoptr(PvSnapshot) stored = libvirt != NULL ? pv_snapshot_job_find_stored (job, libvirt) : NULL;
  g_autofree char *nowhere = g_strdup_printf ("pagevault-asks-%08x%08x", g_random_int (), g_random_int ());
  guint32 both = VIR_DOMAIN_SNAPSHOT_REVERT_RUNNING | VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED;

  if (stored == NULL || (job->call->flags & both) == both
      || !pv_snapshot_job_may (job, nowhere, VIR_ERR_NO_DOMAIN_SNAPSHOT))
    return NULL;
  return run_revert (job, stored);
}
