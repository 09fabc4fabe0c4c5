/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/undo.h"

#include <string.h>

#include "capture/write-protection.h"
#include "util/error.h"
#include "util/fault.h"
#include "virt/overlay-chain.h"

enum
{
  POLL_US = 2000,
  CANCEL_PATIENCE_US = 20 * 1000 * 1000, /* a cancelled migration ends within this time, or something is very wrong */
  STALL_PATIENCE_US = 20 * 1000 * 1000,  /* a background snapshot that sends nothing for this time never will */
};

typedef struct
{
  PvGuest **guest;
  PvJournal *journal; /* (not owned) */
  guint patience_ms;
  gboolean gone;     /* libvirt knows no such domain any more */
  const char *was;   /* (nullable) (not owned): the run state that the user had it in: the steps' */
  gboolean paused;   /* its run state is still ours to put back */
  gboolean keep;     /* overlays stay */
  gboolean lifted;   /* PV_STEP_LIFT is there */
  GString *done;     /* (owned) */
} Undo;

static void
say (Undo *self, const char *format, ...) G_GNUC_PRINTF (2, 3);

static void
say (Undo *self, const char *format, ...)
{
  va_list arguments;

  g_string_append (self->done, self->done->len > 0 ? ", " : "");
  va_start (arguments, format);
  g_string_append_vprintf (self->done, format, arguments);
  va_end (arguments);
}

/* --- run state --- */

/* libvirt refuses to resume what runs already, and hears a moment late of what QEMU did by itself. */
static gboolean
make_run (PvGuest *guest, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autofree char *status = NULL;

  if (pv_guest_resume (guest, &local))
    return TRUE;
  status = pv_guest_qemu_status (guest, NULL);
  if (g_strcmp0 (status, "running") == 0)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

gboolean
pv_undo_run_state (PvGuest *guest, const char *was, GError **error)
{
  g_autofree char *status = pv_guest_qemu_status (guest, error);
  g_autoptr(GError) local = NULL;
  gboolean running = g_strcmp0 (status, "running") == 0;

  if (status == NULL)
    return FALSE;
  if (g_strcmp0 (was, "running") == 0)
    {
      /* only what a capture leaves behind: not a guest that crashed, shut down, or stopped for an error of its disk */
      static const char *const ours[] = { "paused", "postmigrate", "finish-migrate", "prelaunch", "save-vm", NULL };

      return running || !g_strv_contains (ours, status) || make_run (guest, error);
    }
  if (g_strcmp0 (was, "paused") != 0)
    return TRUE;
  if (running)
    return pv_guest_suspend (guest, error);
  /* it is paused as it was; what is left to do is for later captures */
  if (!pv_guest_leave_postmigrate (guest, &local))
    g_warning ("%s; QEMU refuses to save or migrate it until it was resumed", local->message);
  return TRUE;
}

/* What a migration that is waited for has got done, as long as it is not done. */
typedef struct
{
  guint64 sent;    /* pages */
  gint64 since_us; /* monotonic: when it sent the last one */
} Advance;

static gboolean
advances (Advance *self, const PvMigrationInfo *info)
{
  gint64 now = g_get_monotonic_time ();

  if (info->ram_normal != self->sent || self->since_us == 0)
    *self = (Advance){ info->ram_normal, now };
  return now - self->since_us < STALL_PATIENCE_US;
}

static gboolean
cancel_migration (PvGuest *guest, gint64 *asked_us, const char *status, GError **error)
{
  g_autoptr(JsonNode) reply = NULL;

  if (*asked_us == 0)
    {
      *asked_us = g_get_monotonic_time ();
      reply = pv_guest_qmp (guest, "migrate_cancel", NULL, error);
      return reply != NULL;
    }
  return g_get_monotonic_time () - *asked_us < CANCEL_PATIENCE_US
         || pv_throw (error, PV_ERROR_FAILED, "guest %s: QEMU does not end the migration (it says '%s')",
                      pv_guest_name (guest), status);
}

gboolean
pv_undo_migration (PvGuest *guest, gboolean background, const char *was, GError **error)
{
  static const char *const resting[] = { "none", "completed", "failed", "cancelled", NULL };
  Advance advance = { 0 };
  gint64 asked_us = 0;

  for (;;)
    {
      g_auto(PvMigrationInfo) info = { 0 };

      if (!pv_guest_query_migrate (guest, &info, error))
        return FALSE;
      if (g_strv_contains (resting, info.status))
        return TRUE;
      if (background && was != NULL && info.ram_normal > 0 && !pv_undo_run_state (guest, was, error))
        return FALSE;
      if ((!background || asked_us != 0 || !advances (&advance, &info))
          && !cancel_migration (guest, &asked_us, info.status, error))
        return FALSE;
      g_usleep (POLL_US);
    }
}

/* --- one step each --- */

static gboolean
is_live (Undo *self, gboolean *live, GError **error)
{
  PvRunState state;

  *live = FALSE;
  if (self->gone)
    return TRUE;
  if (!pv_guest_state (*self->guest, &state, NULL, error))
    return FALSE;
  *live = state == PV_RUN_RUNNING || state == PV_RUN_PAUSED || state == PV_RUN_OTHER;
  return TRUE;
}

static gboolean
undo_parameter (Undo *self, const PvStep *step, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;

  json_object_set_int_member (arguments, step->arguments[0], g_ascii_strtoll (step->arguments[1], NULL, 10));
  reply = pv_guest_qmp (*self->guest, "migrate-set-parameters", arguments, error);
  return reply != NULL;
}

/* A descriptor that QEMU has used, or never got, is not there: no error. */
static gboolean
undo_fd (Undo *self, const PvStep *step, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  g_autoptr(GError) local = NULL;

  json_object_set_string_member (arguments, "fdname", step->arguments[0]);
  reply = pv_guest_qmp (*self->guest, "closefd", arguments, &local);
  if (reply != NULL || pv_connection_alive (pv_guest_connection (*self->guest)))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

/* (transfer full) (nullable): the arguments of remove-fd for the descriptor called @name; NULL: QEMU has none. */
static JsonObject *
find_fdset (JsonNode *fdsets, const char *name)
{
  JsonArray *all = JSON_NODE_HOLDS_ARRAY (fdsets) ? json_node_get_array (fdsets) : NULL;

  for (guint i = 0; all != NULL && i < json_array_get_length (all); i++)
    {
      JsonObject *fdset = json_array_get_object_element (all, i);
      JsonArray *fds = fdset != NULL ? json_object_get_array_member (fdset, "fds") : NULL;

      for (guint j = 0; fds != NULL && j < json_array_get_length (fds); j++)
        {
          JsonObject *fd = json_array_get_object_element (fds, j);
          JsonObject *arguments;

          if (fd == NULL || g_strcmp0 (json_object_get_string_member_with_default (fd, "opaque", NULL), name) != 0)
            continue;
          arguments = json_object_new ();
          json_object_set_int_member (arguments, "fdset-id", json_object_get_int_member (fdset, "fdset-id"));
          return arguments;
        }
    }
  return NULL;
}

/* QEMU keeps it as long as the guest does not run: the run state is put back before, unless the user had it paused. */
static gboolean
undo_fdset (Undo *self, const PvStep *step, GError **error)
{
  g_autoptr(JsonNode) fdsets = pv_guest_qmp (*self->guest, "query-fdsets", NULL, error);
  g_autoptr(JsonObject) arguments = fdsets != NULL ? find_fdset (fdsets, step->arguments[0]) : NULL;
  g_autoptr(JsonNode) reply = NULL;

  if (arguments == NULL)
    return fdsets != NULL;
  reply = pv_guest_qmp (*self->guest, "remove-fd", arguments, error);
  return reply != NULL;
}

static gboolean
undo_capability (Undo *self, const PvStep *step, GError **error)
{
  const char *name = step->arguments[0];
  gboolean on;

  if (!pv_guest_has_capability (*self->guest, name, &on, error))
    return FALSE;
  if (!on)
    return TRUE;
  if (g_str_equal (name, "background-snapshot")
      && !pv_write_protection_end (*self->guest, self->journal, self->lifted, self->paused ? self->was : NULL, error))
    return FALSE;
  return pv_guest_set_capability (*self->guest, name, FALSE, error);
}

static gboolean
undo_live_step (Undo *self, const PvStep *step, GError **error)
{
  switch (step->kind)
    {
    case PV_STEP_CAPABILITY:
      return undo_capability (self, step, error);
    case PV_STEP_PARAMETER:
      return undo_parameter (self, step, error);
    case PV_STEP_FD:
      return undo_fd (self, step, error);
    case PV_STEP_FDSET:
      return undo_fdset (self, step, error);
    case PV_STEP_FREEZE:
      say (self, "its file systems were thawed");
      return pv_guest_fsthaw (*self->guest, error);
    case PV_STEP_PAUSE:
      say (self, "its run state was put back");
      return pv_undo_run_state (*self->guest, self->was, error);
    case PV_STEP_MIGRATE:
      say (self, "the copying of its memory was ended");
      return pv_undo_migration (*self->guest, g_str_equal (step->arguments[0], "background"),
                                self->paused ? self->was : NULL, error);
    default:
      return TRUE;
    }
}

/* Its content is in the base now, or always was. */
static gboolean
drop_overlay (Undo *self, const PvStep *step, GError **error)
{
  return pv_fault ("capture.undo.drop-overlay", error) && pv_unlink (step->arguments[1], error);
}

static gboolean
undo_overlay (Undo *self, const PvStep *step, GError **error)
{
  const char *target = step->arguments[0], *overlay = step->arguments[1], *base = step->arguments[2];
  g_autofree char *active = NULL;

  if (!g_file_test (overlay, G_FILE_TEST_EXISTS))
    return TRUE;
  if (self->gone)
    {
      say (self, "disk %s: its overlay was merged", target);
      return pv_overlay_chain_commit (overlay, base, error) && drop_overlay (self, step, error);
    }
  active = pv_guest_active_layer (*self->guest, target, error);
  if (active == NULL)
    return FALSE;
  if (pv_same_image (active, base))
    return drop_overlay (self, step, error);
  if (!pv_same_image (active, overlay))
    return pv_throw (error, PV_ERROR_BUSY,
                     "guest %s: disk %s: '%s' was put on top of the overlay '%s' meanwhile: merge them by virsh "
                     "blockcommit",
                     pv_guest_name (*self->guest), target, active, overlay);
  say (self, "disk %s: its overlay was merged", target);
  return pv_fault ("capture.undo.merge", error) && pv_guest_commit_overlay (*self->guest, target, base, NULL, error)
         && drop_overlay (self, step, error);
}

static gboolean
undo_once (Undo *self, const PvStep *step, GError **error)
{
  gboolean live;

  switch (step->kind)
    {
    case PV_STEP_BEGIN:
    case PV_STEP_LIFT: /* seen to with the capability */
    case PV_STEP_OVER:
    case PV_N_STEPS:
      return TRUE;
    case PV_STEP_OVERLAY:
      return self->keep || undo_overlay (self, step, error);
    case PV_STEP_KEEP:
      say (self, "the snapshot was registered with libvirt");
      return self->gone || pv_guest_redefine_snapshot (*self->guest, step->arguments[0], TRUE, error);
    default:
      return is_live (self, &live, error) && (!live || undo_live_step (self, step, error));
    }
}

/* Takes a new connection when the old one is lost. FALSE: there is no reason to try again. */
static gboolean
reconnect (Undo *self)
{
  g_autoptr(GError) local = NULL;
  PvGuest *again;

  if (self->gone || pv_connection_alive (pv_guest_connection (*self->guest)))
    return FALSE;
  again = pv_guest_reopen (*self->guest, self->patience_ms, &local);
  if (again != NULL)
    {
      pv_guest_unref (*self->guest);
      *self->guest = again;
      return TRUE;
    }
  if (!g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    return FALSE;
  self->gone = TRUE;
  return TRUE;
}

static gboolean
undo_step (Undo *self, const PvStep *step, GError **error)
{
  g_autofree char *point = g_strdup_printf ("capture.undo.%s", pv_step_kind_to_string (step->kind));

  if (!pv_fault (point, error))
    return FALSE;
  for (;;)
    {
      g_autoptr(GError) local = NULL;
      gsize said = self->done->len;
      gboolean live;

      if (undo_once (self, step, &local))
        return TRUE;
      g_string_truncate (self->done, said);
      if (!self->gone && g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND) && !is_live (self, &live, NULL)
          && pv_connection_alive (pv_guest_connection (*self->guest)))
        self->gone = TRUE;
      else if (!reconnect (self))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
    }
}

static void
look_ahead (Undo *self, GPtrArray *steps)
{
  for (guint i = 0; i < steps->len; i++)
    {
      const PvStep *step = steps->pdata[i];

      if (step->kind == PV_STEP_BEGIN)
        self->was = step->arguments[2];
      else if (step->kind == PV_STEP_KEEP)
        self->keep = TRUE;
      else if (step->kind == PV_STEP_PAUSE)
        self->paused = !step->over;
      else if (step->kind == PV_STEP_LIFT)
        self->lifted = !step->over;
    }
}

/* All steps that are not over, or of those only the live ones; newest first, none left out for the failure of
 * another. */
static gboolean
undo_steps (Undo *self, gboolean live_only, GError **error)
{
  g_autoptr(GPtrArray) steps = pv_journal_steps (self->journal, error);
  gboolean ok = TRUE;

  if (steps == NULL)
    return FALSE;
  look_ahead (self, steps);
  for (guint i = steps->len; i > 0; i--)
    {
      const PvStep *step = steps->pdata[i - 1];

      if (step->over || (live_only && (step->kind == PV_STEP_OVERLAY || step->kind == PV_STEP_KEEP)))
        continue;
      if (!undo_step (self, step, ok ? error : NULL))
        ok = FALSE;
    }
  return ok;
}

/* The socket of a qemu-nbd that went with a killed capture: beside the journal. */
static void
sweep_run_directory (PvJournal *journal)
{
  g_autofree char *directory = g_path_get_dirname (pv_journal_file (journal));
  g_autofree char *path = g_build_filename (directory, "nbd.sock", NULL);

  if (!pv_unlink (path, NULL))
    g_debug ("cannot remove '%s'", path);
}

static Undo
undo_of (PvGuest **guest, PvJournal *journal, guint patience_ms, GString *said)
{
  return (Undo){ .guest = guest, .journal = journal, .patience_ms = patience_ms, .gone = *guest == NULL, .done = said };
}

void
pv_undo_wake (PvGuest *guest, PvJournal *journal)
{
  g_autoptr(GPtrArray) steps = pv_journal_steps (journal, NULL);

  for (guint i = 0; steps != NULL && i < steps->len; i++)
    {
      const PvStep *step = steps->pdata[i];

      if (step->kind == PV_STEP_MIGRATE && !step->over && g_str_equal (step->arguments[0], "background"))
        {
          pv_write_protection_wake (guest, journal);
          return;
        }
    }
}

gboolean
pv_undo_run (PvGuest **guest, PvJournal *journal, guint patience_ms, char **done, GError **error)
{
  g_autoptr(GString) said = g_string_new (NULL);
  Undo undo = undo_of (guest, journal, patience_ms, said);
  gboolean ok = undo_steps (&undo, FALSE, error);

  if (done != NULL)
    *done = said->len > 0 ? g_strdup (said->str) : NULL;
  sweep_run_directory (journal);
  return ok && pv_journal_remove (journal, error);
}

gboolean
pv_undo_live (PvGuest **guest, PvJournal *journal, guint patience_ms, GError **error)
{
  g_autoptr(GString) said = g_string_new (NULL);
  Undo undo = undo_of (guest, journal, patience_ms, said);

  return undo_steps (&undo, TRUE, error) && pv_journal_over_live (journal, error);
}
