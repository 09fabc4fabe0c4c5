/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Turning overlays over the store into files of their own, behind the running guest. */
#include "config.h"

#include "restore/restore-job.h"
#include "restore/transfer.h"
#include "util/error.h"
#include "virt/guest-pull.h"

enum
{
  POLL_US = 100 * 1000,
  SETTLE_TRIES = 50, /* polls within which libvirt takes notice of a job that ended */
};

static gboolean
check_done (PvGuest *guest, const char *target, GError **error)
{
  gboolean done = FALSE;

  for (guint i = 0; i < SETTLE_TRIES; i++)
    {
      if (!pv_guest_pull_is_done (guest, target, &done, error))
        return FALSE;
      if (done)
        return TRUE;
      g_usleep (POLL_US);
    }
  return pv_throw (error, PV_ERROR_FAILED, "disk %s: copying ended early; see the guest's log for the reason", target);
}

static gboolean
pull (PvGuest *guest, const char *target, const PvTransfer *transfer, GError **error)
{
  guint64 done = 0, total = 1;

  if (!pv_transfer_go_on (transfer, error) || !pv_guest_pull_start (guest, target, error))
    return FALSE;
  while (total > 0)
    {
      if (!pv_transfer_go_on (transfer, error)
          || !pv_guest_pull_progress (guest, target, &done, &total, error))
        return FALSE;
      if (total == 0)
        break;
      pv_transfer_report (transfer, done, total);
      g_usleep (POLL_US);
    }
  return check_done (guest, target, error);
}

/* One after another: QEMU 7.2 crashes when two such jobs of a guest come to their ends together. */
gboolean
pv_restore_hydrate (PvConnection *connection, PvSnapshot *snapshot, const char *uuid, PvRestoreProgressFunc progress,
                    gpointer data, GCancellable *cancellable, GError **error)
{
  const PvTransfer transfer = { "copying disks", progress, data, cancellable };
  g_autoptr(PvGuest) guest = pv_guest_lookup_uuid (connection, uuid, error);
  gboolean ok = guest != NULL;

  for (guint i = 0; ok && i < pv_snapshot_n_volumes (snapshot); i++)
    {
      const PvVolume *volume = pv_snapshot_volume (snapshot, i);

      ok = volume->kind != PV_VOLUME_DISK || pull (guest, volume->name, &transfer, error);
    }
  if (!ok)
    g_prefix_error (error, "the guest is back, but its disks are not all its own ('virsh blockpull' goes on): ");
  return ok;
}
