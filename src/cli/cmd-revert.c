/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>
#include <unistd.h>

#include "capture/capture-job.h"
#include "cli/lazy.h"
#include "cli/progress.h"
#include "cli/replaced-disks.h"
#include "cli/restore-common.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static char *opt_disks, *opt_disks_dir;
static gboolean opt_force, opt_discard, opt_paused, opt_running;

static const GOptionEntry options[] = {
  { "force", 0, 0, G_OPTION_ARG_NONE, &opt_force, "Do not ask", NULL },
  { "discard", 0, 0, G_OPTION_ARG_NONE, &opt_discard,
    "Do not keep the state that is replaced, and remove its disk files", NULL },
  { "paused", 0, 0, G_OPTION_ARG_NONE, &opt_paused, "Leave the guest paused", NULL },
  { "running", 0, 0, G_OPTION_ARG_NONE, &opt_running, "Let it run, also when it was paused at the snapshot's instant",
    NULL },
  { "disks", 0, 0, G_OPTION_ARG_STRING, &opt_disks,
    "copy: full copies; overlay: overlays over images that the store serves (copy)", "HOW" },
  { "disks-dir", 0, 0, G_OPTION_ARG_FILENAME, &opt_disks_dir, "Where the new disks go (beside the original ones)",
    "DIR" },
  G_OPTION_ENTRY_NULL
};

/* --- asking ------------------------------------------------------------------------------------------------------ */

static gboolean
ask (PvCli *cli, const char *domain, GError **error)
{
  char answer[16] = "";

  if (opt_force)
    return TRUE;
  if (!isatty (STDIN_FILENO) || !isatty (STDERR_FILENO))
    return pv_throw (error, PV_ERROR_INVALID, "this replaces the state of '%s', and there is no terminal to ask on: "
                     "give --force", domain);
  fprintf (stderr, "Replace memory and disks of %s by those of %s%s? [y/N] ", domain, cli->subject,
           opt_discard ? ", and throw the present ones away" : "");
  fflush (stderr);
  if (fgets (answer, sizeof answer, stdin) != NULL && (*answer == 'y' || *answer == 'Y'))
    return TRUE;
  return pv_throw (error, PV_ERROR_CANCELLED, "left as it is");
}

/* --- keeping what is replaced ------------------------------------------------------------------------------------ */

static void
on_progress (PvCaptureJob *job, guint64 done, guint64 total, gpointer data)
{
  pv_progress_update ("keeping the present state", done, total, data);
}

/* (transfer full): DOMAIN@NAME of a new checkpoint of the guest as it is now. */
static char *
keep (PvCli *cli, PvStore *store, PvGuest *guest, GError **error)
{
  g_autoptr(PvProgress) progress = pv_progress_new ();
  g_autoptr(PvCaptureJob) job = NULL;
  g_autofree char *now = pv_snapshot_name_now ();
  PvCaptureOptions capture;
  PvCaptureResult result = { 0 };
  char *name = NULL;

  pv_capture_options_init (&capture);
  capture.name = g_strconcat ("before-revert-", now, NULL);
  job = pv_capture_job_new (store, guest, &capture);
  g_signal_connect (job, "progress", G_CALLBACK (on_progress), progress);
  if (pv_capture_job_run (job, &result, cli->cancellable, error))
    name = g_strdup (pv_snapshot_full_name (result.snapshot));
  else
    g_prefix_error (error, "the present state cannot be kept (--discard does without): ");
  pv_capture_result_clear (&result);
  pv_capture_options_clear (&capture);
  return name;
}

/* --- what came of it --------------------------------------------------------------------------------------------- */

static void
print_json (const PvRestoreResult *result, const char *checkpoint, GPtrArray *kept)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pv_restore_add_json (builder, result);
  if (checkpoint != NULL)
    pv_json_string (builder, "checkpoint", checkpoint);
  pv_json_strings (builder, "kept", kept);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_text (PvSnapshot *snapshot, const PvRestoreResult *result, const char *checkpoint, GPtrArray *kept)
{
  pv_restore_print (snapshot, result);
  if (checkpoint != NULL)
    printf ("its former state is %s\n", checkpoint);
  for (guint i = 0; i < kept->len; i++)
    printf ("its former disk is still in %s\n", (const char *) kept->pdata[i]);
}

static gboolean
revert (PvCli *cli, PvRestoreGround *ground, const char *domain, PvRestoreOptions *restore, GError **error)
{
  g_autoptr(PvGuest) guest = NULL;
  g_autofree char *checkpoint = NULL;
  g_autoptr(GPtrArray) kept = NULL;
  PvRestoreResult result = { 0 };
  gboolean done;

  guest = pv_guest_lookup (ground->connection, domain, error);
  if (guest == NULL)
    {
      if (error == NULL || g_error_matches (*error, PV_ERROR, PV_ERROR_NOT_FOUND))
        g_prefix_error (error, "there is nothing to revert, 'pagevault restore' makes the guest anew: ");
      return FALSE;
    }
  /* the pager that fills it, if there is one, must not meet the one that fills its successor */
  if (!pv_lazy_finish (cli, ground->store, pv_guest_uuid (guest), TRUE, error))
    return FALSE;
  if (!pv_restore_can (ground->store, ground->connection, ground->snapshot, restore, error))
    return FALSE;
  if (!opt_discard)
    restore->checkpoint = checkpoint = keep (cli, ground->store, guest, error);
  if (!opt_discard && checkpoint == NULL)
    return FALSE;
  done = pv_restore_ground_run (ground, cli, restore, &result, error);
  if (!done && checkpoint != NULL)
    g_prefix_error (error, "the state before is kept as %s: ", checkpoint);
  if (done)
    {
      kept = opt_discard ? pv_replaced_disks_remove (ground->connection, result.replaced)
                         : g_ptr_array_ref (result.replaced);
      if (cli->json)
        print_json (&result, checkpoint, kept);
      else
        print_text (ground->snapshot, &result, checkpoint, kept);
    }
  pv_restore_result_clear (&result);
  return done;
}

static PvExit
run_revert (PvCli *cli, char **args, GError **error)
{
  g_auto(PvRestoreGround) ground = { 0 };
  g_autofree char *full_name = g_strconcat (args[0], "@", args[1], NULL);
  g_autofree char *disks_dir = NULL;
  PvRestoreOptions restore = { .replace = TRUE, .paused = opt_paused, .running = opt_running };

  if (!pv_domain_name_check (args[0], error) || !pv_snapshot_name_check (args[1], error)
      || !pv_cli_check_snapshot (cli, full_name, error) || !pv_restore_parse_disks (opt_disks, &restore.disks, error))
    return PV_EXIT_USAGE;
  if (opt_paused && opt_running)
    {
      pv_throw (error, PV_ERROR_INVALID, "--paused and --running exclude each other");
      return PV_EXIT_USAGE;
    }
  if (opt_disks_dir != NULL)
    restore.disks_dir = disks_dir = g_canonicalize_filename (opt_disks_dir, NULL);
  if (!opt_force && !isatty (STDIN_FILENO))
    return ask (cli, args[0], error) ? PV_EXIT_OK : PV_EXIT_USAGE;
  if (!pv_restore_ground_open (&ground, cli, full_name, args[0], error) || !ask (cli, args[0], error)
      || !revert (cli, &ground, args[0], &restore, error))
    return PV_EXIT_FAILED;
  return PV_EXIT_OK;
}

const PvCommand pv_command_revert = {
  .name = "revert",
  .arguments = "DOMAIN NAME",
  .summary = "Put a guest back into the state of a snapshot",
  .details = "Memory, devices and disks of the domain, running or shut off, are replaced by those of its\n"
             "snapshot DOMAIN@NAME. Its present state is checkpointed first, as before-revert-TIME, unless\n"
             "--discard is given; the guest runs on meanwhile, and what it does after that instant is lost.\n"
             "\n"
             "The new disks are new files; those that the domain had are kept, and named at the end. All\n"
             "is made ready before the present guest ends. If the new one does not start then, the former\n"
             "is brought back from the checkpoint, or without one started again from its disks.\n"
             "\n"
             "Examples:\n"
             "  pagevault revert web1 before-upgrade\n"
             "  pagevault revert web1 before-upgrade --force --discard\n"
             "\n"
             "Keys of --json: domain, lazy, running_ms, total_ms, pages_on_demand, checkpoint (not with\n"
             "--discard), kept (an array of the former disk files).",
  .min_args = 2,
  .max_args = 2,
  .options = options,
  .run = run_revert,
};
