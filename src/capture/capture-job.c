/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Invariants of a capture. Tests and comments cite the numbers.
 *
 *  I1  Before a step changes anything of the guest, its line is in the journal (PvJournal), and the guardian is alive.
 *  I2  Nothing that may take long lies between the pause and the moment the guest runs again: overlays, pipe, buffers,
 *      capabilities and descriptors are there before; only what belongs to the instant is done in it.
 *  I3  Disks are frozen after the pause and before the memory point; between the two the guest does not run. So memory
 *      and disks are of one instant.
 *  I4  A frozen layer is written to again (merged into) only when it was read to its end, or when its snapshot is given
 *      up.
 *  I5  The snapshot is committed before overlays are merged: a crash between the two leaves a listed snapshot and a
 *      guest on its overlays, which the guardian merges. The reverse order would gain nothing: the merge does not need
 *      the store, the store not the merge.
 *  I6  The end is the same for success and failure: pv_undo_run() over what the journal says. So the way back is walked
 *      in every capture, not only in those that fail.
 *  I7  The guest's run state is touched no more once it was put back: what the user does to it meanwhile stands.
 *  I8  Guardian and job never both act: the guardian acts when the job's socket is closed or the job was silent; the
 *      job looks before each step, and before the commit, whether it did.
 *
 *  state       what holds                          leaves it by                  killed here
 *  CHECKING    guest untouched                     plan made -> PREPARING        nothing to undo
 *  PREPARING   journal; overlays made ahead;       engine's freeze -> FROZEN     overlays removed, capabilities
 *              capabilities set, descriptor given                                cleared
 *  FROZEN      guest paused; disks being frozen    engine's arm -> DRAINING      migration ended, guest runs,
 *                                                                                overlays merged
 *  DRAINING    guest runs on overlays; memory,     all read -> COMMITTING        the same
 *              then frozen layers are read
 *  COMMITTING  all is in the transaction           pv_txn_commit() -> MERGING    the same; listed or not
 *  MERGING     snapshot listed                     pv_undo_run() -> DONE         overlays merged
 *  UNDOING     an error is known                   pv_undo_run() -> FAILED       goes on in the guardian
 */
#include "config.h"

#include "capture/capture-job.h"

#include "capture/capture-job-private.h"
#include "capture/capture-record.h"
#include "capture/undo.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/snapshot-name.h"

enum
{
  PROGRESS_US = 100 * 1000,
  PATIENCE_MS = 15 * 1000, /* for libvirtd to come back; the guardian has more */
};

enum
{
  SIGNAL_STATE_CHANGED,
  SIGNAL_PROGRESS,
  N_SIGNALS,
};

static guint signals[N_SIGNALS];

G_DEFINE_FINAL_TYPE (PvCaptureJob, pv_capture_job, G_TYPE_OBJECT)

const char *
pv_capture_state_to_string (PvCaptureState state)
{
  static const char *const names[] = {
    [PV_CAPTURE_CHECKING] = "checking",     [PV_CAPTURE_PREPARING] = "preparing", [PV_CAPTURE_FROZEN] = "frozen",
    [PV_CAPTURE_DRAINING] = "draining",     [PV_CAPTURE_COMMITTING] = "committing", [PV_CAPTURE_MERGING] = "merging",
    [PV_CAPTURE_DONE] = "done",             [PV_CAPTURE_UNDOING] = "undoing",     [PV_CAPTURE_FAILED] = "failed",
  };

  g_return_val_if_fail ((guint) state < G_N_ELEMENTS (names), NULL);
  return names[state];
}

void
pv_capture_result_clear (PvCaptureResult *self)
{
  g_clear_pointer (&self->snapshot, pv_snapshot_unref);
  g_clear_pointer (&self->engine, g_free);
  g_clear_pointer (&self->passed_over, g_ptr_array_unref);
  g_clear_pointer (&self->warnings, g_ptr_array_unref);
}

/* --- object ------------------------------------------------------------------------------------------------------- */

static void
pv_capture_job_finalize (GObject *object)
{
  PvCaptureJob *self = PV_CAPTURE_JOB (object);

  pv_capture_job_forget_engine (self);
  g_clear_pointer (&self->capture.tracking, pv_tracking_free);
  g_clear_pointer (&self->txn, pv_txn_free);
  g_clear_pointer (&self->scratch, pv_store_scratch_free);
  g_clear_pointer (&self->base, pv_snapshot_unref);
  g_clear_pointer (&self->plan, pv_disk_plan_free);
  g_clear_pointer (&self->domain, pv_domain_xml_free);
  pv_documents_clear (&self->documents);
  g_clear_pointer (&self->capture.events, pv_guest_events_free);
  g_clear_pointer (&self->capture.guardian, pv_guardian_free);
  g_clear_pointer (&self->capture.journal, pv_journal_free);
  g_clear_pointer (&self->capture.guest, pv_guest_unref);
  pv_fd_clear (&self->lock);
  g_clear_pointer (&self->run_directory, g_free);
  g_clear_pointer (&self->passed_over, g_ptr_array_unref);
  g_clear_pointer (&self->warnings, g_ptr_array_unref);
  pv_capture_options_clear (&self->options);
  g_clear_pointer (&self->store, pv_store_unref);
  G_OBJECT_CLASS (pv_capture_job_parent_class)->finalize (object);
}

static void
pv_capture_job_class_init (PvCaptureJobClass *klass)
{
  G_OBJECT_CLASS (klass)->finalize = pv_capture_job_finalize;
  signals[SIGNAL_STATE_CHANGED] = g_signal_new ("state-changed", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL,
                                                NULL, NULL, G_TYPE_NONE, 1, G_TYPE_UINT);
  signals[SIGNAL_PROGRESS] = g_signal_new ("progress", G_TYPE_FROM_CLASS (klass), G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                           NULL, G_TYPE_NONE, 2, G_TYPE_UINT64, G_TYPE_UINT64);
}

static void
on_tick (gpointer data)
{
  pv_capture_job_progress (data);
}

static void
pv_capture_job_init (PvCaptureJob *self)
{
  self->lock = PV_FD_NONE;
  self->capture.channel = PV_FD_NONE;
  self->capture.tick = on_tick;
  self->capture.tick_data = self;
  self->passed_over = g_ptr_array_new_with_free_func (g_free);
  self->warnings = g_ptr_array_new_with_free_func (g_free);
}

PvCaptureJob *
pv_capture_job_new (PvStore *store, PvGuest *guest, const PvCaptureOptions *options)
{
  PvCaptureJob *self = g_object_new (PV_TYPE_CAPTURE_JOB, NULL);

  self->store = pv_store_ref (store);
  pv_capture_options_copy (&self->options, options);
  self->capture.guest = pv_guest_ref (guest);
  self->capture.options = &self->options;
  self->capture.store = store;
  return self;
}

void
pv_capture_job_set_state (PvCaptureJob *self, PvCaptureState state)
{
  self->state = state;
  g_signal_emit (self, signals[SIGNAL_STATE_CHANGED], 0, (guint) state);
}

void
pv_capture_job_progress (PvCaptureJob *self)
{
  gint64 now = g_get_monotonic_time ();
  guint64 ram_done = self->ram_bytes, ram_total = self->ram_bytes;

  if (now - self->last_progress < PROGRESS_US)
    return;
  self->last_progress = now;
  if (self->capture.ram != NULL)
    {
      ram_total = pv_ram_ingest_total (self->capture.ram);
      ram_done = pv_ram_ingest_done (self->capture.ram);
    }
  if (ram_total + self->disk_total > 0)
    g_signal_emit (self, signals[SIGNAL_PROGRESS], 0, ram_done + self->disk_done, ram_total + self->disk_total);
}

/* --- parts that both ways share --------------------------------------------------------------- */

gboolean
pv_capture_job_begin_txn (PvCaptureJob *self, GError **error)
{
  g_autoptr(GError) local = NULL;
  PvTxnOptions options = { 0 };

  self->base = pv_store_latest (self->store, pv_guest_name (self->capture.guest), &local);
  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  options.base = self->capture.base = self->base;
  self->txn = pv_store_begin (self->store, &options, error);
  return self->txn != NULL;
}

/* --- from begin to end ------------------------------------------------------------------------ */

/* With the lock held: what an earlier capture left, into whichever store it went. */
static gboolean
mend (PvStore *store, PvGuest **guest, char **mended, GError **error)
{
  g_autofree char *path = pv_journal_path (pv_guest_uuid (*guest), error);
  g_autofree char *copy = pv_journal_copy_path (pv_store_directory (store), pv_guest_uuid (*guest));
  g_autoptr(GError) local = NULL;
  g_autoptr(PvJournal) journal = path != NULL ? pv_journal_find (path, copy, &local) : NULL;

  if (journal != NULL)
    {
      pv_undo_wake (*guest, journal);
      return pv_undo_run (guest, journal, PATIENCE_MS, mended, error);
    }
  if (local == NULL)
    return path != NULL;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

gboolean
pv_capture_recover (PvStore *store, PvGuest *guest, char **mended, GError **error)
{
  g_auto(PvFd) lock = PV_FD_NONE;
  g_autoptr(PvGuest) current = pv_guest_ref (guest);
  g_autofree char *said = NULL;

  if (mended != NULL)
    *mended = NULL;
  lock = pv_journal_lock (pv_guest_uuid (guest), pv_guest_name (guest), error);
  if (lock < 0 || !mend (store, &current, &said, error))
    return FALSE;
  if (mended != NULL)
    *mended = g_steal_pointer (&said);
  return TRUE;
}

static gboolean
check_name (PvCaptureJob *self, GError **error)
{
  const char *domain = pv_guest_name (self->capture.guest);
  g_autoptr(PvSnapshot) there = NULL;
  g_autoptr(GError) local = NULL;

  if (self->options.name == NULL)
    self->options.name = pv_snapshot_name_now ();
  if (!pv_domain_name_check (domain, error))
    return FALSE;
  there = pv_store_lookup (self->store, domain, self->options.name, &local);
  if (there != NULL)
    return pv_throw (error, PV_ERROR_EXISTS, "snapshot %s@%s exists already: choose another name, or delete it", domain,
                     self->options.name);
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
begin (PvCaptureJob *self, GError **error)
{
  PvGuest *guest = self->capture.guest;

  if (!pv_capture_options_check (&self->options, error) || !check_name (self, error)
      || !pv_capture_step (&self->capture, "capture.begin", error))
    return FALSE;
  self->lock = pv_journal_lock (pv_guest_uuid (guest), pv_guest_name (guest), error);
  if (self->lock < 0)
    return FALSE;
  self->run_directory = pv_journal_run_directory (pv_guest_uuid (guest), error);
  return self->run_directory != NULL && mend (self->store, &self->capture.guest, NULL, error);
}

/* Whether QEMU itself is in a state that can be captured and come back to. Talking to it marks the domain, which
 * libvirt writes down: that is done here, and not in the pause. */
static gboolean
check_qemu (PvGuest *guest, GError **error)
{
  static const char *const others[] = { "postmigrate", "finish-migrate", "inmigrate", "save-vm", "restore-vm",
                                        "shutdown",    "internal-error", "colo",      NULL };
  g_autofree char *status = pv_guest_qemu_status (guest, error);

  if (status == NULL || !g_strv_contains (others, status))
    return status != NULL;
  return pv_throw (error, PV_ERROR_BUSY,
                   "guest %s: its QEMU is in the state '%s', from which a capture would not find back: let it run or "
                   "end first",
                   pv_guest_name (guest), status);
}

static gboolean
take (PvCaptureJob *self, GError **error)
{
  PvRunState state;

  if (!begin (self, error) || !pv_guest_state (self->capture.guest, &state, NULL, error))
    return FALSE;
  switch (state)
    {
    case PV_RUN_RUNNING:
      self->capture.was = "running";
      break;
    case PV_RUN_PAUSED:
      self->capture.was = "paused";
      break;
    case PV_RUN_SHUTOFF:
      self->capture.was = "shutoff";
      return pv_capture_job_take_off (self, error);
    default:
      return pv_throw (error, PV_ERROR_UNSUPPORTED,
                       "guest %s neither runs nor is paused nor off (see virsh domstate --reason): bring it into one "
                       "of these states",
                       pv_guest_name (self->capture.guest));
    }
  return check_qemu (self->capture.guest, error) && pv_capture_job_take_live (self, error);
}

static PvSnapshot *
commit (PvCaptureJob *self, GError **error)
{
  const PvCaptureRecord record = {
    .engine = self->engine != NULL ? self->engine->name : NULL,
    .tracked = self->capture.tracked,
    .pause_ms = self->pause_ms,
    .quiesced = self->options.quiesce,
    .passed_over = self->passed_over,
    .plan = self->plan,
  };
  const PvSnapshotMeta meta = {
    .domain = pv_guest_name (self->capture.guest),
    .name = self->options.name,
    .parent = self->base != NULL ? pv_snapshot_name (self->base) : NULL,
    .description = self->options.description,
    .time = self->instant_us,
    .state = self->guest_state,
  };

  pv_capture_job_set_state (self, PV_CAPTURE_COMMITTING);
  if (!pv_documents_attach (&self->documents, self->txn, error)
      || !pv_capture_record_attach (&record, self->txn, self->capture.guest, self->domain, error)
      || !pv_capture_step (&self->capture, "capture.commit", error) /* I8 */
      || (g_str_equal (self->capture.was, "shutoff") && !pv_capture_job_still_off (self, error)))
    return NULL;
  return pv_txn_commit (self->txn, &meta, error);
}

/* The stream is of no use any more. QEMU's next write fails; but a background snapshot is read to its end while it is
 * waited for. */
static void
cut_stream (PvCaptureJob *self)
{
  if (self->capture.drain != NULL)
    pv_drain_discard (self->capture.drain);
  pv_fd_clear (&self->capture.channel);
}

/* I6. The guardian is dismissed only when nothing is left to do. */
static gboolean
put_back (PvCaptureJob *self, GError **error)
{
  if (self->capture.journal != NULL
      && !pv_undo_run (&self->capture.guest, self->capture.journal, PATIENCE_MS, NULL, error))
    return FALSE;
  if (self->capture.guardian != NULL)
    pv_guardian_done (self->capture.guardian);
  return TRUE;
}

/* Takes @error over. */
static void
give_up (PvCaptureJob *self, GError *first, GError **error)
{
  g_autoptr(GError) second = NULL;

  /* what failed since the guardian took over failed because of that */
  if (self->capture.guardian != NULL && !g_error_matches (first, PV_ERROR, PV_ERROR_CANCELLED)
      && pv_guardian_took (self->capture.guardian))
    {
      g_clear_error (&first);
      pv_guardian_check (self->capture.guardian, &first);
    }
  pv_capture_job_set_state (self, PV_CAPTURE_UNDOING);
  cut_stream (self);
  if (!put_back (self, &second))
    {
      g_autofree char *message = g_strdup_printf ("%s; putting the guest back failed, the guardian goes on trying: %s",
                                                  first->message, second->message);

      g_free (first->message);
      first->message = g_steal_pointer (&message);
    }
  g_clear_pointer (&self->capture.drain, pv_drain_free);
  g_clear_pointer (&self->txn, pv_txn_free);
  pv_capture_job_set_state (self, PV_CAPTURE_FAILED);
  g_propagate_error (error, first);
}

static void
fill_result (PvCaptureJob *self, PvSnapshot *snapshot, PvCaptureResult *result)
{
  *result = (PvCaptureResult){
    .snapshot = snapshot,
    .engine = g_strdup (self->engine != NULL ? self->engine->name : "disks"),
    .passed_over = g_ptr_array_ref (self->passed_over),
    .warnings = g_ptr_array_ref (self->warnings),
    .pause_ms = self->pause_ms,
    .total_ms = (double) (g_get_monotonic_time () - self->started) / 1000,
    .ram_bytes = self->ram_bytes,
    .disk_bytes = self->disk_bytes,
    .overrun_bytes = self->overrun_bytes,
  };
  pv_txn_stats (self->txn, &result->stats);
}

/* Before libvirt hears of the file. Without it libvirt's snapshot is one of disks. */
static void
save_memory (PvCaptureJob *self, PvSnapshot *snapshot)
{
  PvCaptureOptions *options = &self->options;
  g_autoptr(GError) error = NULL;

  if (options->memory_file == NULL
      || options->save_memory (self->store, snapshot, options->memory_file, self->capture.cancellable,
                               options->save_memory_data, &error))
    return;
  g_ptr_array_add (self->warnings,
                   g_strdup_printf ("libvirt's snapshot is without memory: %s: %s", options->memory_file,
                                    error->message));
  g_clear_pointer (&options->memory_file, g_free);
}

static void
start_tracking (PvCaptureJob *self, PvSnapshot *snapshot)
{
  g_autoptr(PvTracking) tracking = g_steal_pointer (&self->capture.tracking);
  g_autoptr(GError) error = NULL;

  if (tracking != NULL && !pv_tracking_start (tracking, pv_guest_uuid (self->capture.guest), snapshot, &error))
    g_ptr_array_add (self->warnings, g_strdup (error->message));
}

/* The snapshot is there: what goes wrong now is a warning. */
static void
finish (PvCaptureJob *self, PvSnapshot *snapshot)
{
  g_autoptr(GError) error = NULL;

  pv_capture_job_set_state (self, PV_CAPTURE_MERGING);
  start_tracking (self, snapshot);
  save_memory (self, snapshot);
  if ((self->options.keep_overlay && !pv_capture_job_keep_overlays (self, &error)) || !put_back (self, &error))
    g_ptr_array_add (self->warnings, g_strdup_printf ("%s; the guardian goes on trying", error->message));
}

gboolean
pv_capture_job_run (PvCaptureJob *self, PvCaptureResult *result, GCancellable *cancellable, GError **error)
{
  g_autoptr(GError) local = NULL;
  PvSnapshot *snapshot = NULL;

  g_return_val_if_fail (self->started == 0, FALSE);
  self->started = g_get_monotonic_time ();
  self->capture.cancellable = cancellable;
  pv_capture_job_set_state (self, PV_CAPTURE_CHECKING);
  if (take (self, &local))
    snapshot = commit (self, &local);
  if (snapshot == NULL)
    {
      give_up (self, g_steal_pointer (&local), error);
      return FALSE;
    }
  finish (self, snapshot);
  fill_result (self, snapshot, result);
  pv_capture_job_set_state (self, PV_CAPTURE_DONE);
  return TRUE;
}
