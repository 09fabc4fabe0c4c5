/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>
#include <string.h>

#include "capture/capture-job.h"
#include "cli/output.h"
#include "cli/progress.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"

#define XML_MAX (16u << 20) /* bytes */

static char *opt_engine, *opt_buffer, *opt_on_overrun, *opt_overlay_dir, *opt_xmlfile, *opt_description;
static char **opt_diskspec;
static gboolean opt_no_disks, opt_disk_only, opt_quiesce, opt_keep_overlay;

static const GOptionEntry options[] = {
  { "description", 0, 0, G_OPTION_ARG_STRING, &opt_description, "Words to keep with the snapshot", "TEXT" },
  { "engine", 0, 0, G_OPTION_ARG_STRING, &opt_engine, "auto, qemu, live or paused (auto)", "ENGINE" },
  { "buffer", 0, 0, G_OPTION_ARG_STRING, &opt_buffer, "Memory for what the store is behind the guest (256MiB)",
    "SIZE" },
  { "on-overrun", 0, 0, G_OPTION_ARG_STRING, &opt_on_overrun,
    "When the buffer is full: spill, throttle or fail (spill)", "POLICY" },
  { "disk-only", 0, 0, G_OPTION_ARG_NONE, &opt_disk_only, "Take the disks without memory", NULL },
  { "no-disks", 0, 0, G_OPTION_ARG_NONE, &opt_no_disks, "Take memory without the disks", NULL },
  { "quiesce", 0, 0, G_OPTION_ARG_NONE, &opt_quiesce, "Freeze the guest's file systems through its agent", NULL },
  { "diskspec", 0, 0, G_OPTION_ARG_STRING_ARRAY, &opt_diskspec,
    "TARGET[,snapshot=no|external][,file=PATH]; may be repeated", "SPEC" },
  { "overlay-dir", 0, 0, G_OPTION_ARG_FILENAME, &opt_overlay_dir,
    "Where overlays lie (beside the disks' files)", "DIR" },
  { "keep-overlay", 0, 0, G_OPTION_ARG_NONE, &opt_keep_overlay,
    "Keep the overlays as a chain that libvirt knows as a snapshot", NULL },
  { "xmlfile", 0, 0, G_OPTION_ARG_FILENAME, &opt_xmlfile, "Take name, description and disks from a <domainsnapshot>",
    "FILE" },
  G_OPTION_ENTRY_NULL
};

/* --- what is asked for ------------------------------------------------------------------------------------------- */

/* Takes @spec over. What the command line says of a disk comes first. */
static void
add_unless_named (GPtrArray *specs, PvDiskSpec *spec)
{
  for (guint i = 0; i < specs->len; i++)
    if (g_str_equal (((PvDiskSpec *) specs->pdata[i])->target, spec->target))
      {
        pv_disk_spec_free (spec);
        return;
      }
  g_ptr_array_add (specs, spec);
}

static gboolean
read_xmlfile (PvCaptureOptions *capture, GError **error)
{
  g_autoptr(GBytes) bytes = pv_read_file (opt_xmlfile, XML_MAX, error);
  g_autofree char *text = NULL;
  PvSnapshotRequest *request;

  if (bytes == NULL)
    return FALSE;
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  request = pv_snapshot_request_parse (text, error);
  if (request == NULL)
    {
      g_prefix_error (error, "%s: ", opt_xmlfile);
      return FALSE;
    }
  if (capture->name == NULL)
    capture->name = g_strdup (request->name);
  if (capture->description == NULL)
    capture->description = g_strdup (request->description);
  capture->disk_only |= request->disk_only;
  while (request->disks->len > 0)
    add_unless_named (capture->disks, g_ptr_array_steal_index (request->disks, 0));
  pv_snapshot_request_free (request);
  return TRUE;
}

static gboolean
read_diskspecs (PvCaptureOptions *capture, GError **error)
{
  for (char **at = opt_diskspec; at != NULL && *at != NULL; at++)
    {
      PvDiskSpec *spec = pv_disk_spec_parse (*at, error);

      if (spec == NULL)
        {
          g_prefix_error (error, "--diskspec: ");
          return FALSE;
        }
      g_ptr_array_add (capture->disks, spec);
    }
  return TRUE;
}

static gboolean
read_options (PvCaptureOptions *capture, GError **error)
{
  if (opt_engine != NULL)
    {
      g_free (capture->engine);
      capture->engine = g_strdup (opt_engine);
    }
  if (opt_on_overrun != NULL && !pv_overrun_parse (opt_on_overrun, &capture->on_overrun, error))
    return FALSE;
  if (opt_buffer != NULL && !pv_bytesize_parse (opt_buffer, &capture->buffer, error))
    {
      g_prefix_error (error, "--buffer: ");
      return FALSE;
    }
  capture->description = g_strdup (opt_description);
  capture->overlay_dir = opt_overlay_dir != NULL ? g_canonicalize_filename (opt_overlay_dir, NULL) : NULL;
  capture->no_disks = opt_no_disks;
  capture->disk_only = opt_disk_only;
  capture->quiesce = opt_quiesce;
  capture->keep_overlay = opt_keep_overlay;
  return read_diskspecs (capture, error) && (opt_xmlfile == NULL || read_xmlfile (capture, error))
         && pv_capture_options_check (capture, error);
}

/* DOMAIN [NAME] or DOMAIN@NAME. */
static gboolean
read_names (char **args, char **domain, char **name, GError **error)
{
  if (strchr (args[0], '@') != NULL && args[1] == NULL)
    return pv_snapshot_name_parse (args[0], domain, name, error);
  if (!pv_domain_name_check (args[0], error) || (args[1] != NULL && !pv_snapshot_name_check (args[1], error)))
    return FALSE;
  *domain = g_strdup (args[0]);
  *name = g_strdup (args[1]);
  return TRUE;
}

/* --- what came of it --------------------------------------------------------------------------------------------- */

static void
print_json (const PvCaptureResult *result)
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
run_job (PvCli *cli, PvCaptureJob *job, PvCaptureResult *result, GError **error)
{
  g_autoptr(PvProgress) progress = pv_progress_new ();
  Shown shown = { .progress = progress, .phase = "taking in" };

  g_signal_connect (job, "state-changed", G_CALLBACK (on_state), &shown);
  g_signal_connect (job, "progress", G_CALLBACK (on_progress), &shown);
  return pv_capture_job_run (job, result, cli->cancellable, error);
}

static gboolean
capture (PvCli *cli, const char *domain, const PvCaptureOptions *capture_options, PvCaptureResult *result,
         GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvConnection) connection = NULL;
  g_autoptr(PvGuest) guest = NULL;
  g_autoptr(PvCaptureJob) job = NULL;
  g_autofree char *mended = NULL;

  connection = pv_cli_open_connection (cli, error);
  if (connection == NULL)
    return FALSE;
  guest = pv_guest_lookup (connection, domain, error);
  if (guest == NULL)
    return FALSE;
  store = pv_cli_open_store (cli, PV_STORE_OPEN_CREATE, error);
  if (store == NULL || !pv_capture_recover (store, guest, &mended, error))
    return FALSE;
  if (mended != NULL)
    fprintf (stderr, "pagevault: %s: mended after a capture that was killed: %s\n", domain, mended);
  job = pv_capture_job_new (store, guest, capture_options);
  return run_job (cli, job, result, error);
}

static PvExit
run_create (PvCli *cli, char **args, GError **error)
{
  g_autofree char *domain = NULL;
  g_autofree char *subject = NULL;
  PvCaptureOptions capture_options;
  PvCaptureResult result = { 0 };
  PvExit exit_status = PV_EXIT_USAGE;

  pv_capture_options_init (&capture_options);
  if (read_names (args, &domain, &capture_options.name, error) && read_options (&capture_options, error))
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
      if (cli->json)
        print_json (&result);
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
             "tells why it passed over the others.\n"
             "\n"
             "However the command ends, also by SIGKILL, the guest goes on as before on its own disks.\n"
             "\n"
             "Examples:\n"
             "  pagevault create web1\n"
             "  pagevault create web1 before-upgrade --description 'kernel 6.1'\n"
             "  pagevault create db1 nightly --quiesce --diskspec vdb,snapshot=no\n"
             "  pagevault create db1 --buffer 1GiB --on-overrun fail\n"
             "\n"
             "Keys of --json: snapshot, engine, pause_ms, total_ms, ram_bytes, disk_bytes, zero_bytes,\n"
             "known_bytes, new_bytes, stored_bytes, overrun_bytes.",
  .min_args = 1,
  .max_args = 2,
  .options = options,
  .run = run_create,
};
