/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* capture-signals DOMAIN NAME HOW…: runs one capture of the guest into $PAGEVAULT_STORE and checks every signal that
 * the job emits: its states, in order and each once, and progress between them that only grows. For
 * test-capture-signals.
 *
 * HOW: taken ENGINE | disks | off: comes to its end.  cancel STATE: cancelled as soon as the job is in that state.
 * fail STATE: fails in it, by a name that is taken or by PAGEVAULT_FAULT. The exit status is 0 when all is well.
 */
#include "config.h"

#include <libglib-testing/signal-logger.h>
#include <stdio.h>
#include <string.h>

#include "capture/capture-job.h"
#include "util/error.h"

enum
{
  PROGRESS_MS = 100, /* no more often than this */
};

static const PvCaptureState way_of_memory[] = { PV_CAPTURE_CHECKING,   PV_CAPTURE_PREPARING, PV_CAPTURE_FROZEN,
                                                PV_CAPTURE_DRAINING,   PV_CAPTURE_COMMITTING, PV_CAPTURE_MERGING,
                                                PV_CAPTURE_DONE };
static const PvCaptureState way_of_off[] = { PV_CAPTURE_CHECKING,   PV_CAPTURE_PREPARING, PV_CAPTURE_DRAINING,
                                             PV_CAPTURE_COMMITTING, PV_CAPTURE_MERGING,   PV_CAPTURE_DONE };
static const PvCaptureState way_back[] = { PV_CAPTURE_UNDOING, PV_CAPTURE_FAILED };

typedef struct
{
  PvCaptureJob *job;         /* (owned) */
  GtSignalLogger *log;       /* (owned) */
  GCancellable *cancellable; /* (owned) */
  const char *cancel_in;     /* (nullable): state */
  guint n_progress;
  guint64 done, total; /* of the last progress */
} Watch;

/* Pops what the log has of progress; the next emission, if any, is a state. */
static void
pop_progress (Watch *self)
{
  for (;;)
    {
      g_autofree char *all = gt_signal_logger_format_emissions (self->log);
      guint64 done = 0, total = 0;

      if (strstr (all, "progress") == NULL || gt_signal_logger_get_n_emissions (self->log) == 0)
        return;
      /* the first of the list is the next */
      if (strstr (all, "state-changed") != NULL && strstr (all, "state-changed") < strstr (all, "progress"))
        return;
      gt_signal_logger_assert_emission_pop (self->log, self->job, "progress", &done, &total);
      g_assert_cmpuint (done, <=, total);
      g_assert_cmpuint (done, >=, self->done);
      g_assert_cmpuint (total, >=, self->total);
      self->done = done;
      self->total = total;
      self->n_progress++;
    }
}

static void
assert_way (Watch *self, const PvCaptureState *way, guint n)
{
  for (guint i = 0; i < n; i++)
    {
      guint state = 0;

      pop_progress (self);
      gt_signal_logger_assert_emission_pop (self->log, self->job, "state-changed", &state);
      g_assert_cmpstr (pv_capture_state_to_string (state), ==, pv_capture_state_to_string (way[i]));
    }
}

/* How many states of @way until the one called @name. */
static guint
steps_to (const PvCaptureState *way, guint n, const char *name)
{
  for (guint i = 0; i < n; i++)
    if (g_str_equal (pv_capture_state_to_string (way[i]), name))
      return i + 1;
  g_error ("no state '%s'", name);
}

static void
on_state (PvCaptureJob *job, guint state, gpointer data)
{
  Watch *self = data;

  if (g_strcmp0 (pv_capture_state_to_string (state), self->cancel_in) == 0)
    g_cancellable_cancel (self->cancellable);
}

static void
assert_taken (Watch *self, const PvCaptureState *way, guint n)
{
  g_autoptr(GError) error = NULL;
  PvCaptureResult result = { 0 };

  pv_capture_job_run (self->job, &result, self->cancellable, &error);
  g_assert_no_error (error);
  assert_way (self, way, n);
  gt_signal_logger_assert_no_emissions (self->log);
  g_assert_cmpuint (self->n_progress, >=, 1);
  g_assert_cmpuint (self->n_progress, <=, (guint) (result.total_ms / PROGRESS_MS) + 1);
  g_assert_cmpuint (self->total, <=, result.ram_bytes + result.disk_bytes);
  pv_capture_result_clear (&result);
}

static void
assert_failed (Watch *self, const char *state, gboolean cancelled)
{
  g_autoptr(GError) error = NULL;
  PvCaptureResult result = { 0 };

  g_assert_false (pv_capture_job_run (self->job, &result, self->cancellable, &error));
  g_assert_nonnull (error);
  g_assert_cmpint (g_error_matches (error, PV_ERROR, PV_ERROR_CANCELLED), ==, cancelled);
  assert_way (self, way_of_memory, steps_to (way_of_memory, G_N_ELEMENTS (way_of_memory), state));
  assert_way (self, way_back, G_N_ELEMENTS (way_back));
  gt_signal_logger_assert_no_emissions (self->log);
}

static void
run (Watch *self, const char *how, const char *argument)
{
  if (g_str_equal (how, "taken") || g_str_equal (how, "disks"))
    assert_taken (self, way_of_memory, G_N_ELEMENTS (way_of_memory));
  else if (g_str_equal (how, "off"))
    assert_taken (self, way_of_off, G_N_ELEMENTS (way_of_off));
  else if (g_str_equal (how, "cancel"))
    assert_failed (self, argument, TRUE);
  else if (g_str_equal (how, "fail"))
    assert_failed (self, argument, FALSE);
  else
    g_error ("capture-signals: no way '%s'", how);
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStore) store = pv_store_open (g_getenv ("PAGEVAULT_STORE"), PV_STORE_OPEN_CREATE, &error);
  g_autoptr(PvConnection) connection = store != NULL ? pv_connection_open (NULL, &error) : NULL;
  g_autoptr(PvGuest) guest = connection != NULL ? pv_guest_lookup (connection, argv[1], &error) : NULL;
  g_autoptr(GtSignalLogger) log = gt_signal_logger_new ();
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();
  g_autoptr(PvCaptureJob) job = NULL;
  PvCaptureOptions options;
  const char *argument = argc > 4 ? argv[4] : NULL;

  g_assert_no_error (error);
  g_assert_cmpint (argc, >, 3);
  pv_capture_options_init (&options);
  options.name = g_strdup (argv[2]);
  options.disk_only = g_str_equal (argv[3], "disks");
  if (g_str_equal (argv[3], "taken"))
    {
      g_free (options.engine);
      options.engine = g_strdup (argument);
    }
  job = pv_capture_job_new (store, guest, &options);
  {
    Watch watch = { .job = job, .log = log, .cancellable = cancellable };

    if (g_str_equal (argv[3], "cancel"))
      watch.cancel_in = argument;
    gt_signal_logger_connect (log, job, "state-changed");
    gt_signal_logger_connect (log, job, "progress");
    g_signal_connect (job, "state-changed", G_CALLBACK (on_state), &watch);
    run (&watch, argv[3], argument);
    printf ("%u times progress\n", watch.n_progress);
  }
  pv_capture_options_clear (&options);
  return 0;
}
