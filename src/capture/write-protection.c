/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/write-protection.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "capture/undo.h"
#include "capture/unprotect.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define CAPABILITY "background-snapshot"
#define FD_NAME "pagevault-nothing"

enum
{
  POLL_US = 2000,
  BY_ITSELF_US = 500 * 1000,        /* QEMU lifts its protection within this time, or never */
  PATIENCE_US = 20 * 1000 * 1000,
  STEP = 1 << 20,                   /* bytes */
};

/* While memory is protected, setting the capability once more is refused, for it tries to protect it: so it tells. */
static gboolean
is_unprotected (PvGuest *guest, gint64 within_us, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + within_us;

  for (;;)
    {
      g_autoptr(GError) local = NULL;

      if (pv_guest_set_capability (guest, CAPABILITY, TRUE, &local))
        return TRUE;
      if (g_get_monotonic_time () > deadline || !pv_connection_alive (pv_guest_connection (guest)))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      g_usleep (POLL_US);
    }
}

static gpointer
read_all (gpointer data)
{
  int fd = GPOINTER_TO_INT (data);
  g_autofree char *bytes = g_malloc (STEP);

  while (TEMP_FAILURE_RETRY (read (fd, bytes, STEP)) > 0)
    continue;
  return NULL;
}

static gboolean
start_migration (PvGuest *guest, int fd, GError **error)
{
  g_autoptr(JsonObject) name = json_object_new ();
  g_autoptr(JsonObject) uri = json_object_new ();
  g_autoptr(JsonNode) given = NULL;
  g_autoptr(JsonNode) started = NULL;

  json_object_set_string_member (name, "fdname", FD_NAME);
  given = pv_guest_qmp_with_fds (guest, "getfd", name, &fd, 1, error);
  if (given == NULL)
    return FALSE;
  json_object_set_string_member (uri, "uri", "fd:" FD_NAME);
  started = pv_guest_qmp (guest, "migrate", uri, error);
  return started != NULL;
}

/* A background snapshot into nothing. */
static gboolean
run_to_the_end (PvGuest *guest, const char *was, GError **error)
{
  int ends[2];
  g_auto(PvFd) reading = PV_FD_NONE;
  g_auto(PvFd) writing = PV_FD_NONE;
  GThread *reader;
  gboolean ok;

  if (pipe2 (ends, O_CLOEXEC) < 0)
    return pv_throw_errno (error, errno, "cannot make a pipe");
  reading = ends[0];
  writing = ends[1];
  if (!start_migration (guest, writing, error))
    return FALSE;
  pv_fd_clear (&writing);
  reader = g_thread_new ("capture-nothing", read_all, GINT_TO_POINTER (reading));
  ok = pv_undo_migration (guest, TRUE, was, error) && pv_undo_run_state (guest, was, error);
  g_thread_join (reader);
  return ok;
}

static void
write_lift (PvJournal *journal)
{
  g_autoptr(GError) error = NULL;

  if (!pv_journal_add (journal, FALSE, &error, PV_STEP_LIFT, NULL))
    g_debug ("%s", error->message);
}

gboolean
pv_write_protection_end (PvGuest *guest, PvJournal *journal, gboolean lifted, const char *was, GError **error)
{
  g_autofree char *status = NULL;

  if (!lifted && is_unprotected (guest, BY_ITSELF_US, NULL))
    return TRUE;
  if (!lifted)
    write_lift (journal);
  if (!pv_fault ("capture.unprotect", error) || !pv_unprotect_memory (pv_guest_uuid (guest), error)
      || !is_unprotected (guest, PATIENCE_US, error) || !pv_fault ("capture.unprotect.done", error))
    return FALSE;
  if (was == NULL)
    {
      status = pv_guest_qemu_status (guest, error);
      if (status == NULL)
        return FALSE;
      was = g_str_equal (status, "running") ? "running" : "paused";
    }
  return run_to_the_end (guest, was, error);
}

/* --- waking ------------------------------------------------------------------------------------------------------- */

typedef struct
{
  PvGuest *guest;     /* (not owned) */
  PvJournal *journal; /* (not owned) */
  gboolean lifted;    /* written down */
  gboolean over;      /* under lock */
  GMutex lock;
  GCond changed;
} Wake;

static void
lift (Wake *self)
{
  g_autoptr(GError) error = NULL;

  if (!pv_unprotect_needed (pv_guest_uuid (self->guest)))
    return;
  if (!self->lifted)
    write_lift (self->journal);
  self->lifted = TRUE;
  if (!pv_unprotect_memory (pv_guest_uuid (self->guest), &error))
    g_debug ("%s", error->message);
}

static gpointer
lift_again_and_again (gpointer data)
{
  Wake *self = data;
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  while (!self->over)
    if (!g_cond_wait_until (&self->changed, &self->lock, g_get_monotonic_time () + BY_ITSELF_US))
      lift (self);
  return NULL;
}

static void
wait_for_rest (PvGuest *guest)
{
  static const char *const resting[] = { "none", "completed", "failed", "cancelled", NULL };
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;

  for (;;)
    {
      g_auto(PvMigrationInfo) info = { 0 };

      if (!pv_guest_query_migrate (guest, &info, NULL) || g_strv_contains (resting, info.status)
          || g_get_monotonic_time () > deadline)
        return;
      g_usleep (POLL_US);
    }
}

/* While QEMU is still protecting, it may go on when we have lifted; once the migration is at rest it is for good. */
void
pv_write_protection_wake (PvGuest *guest, PvJournal *journal)
{
  Wake wake = { .guest = guest, .journal = journal };
  GThread *thread;

  g_mutex_init (&wake.lock);
  g_cond_init (&wake.changed);
  thread = g_thread_new ("capture-wake", lift_again_and_again, &wake);
  wait_for_rest (guest);
  g_mutex_lock (&wake.lock);
  wake.over = TRUE;
  g_cond_signal (&wake.changed);
  g_mutex_unlock (&wake.lock);
  g_thread_join (thread);
  lift (&wake);
  g_mutex_clear (&wake.lock);
  g_cond_clear (&wake.changed);
}
