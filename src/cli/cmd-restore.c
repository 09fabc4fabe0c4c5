/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "capture/capture-job.h"
#include "cli/mount-process.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "restore/restore-job.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static char *opt_name, *opt_disks, *opt_disks_dir;
static gboolean opt_paused, opt_eager;

static const GOptionEntry options[] = {
  { "name", 0, 0, G_OPTION_ARG_STRING, &opt_name, "Give the guest another name, and a new UUID", "NEW" },
  { "paused", 0, 0, G_OPTION_ARG_NONE, &opt_paused, "Leave the guest paused", NULL },
  { "eager", 0, 0, G_OPTION_ARG_NONE, &opt_eager, "Load all memory before the guest runs", NULL },
  { "disks", 0, 0, G_OPTION_ARG_STRING, &opt_disks,
    "copy: full copies; overlay: overlays over images that the store serves (copy)", "HOW" },
  { "disks-dir", 0, 0, G_OPTION_ARG_FILENAME, &opt_disks_dir, "Where the new disks go (beside the original ones)",
    "DIR" },
  G_OPTION_ENTRY_NULL
};

static void
print_result (PvCli *cli, PvSnapshot *snapshot, const PvRestoreResult *result)
{
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "domain", result->domain);
      pv_json_boolean (builder, "lazy", result->lazy);
      pv_json_number (builder, "running_ms", result->running_ms);
      pv_json_number (builder, "total_ms", result->total_ms);
      pv_json_size (builder, "pages_on_demand", result->pages_on_demand);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else if (pv_snapshot_volumes_size (snapshot, PV_VOLUME_RAM) == 0)
    printf ("%s is back, shut off\n", result->domain);
  else
    {
      g_autofree char *running = pv_output_duration (result->running_ms);

      printf ("%s is back after %s\n", result->domain, running);
    }
}

static gboolean
read_options (PvRestoreOptions *restore, GError **error)
{
  restore->name = opt_name;
  restore->paused = opt_paused;
  restore->disks = g_strcmp0 (opt_disks, "overlay") == 0 ? PV_RESTORE_DISKS_OVERLAY : PV_RESTORE_DISKS_COPY;
  if (opt_name != NULL && !pv_domain_name_check (opt_name, error))
    return FALSE;
  if (opt_disks != NULL && !g_str_equal (opt_disks, "overlay") && !g_str_equal (opt_disks, "copy"))
    {
      g_autofree char *shown = pv_escape_for_message (opt_disks);

      return pv_throw (error, PV_ERROR_INVALID, "--disks is copy or overlay, not '%s'", shown);
    }
  return TRUE;
}

/* A capture that was killed may have left something of a domain of the name. */
static gboolean
mend (PvStore *store, PvConnection *connection, const char *domain, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvGuest) guest = pv_guest_lookup (connection, domain, &local);
  g_autofree char *mended = NULL;

  if (guest == NULL && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  if (guest == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (!pv_capture_recover (store, guest, &mended, error))
    return FALSE;
  if (mended != NULL)
    fprintf (stderr, "pagevault: %s: mended after a capture that was killed: %s\n", domain, mended);
  return TRUE;
}

static PvExit
run_restore (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvConnection) connection = NULL;
  g_autoptr(PvProgress) progress = NULL;
  g_autofree char *disks_dir = NULL;
  g_autofree char *pool_dir = NULL;
  PvRestoreOptions restore = { 0 };
  PvRestoreResult result = { 0 };
  gboolean done;

  if (!pv_cli_check_snapshot (cli, args[0], error) || !read_options (&restore, error))
    return PV_EXIT_USAGE;
  if (opt_disks_dir != NULL)
    restore.disks_dir = disks_dir = g_canonicalize_filename (opt_disks_dir, NULL);
  store = pv_cli_open_store (cli, 0, error);
  snapshot = store != NULL ? pv_cli_lookup (cli, store, args[0], error) : NULL;
  connection = snapshot != NULL ? pv_cli_open_connection (cli, error) : NULL;
  if (connection == NULL
      || !mend (store, connection, opt_name != NULL ? opt_name : pv_snapshot_domain (snapshot), error))
    return PV_EXIT_FAILED;
  if (restore.disks == PV_RESTORE_DISKS_OVERLAY)
    {
      restore.pool_dir = pool_dir = pv_mount_process_directory (cli);
      if (!pv_mount_process_start (cli, pool_dir, error))
        return PV_EXIT_FAILED;
    }
  progress = pv_progress_new ();
  done = pv_restore_run (store, connection, snapshot, &restore, &result, pv_progress_update, progress,
                         cli->cancellable, error);
  g_clear_pointer (&progress, pv_progress_free);
  if (done)
    print_result (cli, snapshot, &result);
  pv_restore_result_clear (&result);
  return done ? PV_EXIT_OK : PV_EXIT_FAILED;
}

const PvCommand pv_command_restore = {
  .name = "restore",
  .arguments = "DOMAIN@NAME",
  .summary = "Bring a guest back",
  .details = "The guest goes on from the snapshot's instant: memory, devices and disks. Its disks are new\n"
             "qcow2 files; no existing file is touched. A running domain of that name is refused: shut it\n"
             "off, or give the new one another name with --name. If the guest was defined persistently, so\n"
             "is the restored one, with the new disks in its definition.\n"
             "\n"
             "With --disks overlay the disks are small qcow2 files over images that 'pagevault mount' serves\n"
             "from the store, which is mounted if it is not. Such a guest needs the mount, and its snapshot,\n"
             "for as long as it has these disks.\n"
             "\n"
             "A snapshot of disks only (of a shut-off domain, or --disk-only) gives a domain that is shut\n"
             "off.\n"
             "\n"
             "Examples:\n"
             "  pagevault restore web1@before-upgrade\n"
             "  pagevault restore web1@before-upgrade --name web1-debug --paused --disks-dir /srv/scratch\n"
             "\n"
             "Keys of --json: domain, lazy, running_ms, total_ms, pages_on_demand.",
  .min_args = 1,
  .max_args = 1,
  .options = options,
  .run = run_restore,
};
