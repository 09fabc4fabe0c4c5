/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/unprotect.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"
#include "virt/guest-process.h"

#define USERFAULTFD_LINK "anon_inode:[userfaultfd]"

/* One range of /proc/PID/smaps that a userfaultfd write-protects. */
typedef struct
{
  guint64 start, end;
} Range;

static GArray *
protected_ranges (pid_t pid, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/smaps", (int) pid);
  g_autoptr(GArray) ranges = g_array_new (FALSE, FALSE, sizeof (Range));
  g_autofree char *text = NULL;
  g_auto(GStrv) lines = NULL;
  Range range = { 0, 0 };

  if (!g_file_get_contents (path, &text, NULL, error))
    return NULL;
  lines = g_strsplit (text, "\n", -1);
  for (guint i = 0; lines[i] != NULL; i++)
    {
      guint64 start, end;

      if (g_str_has_prefix (lines[i], "VmFlags:"))
        {
          if (strstr (lines[i], " uw") != NULL)
            g_array_append_val (ranges, range);
        }
      else if (sscanf (lines[i], "%" G_GINT64_MODIFIER "x-%" G_GINT64_MODIFIER "x ", &start, &end) == 2)
        range = (Range){ start, end };
    }
  return g_steal_pointer (&ranges);
}

/* Lifting the protection wakes who waits for it; unregistering alone would not. FALSE when @userfaultfd is not the
 * one that the ranges are registered with. */
static gboolean
unregister_all (int userfaultfd, GArray *ranges)
{
  gboolean all = TRUE;

  for (guint i = 0; i < ranges->len; i++)
    {
      const Range *range = &g_array_index (ranges, Range, i);
      struct uffdio_range request = { .start = range->start, .len = range->end - range->start };
      struct uffdio_writeprotect lift = { .range = request };

      all &= ioctl (userfaultfd, UFFDIO_WRITEPROTECT, &lift) == 0;
      all &= ioctl (userfaultfd, UFFDIO_UNREGISTER, &request) == 0;
      all &= ioctl (userfaultfd, UFFDIO_WAKE, &request) == 0;
    }
  return all;
}

/* Tries each userfaultfd of the process. */
static gboolean
unregister_from (pid_t pid, int pidfd, GArray *ranges, GError **error)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", (int) pid);
  g_autoptr(GDir) dir = g_dir_open (path, 0, error);
  const char *name;
  int failure = ENOENT;

  if (dir == NULL)
    return FALSE;
  while ((name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *link = g_build_filename (path, name, NULL);
      g_autofree char *target = g_file_read_link (link, NULL);
      g_auto(PvFd) fd = PV_FD_NONE;

      if (g_strcmp0 (target, USERFAULTFD_LINK) != 0)
        continue;
      fd = (int) syscall (SYS_pidfd_getfd, pidfd, (int) g_ascii_strtoll (name, NULL, 10), 0);
      if (fd >= 0 && unregister_all (fd, ranges))
        return TRUE;
      failure = errno;
    }
  return pv_throw_errno (error, failure, "cannot lift the write-protection of QEMU's memory (process %d)", (int) pid);
}

gboolean
pv_unprotect_needed (const char *uuid)
{
  pid_t pid = pv_guest_process_find (uuid);
  g_autoptr(GArray) ranges = pid != 0 ? protected_ranges (pid, NULL) : NULL;

  return ranges != NULL && ranges->len > 0;
}

gboolean
pv_unprotect_memory (const char *uuid, GError **error)
{
  pid_t pid = pv_guest_process_find (uuid);
  g_autoptr(GArray) ranges = NULL;
  g_auto(PvFd) pidfd = PV_FD_NONE;

  if (pid == 0)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "there is no QEMU process of domain %s here", uuid);
  pidfd = (int) syscall (SYS_pidfd_open, pid, 0);
  if (pidfd < 0)
    return pv_throw_errno (error, errno, "cannot get hold of QEMU's process %d", (int) pid);
  ranges = protected_ranges (pid, error);
  if (ranges == NULL)
    return FALSE;
  return ranges->len == 0 || unregister_from (pid, pidfd, ranges, error);
}
