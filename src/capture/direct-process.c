/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/direct-process.h"

#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memsnap/process-memory.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/guest-process.h"

int
pv_direct_process_open (PvGuest *guest, pid_t *pid, GError **error)
{
  const char *uuid = pv_guest_uuid (guest);
  g_auto(PvFd) pidfd = PV_FD_NONE;

  *pid = pv_guest_process_find (uuid);
  pidfd = *pid != 0 ? (int) syscall (SYS_pidfd_open, *pid, 0) : PV_FD_NONE;
  /* the number could have passed to another process in between */
  if (pidfd >= 0 && pv_guest_process_find (uuid) == *pid)
    return pv_fd_steal (&pidfd);
  pv_throw (error, PV_ERROR_UNSUPPORTED, "guest %s: its QEMU process is not found on this host",
            pv_guest_name (guest));
  return PV_FD_NONE;
}

/* Seccomp_filters of /proc/PID/status; -1: not told. */
static int
n_filters (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int) pid);
  g_autofree char *text = NULL;
  const char *line;
  int n = -1;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return -1;
  line = strstr (text, "\nSeccomp_filters:");
  return line != NULL && sscanf (line, "\nSeccomp_filters: %d", &n) == 1 ? n : -1;
}

/* The filter that QEMU gives itself (-sandbox) forbids what it lists and nothing else: userfaultfd and close are not
 * among that. A filter besides that and those that we live under, too, is somebody else's, and unknown. */
static gboolean
is_filter_known (pid_t pid)
{
  g_autoptr(GPtrArray) arguments = pv_guest_process_arguments (pid);
  int theirs = n_filters (pid), ours = n_filters (getpid ());

  for (guint i = 1; arguments != NULL && i < arguments->len; i++)
    if (g_str_equal (arguments->pdata[i - 1], "-sandbox") && g_str_has_prefix (arguments->pdata[i], "on"))
      return theirs >= 0 && ours >= 0 && theirs <= ours + 1;
  return FALSE;
}

int
pv_direct_process_userfaultfd (PvGuest *guest, pid_t pid, int pidfd, GError **error)
{
  PvProcessMemoryFlags flags = PV_PROCESS_MEMORY_TRACK;
  g_auto(PvFd) userfaultfd = PV_FD_NONE;

  if (is_filter_known (pid))
    flags |= PV_PROCESS_MEMORY_SECCOMP_OK;
  userfaultfd = pv_process_memory_userfaultfd (pidfd, flags, error);
  if (userfaultfd < 0)
    g_prefix_error (error, "guest %s: its QEMU: ", pv_guest_name (guest));
  return pv_fd_steal (&userfaultfd);
}
