/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "capture/capture-job.h"
#include "cli/create-options.h"
#include "cli/lazy.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "cli/remote-argument.h"
#include "restore/export.h"
#include "store/push.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"

/* --- what came of it --------------------------------------------------------------------------------------------- */

/* @pushed: (nullable): what pushing it took. */
static void
print_json (const PvCaptureResult *result, const PvPushResult *pushed)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  const char *full = pv_snapshot_full_name (result->snapshot);

  json_builder_begin_object (builder);
  pv_json_string (builder, "snapshot", full);
  pv_json_string (builder, "engine", result->engine);
  pv_json_number (builder, "pause_ms", result->pause_ms);
  pv_json_number (builder, "total_ms", result->total_ms);
  pv_json_size (builder, "ram_bytes", result->ram_bytes);
  pv_json_size (builder, "disk_bytes", result->disk_bytes);
  pv_json_size (builder, "zero_bytes", result->stats.zero_bytes);
  pv_json_size (builder, "known_bytes", result->stats.known_bytes);
  pv_json_size (builder, "new_bytes", result->stats.new_bytes);
  pv_json_size (builder, "stored_bytes", result->stats.stored_bytes);
  pv_json_size (builder, "overrun_bytes", result->overrun_bytes);
  if (pv_create_push != NULL && pushed != NULL)
    pv_json_size (builder, "pushed_bytes", pushed->sent_bytes);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_text (const PvCaptureResult *result)
{
  g_autoptr(PvTable) table = pv_table_new_pairs ();
  const char *full = pv_snapshot_full_name (result->snapshot);
  g_autofree char *pause = pv_output_duration (result->pause_ms);
  g_autofree char *total = pv_output_duration (result->total_ms);
  g_autofree char *ram = pv_bytesize_format (result->ram_bytes);
  g_autofree char *disks = pv_bytesize_format (result->disk_bytes);

  pv_table_row (table, "snapshot", full, NULL);
  pv_table_row (table, "engine", result->engine, NULL);
  for (guint i = 0; result->passed_over != NULL && i < result->passed_over->len; i++)
    pv_table_row (table, "not taken", g_ptr_array_index (result->passed_over, i), NULL);
  pv_table_row (table, "guest paused", pause, NULL);
  pv_table_row (table, "took", total, NULL);
  pv_table_row (table, "memory", ram, NULL);
  pv_table_row (table, "disks", disks, NULL);
  pv_cli_add_stats (table, &result->stats);
  if (result->overrun_bytes > 0)
    {
      g_autofree char *overrun = pv_bytesize_format (result->overrun_bytes);

      pv_table_row (table, "spilled", overrun, NULL);
    }
  pv_table_print (table);
}

static void
print_warnings (const char *subject, const PvCaptureResult *result)
{
  for (guint i = 0; result->warnings != NULL && i < result->warnings->len; i++)
    fprintf (stderr, "pagevault: create %s: warning: %s\n", subject, (const char *) result->warnings->pdata[i]);
}

/* What the terminal shows while the job is in a state that takes long. */
typedef struct
{
  PvProgress *progress; /* (not owned) */
  const char *phase;
} Shown;

static void
on_state (PvCaptureJob *job, guint state, gpointer data)
{
  Shown *shown = data;

  shown->phase = state == PV_CAPTURE_MERGING ? "merging overlays" : "taking in";
}

static void
on_progress (PvCaptureJob *job, guint64 done, guint64 total, gpointer data)
{
  Shown *shown = data;

  pv_progress_update (shown->phase, done, total, shown->progress);
}

static gboolean
save_memory (PvStore *store, PvSnapshot *snapshot, const char *file, GCancellable *cancellable, gpointer data,
             GError **error)
{
  return pv_export_memory_file (store, snapshot, file, pv_progress_update, data, cancellable, error);
}

static gboolean
run_job (PvCli *cli, PvStore *store, PvGuest *guest, PvCaptureOptions *capture_options, PvCaptureResult *result,
         GError **error)
{
  g_autoptr(PvProgress) progress = pv_progress_new ();
  g_autoptr(PvCaptureJob) job = NULL;
  Shown shown = { .progress = progress, .phase = "taking in" };

  capture_options->save_memory = save_memory;
  capture_options->save_memory_data = progress;
  job = pv_capture_job_new (store, guest, capture_options);
  g_signal_connect (job, "state-changed", G_CALLBACK (on_state), &shown);
  g_signal_connect (job, "progress", G_CALLBACK (on_progress), &shown);
  return pv_capture_job_run (job, result, cli->cancellable, error);
}

static gboolean
capture (PvCli *cli, const char *domain, PvCaptureOptions *capture_options, PvCaptureResult *result, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvConnection) connection = NULL;
  g_autoptr(PvGuest) guest = NULL;
  g_autofree char *mended = NULL;

  connection = pv_cli_open_connection (cli, error);
  if (connection == NULL)
    return FALSE;
  guest = pv_guest_lookup (connection, domain, error);
  if (guest == NULL)
    return FALSE;
  store = pv_cli_open_store (cli, PV_STORE_OPEN_CREATE, error);
  if (store == NULL || !pv_lazy_finish (cli, store, pv_guest_uuid (guest), TRUE, error)
      || !pv_capture_recover (store, guest, &mended, error))
    return FALSE;
  if (mended != NULL)
    fprintf (stderr, "pagevault: %s: mended after a capture that was killed: %s\n", domain, mended);
  return run_job (cli, store, guest, capture_options, result, error);
}

/* The snapshot is there whatever comes of this. */
static gboolean
push (PvCli *cli, PvSnapshot *snapshot, PvPushResult *pushed, GError **error)
{
  g_autoptr(PvStore) store = pv_cli_open_store (cli, 0, error);
  g_autoptr(PvMirror) mirror = store != NULL ? pv_remote_argument_open (store, pv_create_push, NULL, error) : NULL;
  g_autoptr(PvStorePin) pin = mirror != NULL ? pv_store_pin (store, snapshot, error) : NULL;
  g_autoptr(PvProgress) progress = pv_progress_new ();

  if (pin != NULL
      && pv_store_push (store, mirror, snapshot, pushed, pv_progress_update, progress, cli->cancellable, error))
    return TRUE;
  g_prefix_error (error, "the snapshot is in the store, but was not pushed ('pagevault push' tries again): ");
  return FALSE;
}

static PvExit
run_create (PvCli *cli, char **args, GError **error)
{
  g_autofree char *domain = NULL;
  g_autofree char *subject = NULL;
  PvCaptureOptions capture_options;
  PvCaptureResult result = { 0 };
  PvPushResult pushed = { 0 };
  PvExit exit_status = PV_EXIT_USAGE;

  pv_capture_options_init (&capture_options);
  if (pv_create_options_names (args, &domain, &capture_options.name, error)
      && pv_create_options_read (&capture_options, error)
      && (pv_create_push == NULL || pv_remote_argument_check (pv_create_push, error)))
    {
      if (capture_options.name == NULL)
        capture_options.name = pv_snapshot_name_now ();
      subject = g_strconcat (domain, "@", capture_options.name, NULL);
      pv_cli_set_subject (cli, subject);
      exit_status = capture (cli, domain, &capture_options, &result, error) ? PV_EXIT_OK : PV_EXIT_FAILED;
    }
  if (exit_status == PV_EXIT_OK)
    {
      print_warnings (subject, &result);
      if (pv_create_push != NULL && !push (cli, result.snapshot, &pushed, error))
        exit_status = PV_EXIT_FAILED;
      if (cli->json)
        print_json (&result, exit_status == PV_EXIT_OK ? &pushed : NULL);
      else
        print_text (&result);
    }
  pv_capture_result_clear (&result);
  pv_capture_options_clear (&capture_options);
  return exit_status;
}

const PvCommand pv_command_create = {
  .name = "create",
  .arguments = "DOMAIN [NAME]",
  .summary = "Take a live checkpoint of a guest",
  .details = "Memory, device state and disks are taken at one instant. The guest pauses for that instant\n"
             "only; its memory streams out while it runs. Without NAME the snapshot is called after the\n"
             "time. A shut-off domain gets its disks taken.\n"
             "\n"
             "Engines: 'qemu' copies memory as it was at the instant, page by page (QEMU's background\n"
             "snapshot); 'live' copies until little changes any more, the instant is the end; 'paused'\n"
             "stops the guest for as long as the copying takes. 'auto' takes the first that works here and\n"
             "tells why it passed over the others; so does a list like 'direct,qemu'. 'direct' reads QEMU's\n"
             "memory without QEMU, until little of it changes; the instant is the end.\n"
             "\n"
             "A guest whose memory is still coming from the store (restore) gets the rest of it first.\n"
             "\n"
             "With --push it goes to a remote, too; how that is reached is said by 'pagevault attach' or the\n"
             "environment (see 'push').\n"
             "\n"
             "However the command ends, also by SIGKILL, the guest goes on as before on its own disks.\n"
             "\n"
             "Examples:\n"
             "  pagevault create web1\n"
             "  pagevault create web1 before-upgrade --description 'kernel 6.1'\n"
             "  pagevault create db1 nightly --quiesce --diskspec vdb,snapshot=no\n"
             "  pagevault create db1 --buffer 1GiB --on-overrun fail\n"
             "  pagevault create web1 --push file:///mnt/backup\n"
             "\n"
             "Keys of --json: snapshot, engine, pause_ms, total_ms, ram_bytes, disk_bytes, zero_bytes,\n"
             "known_bytes, new_bytes, stored_bytes, overrun_bytes; with --push pushed_bytes.",
  .min_args = 1,
  .max_args = 2,
  .options = pv_create_entries,
  .run = run_create,
};
