/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The live and the paused engine: an ordinary migration into a socket, to a destination that says "no" at the very end.
 *
 *   migrate -> [rounds] -> guest stopped, "pre-switchover" -> (disks are frozen here) -> migrate-continue
 *           -> rest of memory, device state -> "device": QEMU waits for the destination's verdict
 *           -> we answer: failed -> QEMU takes its disks back and goes on as before
 *
 * A migration that succeeds would leave the guest stopped, in state "postmigrate", its disks given away. With the
 * return path open the destination has the last word, and one that says that it failed is what every QEMU has to be
 * ready for: it activates the disks again and lets the guest run if it ran. The same happens by itself when our end
 * of the socket closes because we were killed. That the stream was whole does not depend on it: the decoder has seen
 * its end.
 *
 * live: the guest runs during the rounds; it is stopped when little is left. One that changes its memory faster than
 * it can be sent is paused after LIVE_ROUNDS. paused: it is paused before the first.
 */
#include "config.h"

#include "capture/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "util/cursor.h"
#include "util/error.h"
#include "util/fault.h"

enum
{
  LIVE_ROUNDS = 12,
  LIVE_DOWNTIME_MS = 50,     /* what may be left when QEMU stops the guest, in its own estimate */
  STATUS_MS = 10,            /* between two looks, when no event comes */
  VERDICT_MS = 60 * 1000,
  SOCKET_BUFFER = 4 << 20,   /* bytes */
  RETURN_PATH_SHUT = 1,      /* message type */
};

static const gint64 UNLIMITED = G_GINT64_CONSTANT (1) << 50; /* bytes per second */

/* Best effort: with less room QEMU only waits for us sooner. */
static void
enlarge_socket (int fd)
{
  g_autoptr(GError) small = NULL;
  int size = pv_fault ("capture.socket", &small) ? SOCKET_BUFFER : 0; /* 0: the least that the kernel allows */

  if (setsockopt (fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) < 0)
    setsockopt (fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
}

static gboolean
precopy_prepare (PvCapture *capture, GError **error)
{
  int ends[2];
  g_auto(PvFd) ours = PV_FD_NONE;
  g_auto(PvFd) theirs = PV_FD_NONE;

  if (!pv_capture_set_capability (capture, "return-path", error)
      || !pv_capture_set_capability (capture, "pause-before-switchover", error)
      || !pv_capture_set_parameter (capture, "max-bandwidth", UNLIMITED, error)
      || !pv_capture_set_parameter (capture, "downtime-limit", LIVE_DOWNTIME_MS, error))
    return FALSE;
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    return pv_throw_errno (error, errno, "cannot make a socket");
  ours = ends[0];
  theirs = ends[1];
  enlarge_socket (theirs);
  if (!pv_capture_give_fd (capture, theirs, error))
    return FALSE;
  capture->channel = fcntl (ours, F_DUPFD_CLOEXEC, 3);
  if (capture->channel < 0)
    return pv_throw_errno (error, errno, "cannot keep the socket");
  if (!pv_guardian_give_channel (capture->guardian, capture->channel, error))
    return FALSE;
  pv_capture_start_drain (capture, pv_fd_steal (&ours), FALSE);
  return TRUE;
}

/* A guest that cannot be caught up with is paused: what is left then is sent in one more round. */
static gboolean
help_to_converge (PvCapture *capture, gboolean *helped, GError **error)
{
  if (*helped || pv_guest_events_count (capture->events, "MIGRATION_PASS") < LIVE_ROUNDS)
    return TRUE;
  *helped = TRUE;
  return pv_fault ("capture.live.pause", error) && pv_guest_suspend (capture->guest, error);
}

static gboolean
throw_ended (PvCapture *capture, const PvMigrationInfo *info, GError **error)
{
  gboolean done;

  /* QEMU has no more to tell than that we closed our end */
  if (!pv_drain_wait (capture->drain, 0, &done, error))
    return FALSE;
  return pv_throw (error, PV_ERROR_FAILED, "guest %s: QEMU ended the copying of its memory (%s): %s",
                   pv_guest_name (capture->guest), info->status,
                   info->error_desc != NULL ? info->error_desc : "see the guest's log for the reason");
}

/* Waits until QEMU is in state @wanted. @converge: the guest may run meanwhile. */
static gboolean
wait_for_status (PvCapture *capture, const char *wanted, gboolean converge, GError **error)
{
  static const char *const over[] = { "completed", "failed", "cancelling", "cancelled", "none", NULL };
  gboolean helped = !converge;

  for (;;)
    {
      guint seen = pv_guest_events_count (capture->events, "MIGRATION");
      g_auto(PvMigrationInfo) info = { 0 };

      if (!pv_capture_wait_a_little (capture, 0, error) || !pv_guest_query_migrate (capture->guest, &info, error))
        return FALSE;
      if (g_str_equal (info.status, wanted))
        return TRUE;
      if (g_strv_contains (over, info.status))
        return throw_ended (capture, &info, error);
      if (!help_to_converge (capture, &helped, error))
        return FALSE;
      pv_guest_events_wait (capture->events, "MIGRATION", seen, STATUS_MS, NULL);
    }
}

/* The destination's last word: it failed. */
static gboolean
refuse (PvCapture *capture, GError **error)
{
  g_autoptr(GByteArray) message = g_byte_array_new ();

  pv_append_be16 (message, RETURN_PATH_SHUT);
  pv_append_be16 (message, 4);
  pv_append_be32 (message, 1);
  if (send (capture->channel, message->data, message->len, MSG_NOSIGNAL) == (gssize) message->len)
    return TRUE;
  return pv_throw_errno (error, errno, "cannot answer QEMU");
}

/* Waits until QEMU has taken everything back. The stream ends with it. */
static gboolean
wait_for_end (PvCapture *capture, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + VERDICT_MS * 1000;

  for (;;)
    {
      guint seen = pv_guest_events_count (capture->events, "MIGRATION");
      g_auto(PvMigrationInfo) info = { 0 };

      if (!pv_guest_query_migrate (capture->guest, &info, error))
        return FALSE;
      if (g_str_equal (info.status, "failed"))
        return TRUE;
      if (!g_str_equal (info.status, "device") || g_get_monotonic_time () > deadline)
        return throw_ended (capture, &info, error);
      pv_guest_events_wait (capture->events, "MIGRATION", seen, STATUS_MS, NULL);
    }
}

/* In "pre-switchover" QEMU sends nothing: waits until the reader has all that it sent before. @received: (out): bytes.
 */
static gboolean
wait_for_silence (PvCapture *capture, guint64 *received, GError **error)
{
  int unread;

  do
    {
      *received = pv_drain_received (capture->drain);
      if (!pv_capture_wait_a_little (capture, 1, error))
        return FALSE;
      if (ioctl (capture->channel, FIONREAD, &unread) < 0)
        return pv_throw_errno (error, errno, "cannot look into the socket");
    }
  while (unread > 0 || pv_drain_received (capture->drain) != *received);
  return TRUE;
}

/* QEMU says "device" a moment before it takes its lock and sends the rest, and an answer of ours that overtakes that
 * would cut the stream. Once something of the rest has come, the lock is taken, and given back only when all is sent:
 * the next answer of the monitor, which needs the lock, comes after that. */
static gboolean
wait_for_rest (PvCapture *capture, guint64 received, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + VERDICT_MS * 1000;

  while (pv_drain_received (capture->drain) == received)
    {
      if (!pv_capture_wait_a_little (capture, 1, error))
        return FALSE;
      if (pv_drain_at_end (capture->drain) || g_get_monotonic_time () > deadline)
        break;
    }
  return wait_for_status (capture, "device", FALSE, error);
}

/* From "pre-switchover" on. */
static gboolean
switch_over (PvCapture *capture, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  guint64 received;

  json_object_set_string_member (arguments, "state", "pre-switchover");
  if (!pv_capture_step (capture, "capture.switchover", error) || !wait_for_silence (capture, &received, error))
    return FALSE;
  reply = pv_guest_qmp (capture->guest, "migrate-continue", arguments, error);
  return reply != NULL && pv_fault ("capture.switchover.continued", error)
         && wait_for_status (capture, "device", FALSE, error) && wait_for_rest (capture, received, error)
         && pv_fault ("capture.switchover.sent", error) && refuse (capture, error)
         && wait_for_end (capture, error) && pv_fault ("capture.switchover.refused", error)
         && pv_journal_over (capture->journal, PV_STEP_MIGRATE, error) && pv_capture_resume (capture, error);
}

static gboolean
live_freeze (PvCapture *capture, GError **error)
{
  return pv_journal_add (capture->journal, FALSE, error, PV_STEP_PAUSE, NULL)
         && pv_capture_migrate (capture, "precopy", error)
         && wait_for_status (capture, "pre-switchover", TRUE, error);
}

static gboolean
paused_arm (PvCapture *capture, GError **error)
{
  return pv_capture_migrate (capture, "precopy", error) && wait_for_status (capture, "pre-switchover", FALSE, error)
         && switch_over (capture, error);
}

static gboolean
precopy_settle (PvCapture *capture, GError **error)
{
  return TRUE;
}

const PvEngineOps pv_engine_live = {
  .name = "live",
  .prepare = precopy_prepare,
  .freeze = live_freeze,
  .arm = switch_over,
  .settle = precopy_settle,
};

const PvEngineOps pv_engine_paused = {
  .name = "paused",
  .prepare = precopy_prepare,
  .freeze = pv_capture_pause,
  .arm = paused_arm,
  .settle = precopy_settle,
};
