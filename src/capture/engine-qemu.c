/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The qemu engine: background-snapshot. The instant is the migrate command on the paused guest; QEMU write-protects
 * all memory, sends a page before the guest may change it, and the device state, which it took at that instant, at
 * the end.
 *
 * The guest may run again when all memory is protected ("armed"). QEMU 7.2 then lets it run by itself, also one that
 * somebody had paused, which is why this engine does not take those; QEMU 10 leaves it as it was. Armed shows by the
 * RESUME event or by the first page in the stream, whichever comes first: a page is sent only after all are protected.
 *
 * Once begun, a background snapshot is read to its end, also when nobody wants it any more: QEMU 7.2 lifts the
 * write-protection only there. Cancelled, or with its reader gone, it leaves memory protected by a userfaultfd that
 * nobody reads, and the guest hangs on it. So a failing capture throws the rest away (PvDrain), a killed one leaves
 * that to the guardian, which has a descriptor of the same pipe; for the death of both see
 * write-protection.h.
 */
#include "config.h"

#include "capture/engine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "util/error.h"

enum
{
  ARM_MS = 30 * 1000,    /* 25 ms/GiB of small pages: plenty for a terabyte */
  SETTLE_MS = 30 * 1000,
  PIPE_SIZE_FIRST = 16 << 20, /* bytes: tried, then half of it … */
  PIPE_SIZE_LAST = 128 << 10,
};

/* The larger the pipe, the less often QEMU waits for us. More than /proc/sys/fs/pipe-max-size is for root only. */
static void
enlarge_pipe (int fd)
{
  for (int size = PIPE_SIZE_FIRST; size >= PIPE_SIZE_LAST; size /= 2)
    if (fcntl (fd, F_SETPIPE_SZ, size) >= 0)
      return;
}

/* What QEMU says of the capability, in words that say what to do. */
static gboolean
translate (PvCapture *capture, GError *local, GError **error)
{
  static const struct
  {
    const char *said, *meant;
  } table[] = {
    { "not supported by host kernel", "the kernel does not let QEMU use userfaultfd: set sysctl "
                                      "vm.unprivileged_userfaultfd=1, or use Linux 5.7 or newer" },
    { "not compatible with guest memory configuration",
      "its memory is shared or on huge pages, which needs Linux 5.19 or newer" },
    { "Background-snapshot is not compatible with", "another migration capability is set that excludes it" },
  };

  for (guint i = 0; i < G_N_ELEMENTS (table); i++)
    if (strstr (local->message, table[i].said) != NULL)
      {
        pv_throw (error, PV_ERROR_UNSUPPORTED, "guest %s: %s (%s)", pv_guest_name (capture->guest), table[i].meant,
                  local->message);
        g_error_free (local);
        return FALSE;
      }
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
qemu_prepare (PvCapture *capture, GError **error)
{
  int ends[2];
  g_auto(PvFd) reading = PV_FD_NONE;
  g_auto(PvFd) writing = PV_FD_NONE;
  GError *local = NULL;

  if (!g_str_equal (capture->was, "running"))
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "guest %s is paused, and a background snapshot would let it run for a moment",
                     pv_guest_name (capture->guest));
  pv_tracker_drop (pv_guest_uuid (capture->guest)); /* memory can be write-protected by one at a time */
  if (!pv_capture_set_capability (capture, "background-snapshot", &local))
    return translate (capture, local, error);
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return pv_throw_errno (error, errno, "cannot make a pipe");
  reading = ends[0];
  writing = ends[1];
  enlarge_pipe (reading);
  if (!pv_guardian_give_stream (capture->guardian, reading, error) || !pv_capture_give_fd (capture, writing, error))
    return FALSE;
  pv_capture_start_drain (capture, pv_fd_steal (&reading), TRUE);
  return TRUE;
}

/* Why the migration is over before it should be; always FALSE. */
static gboolean
throw_failed (PvCapture *capture, const PvMigrationInfo *info, GError **error)
{
  gboolean done;

  if (!pv_drain_wait (capture->drain, 0, &done, error))
    return FALSE;
  return pv_throw (error, PV_ERROR_FAILED, "guest %s: QEMU ended the snapshot of its memory (%s): %s",
                   pv_guest_name (capture->guest), info->status,
                   info->error_desc != NULL ? info->error_desc : "see the guest's log for the reason");
}

static gboolean
qemu_arm (PvCapture *capture, GError **error)
{
  guint seen = pv_guest_events_count (capture->events, "RESUME");
  gint64 deadline = g_get_monotonic_time () + ARM_MS * 1000;

  if (!pv_capture_migrate (capture, "background", error))
    return FALSE;
  while (!pv_guest_events_wait (capture->events, "RESUME", seen, 1, NULL) && !pv_ram_ingest_started (capture->ram))
    {
      g_auto(PvMigrationInfo) info = { 0 };

      if (!pv_capture_wait_a_little (capture, 0, error))
        return FALSE;
      if (pv_drain_at_end (capture->drain))
        return pv_guest_query_migrate (capture->guest, &info, error) && throw_failed (capture, &info, error);
      if (g_get_monotonic_time () > deadline)
        return pv_throw (error, PV_ERROR_FAILED, "guest %s: QEMU does not begin with the snapshot of its memory",
                         pv_guest_name (capture->guest));
    }
  return pv_capture_resume (capture, error);
}

static gboolean
qemu_settle (PvCapture *capture, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + SETTLE_MS * 1000;

  for (;;)
    {
      g_auto(PvMigrationInfo) info = { 0 };

      if (!pv_guest_query_migrate (capture->guest, &info, error))
        return FALSE;
      if (g_str_equal (info.status, "completed"))
        break;
      if (!g_str_equal (info.status, "active") || g_get_monotonic_time () > deadline)
        return throw_failed (capture, &info, error);
      if (!pv_capture_wait_a_little (capture, 2, error))
        return FALSE;
    }
  return pv_journal_over (capture->journal, PV_STEP_MIGRATE, error);
}

const PvEngineOps pv_engine_qemu = {
  .name = "qemu",
  .prepare = qemu_prepare,
  .freeze = pv_capture_pause,
  .arm = qemu_arm,
  .settle = qemu_settle,
};
