/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/restore-common.h"

#include <stdio.h>

#include "capture/capture-job.h"
#include "cli/mount-process.h"
#include "cli/progress.h"
#include "util/error.h"
#include "util/snapshot-name.h"

void
pv_restore_ground_clear (PvRestoreGround *self)
{
  g_clear_pointer (&self->snapshot, pv_snapshot_unref);
  g_clear_pointer (&self->store, pv_store_unref);
  g_clear_pointer (&self->connection, pv_connection_unref);
  g_clear_pointer (&self->pool_dir, g_free);
}

static gboolean
mend_restores (PvRestoreGround *self, GError **error)
{
  g_autoptr(GPtrArray) mended = NULL;
  gboolean ok = pv_restore_recover (self->store, self->connection, &mended, error);

  for (guint i = 0; mended != NULL && i < mended->len; i++)
    fprintf (stderr, "pagevault: mended after a restore that was killed: %s\n", (const char *) mended->pdata[i]);
  return ok;
}

/* A capture that was killed may have left something of a domain of the name. */
static gboolean
mend_capture (PvRestoreGround *self, const char *domain, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvGuest) guest = pv_guest_lookup (self->connection, domain, &local);
  g_autofree char *mended = NULL;

  if (guest == NULL && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  if (guest == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (!pv_capture_recover (self->store, guest, &mended, error))
    return FALSE;
  if (mended != NULL)
    fprintf (stderr, "pagevault: %s: mended after a capture that was killed: %s\n", domain, mended);
  return TRUE;
}

gboolean
pv_restore_ground_open (PvRestoreGround *self, PvCli *cli, const char *snapshot, const char *domain, GError **error)
{
  self->store = pv_cli_open_store (cli, 0, error);
  self->connection = self->store != NULL ? pv_cli_open_connection (cli, error) : NULL;
  if (self->connection == NULL || !mend_restores (self, error) || !mend_capture (self, domain, error))
    return FALSE;
  self->snapshot = pv_cli_lookup (cli, self->store, snapshot, error);
  return self->snapshot != NULL;
}

gboolean
pv_restore_parse_disks (const char *how, PvRestoreDisks *disks, GError **error)
{
  g_autofree char *shown = NULL;

  if (how == NULL)
    return TRUE;
  *disks = g_str_equal (how, "overlay") ? PV_RESTORE_DISKS_OVERLAY : PV_RESTORE_DISKS_COPY;
  if (g_str_equal (how, "overlay") || g_str_equal (how, "copy"))
    return TRUE;
  shown = pv_escape_for_message (how);
  return pv_throw (error, PV_ERROR_INVALID, "--disks is copy or overlay, not '%s'", shown);
}

gboolean
pv_restore_ground_run (PvRestoreGround *self, PvCli *cli, PvRestoreOptions *options, PvRestoreResult *result,
                       GError **error)
{
  g_autoptr(PvProgress) progress = NULL;

  if (options->disks == PV_RESTORE_DISKS_OVERLAY && self->pool_dir == NULL)
    {
      self->pool_dir = pv_mount_process_directory (cli);
      if (!pv_mount_process_start (cli, self->pool_dir, error))
        return FALSE;
    }
  options->pool_dir = self->pool_dir;
  progress = pv_progress_new ();
  return pv_restore_run (self->store, self->connection, self->snapshot, options, result, pv_progress_update, progress,
                         cli->cancellable, error);
}

void
pv_restore_add_json (JsonBuilder *builder, const PvRestoreResult *result)
{
  pv_json_string (builder, "domain", result->domain);
  pv_json_boolean (builder, "lazy", result->lazy);
  pv_json_number (builder, "running_ms", result->running_ms);
  pv_json_number (builder, "total_ms", result->total_ms);
  pv_json_size (builder, "pages_on_demand", result->pages_on_demand);
}

void
pv_restore_print (PvSnapshot *snapshot, const PvRestoreResult *result)
{
  g_autofree char *running = NULL;

  if (pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM) == 0)
    {
      printf ("%s is back, shut off\n", result->domain);
      return;
    }
  running = pv_output_duration (result->running_ms);
  printf ("%s is back after %s\n", result->domain, running);
  if (result->why_eager != NULL)
    printf ("all memory was loaded first: %s\n", result->why_eager);
  if (result->frozen != NULL)
    g_printerr ("pagevault: %s: %s\n", result->domain, result->frozen);
}
