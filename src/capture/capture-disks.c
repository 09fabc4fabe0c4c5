/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading the disks of a capture into its transaction: frozen layers of a guest that runs, or the images of one that is
 * off. What lies in layers that the snapshot before has read already, and that are unchanged, is taken from that one.
 */
#include "config.h"

#include "capture/capture-job-private.h"
#include "capture/capture-record.h"
#include "capture/disk-source.h"
#include "util/error.h"

enum
{
  SETTLE_US = 2 * 1000 * 1000,
  SETTLE_STEP_US = 50 * 1000,
};

static void
on_progress (guint64 done, guint64 total, gpointer data)
{
  PvCaptureJob *self = data;

  self->disk_done = self->disk_bytes + done;
  pv_capture_job_progress (self);
}

/* How many of the uppermost layers must be read; 0: all. @now: (nullable). */
static guint
new_layers (PvCaptureJob *self, const PvDiskPlanEntry *entry, const PvLayers *now)
{
  const PvVolume *volume
      = self->base != NULL ? pv_snapshot_find_volume (self->base, PV_VOLUME_DISK, entry->target) : NULL;
  g_autoptr(PvLayers) before = NULL;

  /* one that was resized may end elsewhere than its layers */
  if (now == NULL || volume == NULL || volume->size != entry->size)
    return 0;
  before = pv_capture_record_layers (self->base, entry->target);
  return pv_layers_above (now, before);
}

static gboolean
copy (PvCaptureJob *self, PvDiskPlanEntry *entry, PvDiskSource *source, const PvLayers *layers, GError **error)
{
  PvVolumeWriter *writer = pv_txn_add_volume (self->txn, PV_VOLUME_DISK, entry->target, entry->size, error);
  guint n = new_layers (self, entry, layers);

  if (n > 0)
    g_debug ("disk %s: only the upper %u layers are read", entry->target, n);
  return writer != NULL
         && pv_disk_source_copy (source, writer, n, on_progress, self, self->capture.cancellable, error)
         && pv_volume_writer_finish (writer, error);
}

/* A chain that is kept is worth a moment's wait, so that the next capture may know it. */
static gboolean
look (PvCaptureJob *self, const PvDiskPlanEntry *entry, PvLayers **layers, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + SETTLE_US;
  g_autoptr(GError) local = NULL;

  for (;;)
    {
      g_clear_pointer (layers, pv_layers_free);
      *layers = pv_layers_look (entry->path, entry->format, &local);
      if (local != NULL)
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      if (!self->options.keep_overlay || *layers == NULL || pv_layers_settled (*layers)
          || g_get_monotonic_time () > deadline)
        return TRUE;
      g_usleep (SETTLE_STEP_US);
    }
}

static gboolean
take_disk (PvCaptureJob *self, PvDiskPlanEntry *entry, GError **error)
{
  g_autoptr(PvDiskSource) source = NULL;
  g_autoptr(PvLayers) before = NULL;
  g_autoptr(PvLayers) after = NULL;

  if (!pv_capture_step (&self->capture, "capture.disk", error) || !look (self, entry, &before, error))
    return FALSE;
  source = pv_disk_source_open (entry->path, entry->format, self->run_directory, error);
  if (source == NULL)
    return FALSE;
  entry->size = pv_disk_source_size (source);
  if (!copy (self, entry, source, before, error) || !look (self, entry, &after, error))
    return FALSE;
  if (pv_layers_equal (before, after) && pv_layers_settled (before))
    entry->layers = g_steal_pointer (&after);
  self->disk_bytes += entry->size;
  return TRUE;
}

gboolean
pv_capture_job_take_disks (PvCaptureJob *self, GError **error)
{
  for (guint i = 0; i < self->plan->entries->len; i++)
    {
      PvDiskPlanEntry *entry = self->plan->entries->pdata[i];

      if (entry->taken && !take_disk (self, entry, error))
        {
          g_prefix_error (error, "disk %s: ", entry->target);
          return FALSE;
        }
    }
  return TRUE;
}
