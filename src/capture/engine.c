/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/engine.h"

#include "capture/undo.h"
#include "util/error.h"
#include "util/fault.h"

#define FD_NAME "pagevault-memory"

gboolean
pv_capture_step (PvCapture *self, const char *point, GError **error)
{
  if (g_cancellable_is_cancelled (self->cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "the capture was cancelled");
  if (self->guardian != NULL && !pv_guardian_check (self->guardian, error))
    return FALSE;
  return pv_fault (point, error);
}

gboolean
pv_capture_set_capability (PvCapture *self, const char *name, GError **error)
{
  return pv_capture_step (self, "capture.capability", error)
         && pv_journal_add (self->journal, FALSE, error, PV_STEP_CAPABILITY, name, NULL)
         && pv_fault ("capture.capability.set", error) && pv_guest_set_capability (self->guest, name, TRUE, error)
         && pv_fault ("capture.capability.done", error);
}

static gboolean
get_parameter (PvCapture *self, const char *name, gint64 *value, GError **error)
{
  g_autoptr(JsonNode) reply = pv_guest_qmp (self->guest, "query-migrate-parameters", NULL, error);
  JsonObject *all = reply != NULL && JSON_NODE_HOLDS_OBJECT (reply) ? json_node_get_object (reply) : NULL;

  if (reply == NULL)
    return FALSE;
  if (all == NULL || !json_object_has_member (all, name))
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "guest %s: its QEMU does not know the migration parameter %s",
                     pv_guest_name (self->guest), name);
  *value = json_object_get_int_member (all, name);
  return TRUE;
}

gboolean
pv_capture_set_parameter (PvCapture *self, const char *name, gint64 value, GError **error)
{
  g_autofree char *text = NULL;
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  gint64 before = 0;

  if (!pv_capture_step (self, "capture.parameter", error) || !get_parameter (self, name, &before, error))
    return FALSE;
  text = g_strdup_printf ("%" G_GINT64_FORMAT, before);
  if (!pv_journal_add (self->journal, FALSE, error, PV_STEP_PARAMETER, name, text, NULL))
    return FALSE;
  json_object_set_int_member (arguments, name, value);
  if (!pv_fault ("capture.parameter.set", error))
    return FALSE;
  reply = pv_guest_qmp (self->guest, "migrate-set-parameters", arguments, error);
  return reply != NULL && pv_fault ("capture.parameter.done", error);
}

gboolean
pv_capture_give_fd (PvCapture *self, int fd, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;

  if (!pv_capture_step (self, "capture.fd", error)
      || !pv_journal_add (self->journal, FALSE, error, PV_STEP_FD, FD_NAME, NULL)
      || !pv_fault ("capture.fd.give", error))
    return FALSE;
  json_object_set_string_member (arguments, "fdname", FD_NAME);
  reply = pv_guest_qmp_with_fds (self->guest, "getfd", arguments, &fd, 1, error);
  return reply != NULL && pv_fault ("capture.fd.done", error);
}

gboolean
pv_capture_migrate (PvCapture *self, const char *kind, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;

  if (!pv_capture_step (self, "capture.migrate", error)
      || !pv_journal_add (self->journal, FALSE, error, PV_STEP_MIGRATE, kind, NULL)
      || !pv_fault ("capture.migrate.start", error))
    return FALSE;
  json_object_set_string_member (arguments, "uri", "fd:" FD_NAME);
  reply = pv_guest_qmp (self->guest, "migrate", arguments, error);
  return reply != NULL && pv_fault ("capture.migrate.done", error);
}

gboolean
pv_capture_pause (PvCapture *self, GError **error)
{
  if (!pv_capture_step (self, "capture.pause", error)
      || !pv_journal_add (self->journal, FALSE, error, PV_STEP_PAUSE, NULL)
      || !pv_fault ("capture.pause.suspend", error))
    return FALSE;
  if (g_str_equal (self->was, "running") && !pv_guest_suspend (self->guest, error))
    return FALSE;
  return pv_fault ("capture.pause.done", error);
}

gboolean
pv_capture_resume (PvCapture *self, GError **error)
{
  return pv_fault ("capture.resume", error) && pv_undo_run_state (self->guest, self->was, error)
         && pv_fault ("capture.resume.done", error) && pv_journal_over (self->journal, PV_STEP_PAUSE, error);
}

static void
beat (gpointer guardian)
{
  pv_guardian_beat (guardian);
}

void
pv_capture_start_drain (PvCapture *self, int fd, gboolean to_the_end)
{
  const PvDrainOptions options = {
    .buffer = self->options->buffer,
    .on_overrun = self->options->on_overrun,
    .spill_directory = self->scratch,
    .sink = pv_ram_ingest_feed,
    .data = self->ram,
    .to_the_end = to_the_end,
    .beat = beat,
    .beat_data = self->guardian,
  };

  self->drain = pv_drain_new (fd, &options);
}

gboolean
pv_capture_wait_a_little (PvCapture *self, guint wait_ms, GError **error)
{
  gboolean done;

  if (!pv_capture_step (self, "capture.wait", error) || !pv_drain_wait (self->drain, wait_ms, &done, error))
    return FALSE;
  if (done)
    g_usleep (wait_ms * 1000);
  if (self->tick != NULL)
    self->tick (self->tick_data);
  return TRUE;
}
