/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capturing a guest that QEMU runs: invariants and states are told in capture-job.c. */
#include "config.h"

#include "capture/capture-job-private.h"
#include "capture/checks.h"
#include "capture/undo.h"
#include "util/error.h"
#include "util/fault.h"

enum
{
  WAIT_MS = 50,          /* one turn of waiting for the stream */
  EVENT_MS = 2000,       /* QEMU's events come over the same connection, a moment after the answer */
  RECONNECT_MS = 30 * 1000,
};

/* --- checking --------------------------------------------------------------------------------- */

/* Before anything is written down: what nobody has frozen needs not be thawed. */
static gboolean
check_agent (PvCaptureJob *self, GError **error)
{
  const char *name = pv_guest_name (self->capture.guest);

  if (g_str_equal (self->capture.was, "paused"))
    return pv_throw (error, PV_ERROR_INVALID,
                     "guest %s is paused and cannot freeze its file systems: leave --quiesce out", name);
  return pv_domain_xml_agent_connected (self->domain)
         || pv_throw (error, PV_ERROR_UNSUPPORTED,
                      "guest %s: no guest agent is connected that could freeze its file systems: install and start "
                      "qemu-guest-agent in the guest, give it a channel org.qemu.guest_agent.0, or leave --quiesce out",
                      name);
}

/* The snapshot will be one of libvirt's, too. */
static gboolean
check_libvirt_snapshot (PvCaptureJob *self, GError **error)
{
  PvGuest *guest = self->capture.guest;
  gboolean has;

  if (!pv_guest_has_snapshot (guest, self->options.name, &has, error))
    return FALSE;
  if (has)
    return pv_throw (error, PV_ERROR_EXISTS,
                     "guest %s: libvirt knows a snapshot '%s' already (see virsh snapshot-list): choose another name",
                     pv_guest_name (guest), self->options.name);
  return self->options.memory_file == NULL || !g_file_test (self->options.memory_file, G_FILE_TEST_EXISTS)
         || pv_throw (error, PV_ERROR_EXISTS, "guest %s: the file for its memory '%s' exists already: name another one",
                      pv_guest_name (guest), self->options.memory_file);
}

static gboolean
check (PvCaptureJob *self, GError **error)
{
  PvGuest *guest = self->capture.guest;
  g_autofree char *xml = pv_guest_xml (guest, 0, error);
  g_autofree char *tag = NULL;

  self->domain = xml != NULL ? pv_domain_xml_parse (xml, error) : NULL;
  if (self->domain == NULL)
    return FALSE;
  if (!pv_check_idle (guest, error) || (self->options.quiesce && !check_agent (self, error))
      || (!self->options.disk_only && !pv_check_memory (guest, self->domain, error)))
    return FALSE;
  if (self->options.keep_overlay && !check_libvirt_snapshot (self, error))
    return FALSE;
  tag = self->options.keep_overlay ? g_strdup (self->options.name)
                                   : g_strdup_printf ("pagevault-%08x", g_random_int ());
  self->plan = pv_disk_plan_new (self->domain, &self->options, tag, TRUE, error);
  if (self->plan == NULL)
    return FALSE;
  if (pv_disk_plan_n_taken (self->plan) == 0)
    return !(self->options.disk_only || self->options.keep_overlay)
           || pv_throw (error, PV_ERROR_INVALID, "guest %s has no disk that could be taken", pv_guest_name (guest));
  return pv_check_disks (guest, error);
}

/* --- preparing -------------------------------------------------------------------------------- */

/* From here on there is somebody who undoes things, and then something to undo. I1. */
static gboolean
begin_journal (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;
  const char *uuid = pv_guest_uuid (capture->guest);
  g_autofree char *path = pv_journal_path (uuid, error);
  g_autofree char *copy = pv_journal_copy_path (pv_store_directory (self->store), uuid);

  if (path == NULL)
    return FALSE;
  capture->guardian = pv_guardian_start (capture->guest, path, copy, self->lock, error);
  if (capture->guardian == NULL)
    return FALSE;
  capture->journal = pv_journal_create (path, copy, pv_guest_name (capture->guest), capture->was, error);
  return capture->journal != NULL;
}

static gboolean
begin_reading (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;

  if (!pv_capture_job_begin_txn (self, error))
    return FALSE;
  self->scratch = pv_store_scratch_new (self->store, error);
  capture->events = self->scratch != NULL ? pv_guest_events_new (capture->guest, error) : NULL;
  if (capture->events == NULL)
    return FALSE;
  capture->scratch = pv_store_scratch_path (self->scratch);
  return TRUE;
}

void
pv_capture_job_forget_engine (PvCaptureJob *self)
{
  PvCapture *capture = &self->capture;

  g_clear_pointer (&capture->drain, pv_drain_free);
  if (capture->engine_data != NULL)
    capture->free_engine_data (g_steal_pointer (&capture->engine_data));
  g_clear_pointer (&capture->ram, pv_ram_ingest_free);
  pv_fd_clear (&capture->channel);
}

static gboolean
prepare_engine (PvCaptureJob *self, const PvEngineOps *engine, GError **error)
{
  self->engine = engine;
  self->capture.ram = pv_ram_ingest_new (self->txn);
  return engine->prepare (&self->capture, error);
}

/* (transfer full): the names of those to try, in order. A paused guest loses nothing by the paused engine. The qemu
 * engine does not take it, and says why. */
static char **
candidates (PvCaptureJob *self)
{
  gboolean running = g_str_equal (self->capture.was, "running");

  if (!g_str_equal (self->options.engine, "auto"))
    return g_strsplit (self->options.engine, ",", -1);
  return g_strsplit (running ? "qemu,live,paused" : "qemu,paused,live", ",", -1);
}

static const PvEngineOps *
find_engine (const char *name)
{
  static const PvEngineOps *const all[] = { &pv_engine_direct, &pv_engine_qemu, &pv_engine_live, &pv_engine_paused };

  for (guint i = 0; i < G_N_ELEMENTS (all); i++)
    if (g_str_equal (all[i]->name, name))
      return all[i];
  g_assert_not_reached (); /* the options were checked */
}

/* What the engine that failed has put into the transaction goes with it. */
static gboolean
begin_anew (PvCaptureJob *self, gboolean used, GError **error)
{
  if (!used)
    return TRUE;
  g_clear_pointer (&self->txn, pv_txn_free);
  g_clear_pointer (&self->base, pv_snapshot_unref);
  return pv_capture_job_begin_txn (self, error);
}

static gboolean
is_final (PvCaptureJob *self, const GError *error)
{
  return g_cancellable_is_cancelled (self->capture.cancellable) || !pv_guardian_check (self->capture.guardian, NULL)
         || !pv_connection_alive (pv_guest_connection (self->capture.guest))
         || g_error_matches (error, PV_ERROR, PV_ERROR_NO_SPACE);
}

static gboolean
choose_engine (PvCaptureJob *self, GError **error)
{
  g_auto(GStrv) names = candidates (self);

  for (guint i = 0; names[i] != NULL; i++)
    {
      const PvEngineOps *engine = find_engine (names[i]);
      g_autoptr(GError) local = NULL;
      gboolean used;

      if (self->options.quiesce && engine == &pv_engine_live)
        pv_throw (&local, PV_ERROR_UNSUPPORTED,
                  "with --quiesce the guest's file systems would stay frozen while its memory is copied");
      else if (prepare_engine (self, engine, &local))
        return TRUE;
      used = self->capture.ram != NULL && pv_ram_ingest_total (self->capture.ram) > 0;
      pv_capture_job_forget_engine (self);
      if (names[1] == NULL || is_final (self, local))
        {
          g_propagate_prefixed_error (error, g_steal_pointer (&local), "engine %s: ", engine->name);
          return FALSE;
        }
      g_ptr_array_add (self->passed_over, g_strdup_printf ("%s: %s", engine->name, local->message));
      if (!pv_undo_live (&self->capture.guest, self->capture.journal, 0, error) || !begin_anew (self, used, error))
        return FALSE;
    }
  return pv_throw (error, PV_ERROR_UNSUPPORTED, "guest %s: no engine can take its memory: %s",
                   pv_guest_name (self->capture.guest),
                   (const char *) self->passed_over->pdata[self->passed_over->len - 1]);
}

static gboolean
quiesce (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;

  if (!self->options.quiesce)
    return TRUE;
  return pv_capture_step (capture, "capture.freeze", error)
         && pv_journal_add (capture->journal, FALSE, error, PV_STEP_FREEZE, NULL)
         && pv_guest_fsfreeze (capture->guest, error) && pv_fault ("capture.freeze.done", error);
}

static gboolean
prepare (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;

  pv_capture_job_set_state (self, PV_CAPTURE_PREPARING);
  return begin_journal (self, error) && begin_reading (self, error)
         && pv_disk_plan_measure (self->plan, &self->disk_total, error)
         && pv_documents_take_early (&self->documents, capture->guest, self->domain, error)
         && pv_guardian_wait_ready (capture->guardian, error) && pv_capture_step (capture, "capture.overlays", error)
         && pv_disk_plan_create_overlays (self->plan, capture->journal, error)
         && (self->options.disk_only || choose_engine (self, error)) && quiesce (self, error);
}

/* --- frozen: I2, I3 --------------------------------------------------------------------------- */

static gboolean
freeze_disks (PvCaptureJob *self, GError **error)
{
  g_autofree char *xml = NULL;

  if (pv_disk_plan_n_taken (self->plan) == 0)
    return TRUE;
  xml = pv_disk_plan_snapshot_xml (self->plan, self->options.name);
  return pv_capture_step (&self->capture, "capture.disks", error)
         && pv_guest_snapshot_disks (self->capture.guest, xml, error) && pv_fault ("capture.disks.done", error);
}

static gboolean
thaw (PvCaptureJob *self, GError **error)
{
  return !self->options.quiesce
         || (pv_fault ("capture.thaw", error) && pv_guest_fsthaw (self->capture.guest, error)
             && pv_journal_over (self->capture.journal, PV_STEP_FREEZE, error));
}

/* From QEMU's own clock; ours when an event was lost. An engine may have paused the guest several times: the last one
 * counts. */
static void
measure_pause (PvCaptureJob *self, guint stops, guint resumes, gint64 before_us)
{
  gint64 stop_us = before_us, resume_us = 0;

  self->instant_us = before_us;
  if (!g_str_equal (self->capture.was, "running") || self->engine == NULL)
    return;
  if (!pv_guest_events_wait (self->capture.events, "STOP", stops, EVENT_MS, &stop_us))
    resume_us = g_get_real_time ();
  else
    resumes += pv_guest_events_count (self->capture.events, "STOP") - stops - 1;
  if (resume_us == 0 && !pv_guest_events_wait (self->capture.events, "RESUME", resumes, EVENT_MS, &resume_us))
    resume_us = g_get_real_time ();
  self->instant_us = stop_us;
  /* in 1024ths: as fine as QEMU's clock, and written exactly, without a tail of digits */
  self->pause_ms = (double) (MAX (resume_us - stop_us, 0) * 1024 / 1000) / 1024;
}

static gboolean
freeze (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;
  guint stops = pv_guest_events_count (capture->events, "STOP");
  guint resumes = pv_guest_events_count (capture->events, "RESUME");
  const char *nvram = pv_domain_xml_nvram (self->domain);
  gint64 before_us;

  pv_capture_job_set_state (self, PV_CAPTURE_FROZEN);
  pv_guardian_watch (capture->guardian, self->engine != NULL);
  pv_guardian_frozen (capture->guardian, self->engine != NULL && g_str_equal (capture->was, "running"));
  before_us = g_get_real_time ();
  if (self->engine != NULL && !self->engine->freeze (capture, error))
    return FALSE;
  if (!pv_documents_take (&self->documents, capture->guest, nvram, error) || !freeze_disks (self, error)
      || (self->engine != NULL && !self->engine->arm (capture, error)) || !thaw (self, error))
    return FALSE;
  pv_guardian_frozen (capture->guardian, FALSE);
  measure_pause (self, stops, resumes, before_us);
  return TRUE;
}

/* --- draining --------------------------------------------------------------------------------- */

/* libvirtd may have been restarted meanwhile: the stream does not go through it. */
static gboolean
ensure_connection (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;
  PvGuest *again;

  if (pv_connection_alive (pv_guest_connection (capture->guest)))
    return TRUE;
  again = pv_guest_reopen (capture->guest, RECONNECT_MS, error);
  if (again == NULL)
    return FALSE;
  pv_guest_unref (capture->guest);
  capture->guest = again;
  return TRUE;
}

static gboolean
drain (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;
  gboolean done = capture->drain == NULL, watched = TRUE;

  while (!done)
    {
      if (!pv_capture_step (capture, "capture.drain", error) || !pv_drain_wait (capture->drain, WAIT_MS, &done, error))
        return FALSE;
      if (watched && pv_drain_at_end (capture->drain))
        {
          pv_guardian_watch (capture->guardian, FALSE);
          watched = FALSE;
        }
      pv_capture_job_progress (self);
    }
  if (watched)
    pv_guardian_watch (capture->guardian, FALSE);
  return ensure_connection (self, error) && self->engine->settle (capture, error)
         && pv_fault ("capture.drained", error) && pv_ram_ingest_finish (capture->ram, error);
}

/* Capabilities, parameters, descriptors: none of them stays set a moment longer than the stream. */
static gboolean
take_memory (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;

  if (!drain (self, error))
    return FALSE;
  self->overrun_bytes = capture->drain != NULL ? pv_drain_overrun (capture->drain) : 0;
  self->ram_bytes = pv_ram_ingest_total (capture->ram);
  pv_capture_job_forget_engine (self);
  return pv_capture_step (capture, "capture.settle", error)
         && pv_undo_live (&capture->guest, capture->journal, RECONNECT_MS, error)
         && pv_fault ("capture.settle.done", error);
}

gboolean
pv_capture_job_take_live (PvCaptureJob *self, GError **error)
{
  gboolean running = g_str_equal (self->capture.was, "running");

  if (!check (self, error) || !prepare (self, error) || !freeze (self, error))
    return FALSE;
  pv_capture_job_set_state (self, PV_CAPTURE_DRAINING);
  if (self->engine == NULL)
    self->guest_state = PV_GUEST_DISK_SNAPSHOT;
  else
    self->guest_state = running ? PV_GUEST_RUNNING : PV_GUEST_PAUSED;
  return (self->engine == NULL || take_memory (self, error)) && pv_capture_job_take_disks (self, error)
         && ensure_connection (self, error);
}

/* --- keeping overlays ------------------------------------------------------------------------- */

gboolean
pv_capture_job_keep_overlays (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;
  g_autoptr(PvDomainXml) domain = NULL;
  g_autoptr(PvDomainXml) inactive = NULL;
  g_autofree PvOverlay *overlays = NULL;
  g_autofree char *parent = NULL;
  g_autofree char *xml = NULL;
  const char *state = "disk-snapshot";
  guint n;

  if (capture->guardian == NULL || !pv_guest_current_snapshot (capture->guest, &parent, error))
    return FALSE;
  domain = pv_domain_xml_parse (self->documents.domain, error);
  inactive = domain != NULL && self->documents.inactive != NULL ? pv_domain_xml_parse (self->documents.inactive, error)
                                                                : NULL;
  if (domain == NULL || (self->documents.inactive != NULL && inactive == NULL))
    return FALSE;
  overlays = pv_disk_plan_overlays (self->plan, &n);
  if (self->options.memory_file != NULL)
    state = capture->was;
  xml = pv_snapshot_xml_redefine (self->options.name, self->options.description, self->instant_us / G_USEC_PER_SEC,
                                  state, parent, self->options.memory_file, overlays, n, domain, inactive);
  return pv_fault ("capture.keep", error) && pv_journal_add (capture->journal, TRUE, error, PV_STEP_KEEP, xml, NULL);
}
