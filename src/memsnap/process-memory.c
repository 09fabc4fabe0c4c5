/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/process-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "memsnap/remote-call.h"
#include "memsnap/userfault.h"
#include "util/error.h"
#include "util/file.h"

int
pv_process_memory_get_pid (int pidfd, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/self/fdinfo/%d", pidfd);
  g_autofree char *text = NULL;
  const char *line;
  int pid = -1;

  if (!g_file_get_contents (path, &text, NULL, error))
    return -1;
  line = strstr (text, "\nPid:");
  if (line == NULL)
    pv_throw (error, PV_ERROR_INVALID, "descriptor %d is not one of a process", pidfd);
  else if (sscanf (line, "\nPid: %d", &pid) != 1 || pid <= 0)
    pv_throw (error, PV_ERROR_NOT_FOUND, "the process has ended");
  return pid > 0 ? pid : -1;
}

/* What /proc/PID/status tells against it. */
static gboolean
check_target (int pid, PvProcessMemoryFlags flags, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", pid);
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return pv_throw (error, PV_ERROR_NOT_FOUND, "process %d has ended", pid);
  line = strstr (text, "\nSeccomp:\t");
  if (line != NULL && line[10] != '0' && (flags & PV_PROCESS_MEMORY_SECCOMP_OK) == 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "process %d has a seccomp filter, which might end it for an "
                     "unexpected system call", pid);
  line = strstr (text, "\nTracerPid:\t");
  if (line != NULL && line[12] != '0')
    return pv_throw (error, PV_ERROR_BUSY, "process %d is being traced by another process", pid);
  line = strstr (text, "\nx86_Thread_features:");
  if (line != NULL && strstr (line, "shstk") != NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "process %d has a shadow stack, on which no frame can be made", pid);
  return TRUE;
}

int
pv_process_memory_userfaultfd (int pidfd, PvProcessMemoryFlags flags, GError **error)
{
  gboolean track = (flags & PV_PROCESS_MEMORY_TRACK) != 0;
  struct uffdio_api api = { .api = UFFD_API };
  g_auto(PvFd) fd = PV_FD_NONE;
  int pid = pv_process_memory_get_pid (pidfd, error);

  if (track)
    api.features = UFFD_FEATURE_PAGEFAULT_FLAG_WP | PV_UFFD_WP_HUGETLBFS_SHMEM | PV_UFFD_WP_UNPOPULATED
                   | PV_UFFD_WP_ASYNC;
  if (pid < 0)
    return -1;
  if (pid == getpid ())
    {
      pv_throw (error, PV_ERROR_INVALID, "this is for other processes");
      return -1;
    }
  if ((pv_userfault_features () & api.features) != api.features)
    {
      pv_throw (error, PV_ERROR_UNSUPPORTED, "this kernel's userfaultfd cannot track writes: Linux 6.7 or newer is "
                "needed");
      return -1;
    }
  if (!check_target (pid, flags, error))
    return -1;
  fd = pv_remote_call (pid, pidfd, SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | (track ? UFFD_USER_MODE_ONLY : 0), error);
  if (fd < 0)
    return -1;
  if (ioctl (fd, UFFDIO_API, &api) < 0)
    {
      pv_throw_errno (error, errno, "the userfaultfd of process %d cannot be used", pid);
      return -1;
    }
  return pv_fd_steal (&fd);
}

gboolean
pv_process_memory_read (int pid, guint64 address, gpointer buffer, gsize size, GError **error)
{
  gsize done = 0;

  while (done < size)
    {
      struct iovec local = { (guint8 *) buffer + done, size - done };
      struct iovec remote = { (gpointer) (gsize) (address + done), size - done };
      ssize_t n = process_vm_readv (pid, &local, 1, &remote, 1, 0);

      if (n <= 0)
        return pv_throw_errno (error, n == 0 ? EIO : errno, "cannot read the memory of process %d at 0x%"
                               G_GINT64_MODIFIER "x", pid, address + done);
      done += (gsize) n;
    }
  return TRUE;
}
