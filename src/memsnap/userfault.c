/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/userfault.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/ioctl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#ifndef USERFAULTFD_IOC_NEW
#define USERFAULTFD_IOC_NEW _IO (0xAA, 0x00)
#endif

/* PAGEMAP_SCAN of Linux 6.7, laid out as in its <linux/fs.h>. */
struct pm_scan_request
{
  guint64 size, flags, start, end, walk_end, vec, vec_len, max_pages;
  guint64 category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN_PAGEMAP _IOWR ('f', 16, struct pm_scan_request)
enum
{
  SCAN_WP_MATCHING = 1,
  SCAN_CHECK_WPASYNC = 2,
};

static int
open_syscall (gboolean user_mode_only)
{
  int fd = (int) syscall (SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | (user_mode_only ? UFFD_USER_MODE_ONLY : 0));
  g_auto(PvFd) device = PV_FD_NONE;

  if (fd >= 0 || errno != EPERM || user_mode_only)
    return fd;
  device = open ("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
  if (device < 0)
    errno = EPERM;
  else
    fd = ioctl (device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
  return fd;
}

guint64
pv_userfault_features (void)
{
  g_auto(PvFd) fd = open_syscall (TRUE);
  struct uffdio_api api = { .api = UFFD_API };

  return fd < 0 || ioctl (fd, UFFDIO_API, &api) < 0 ? 0 : api.features;
}

int
pv_userfault_open (guint64 features, gboolean user_mode_only, GError **error)
{
  g_auto(PvFd) fd = open_syscall (user_mode_only);
  struct uffdio_api api = { .api = UFFD_API, .features = features };

  if (fd < 0 && errno == EPERM && !user_mode_only)
    pv_throw (error, PV_ERROR_DENIED, "this process may not have a userfaultfd that sees system calls: allow "
              "/dev/userfaultfd to its user, or set sysctl vm.unprivileged_userfaultfd=1");
  else if (fd < 0)
    pv_throw_errno (error, errno, "cannot have a userfaultfd (a container's seccomp profile may forbid it)");
  else if (ioctl (fd, UFFDIO_API, &api) < 0)
    pv_throw (error, PV_ERROR_UNSUPPORTED, "this kernel's userfaultfd lacks features 0x%" G_GINT64_MODIFIER "x: a "
              "newer one is needed", features & ~pv_userfault_features ());
  else
    return pv_fd_steal (&fd);
  return -1;
}

int
pv_userfault_register (int fd, guint64 start, guint64 length, guint64 mode)
{
  struct uffdio_register request = { .range = { .start = start, .len = length }, .mode = mode };

  return ioctl (fd, UFFDIO_REGISTER, &request) < 0 ? errno : 0;
}

int
pv_userfault_unregister (int fd, guint64 start, guint64 length)
{
  struct uffdio_range range = { .start = start, .len = length };

  return ioctl (fd, UFFDIO_UNREGISTER, &range) < 0 ? errno : 0;
}

int
pv_userfault_protect (int fd, guint64 start, guint64 length, gboolean on)
{
  struct uffdio_writeprotect request = { .range = { .start = start, .len = length },
                                         .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0 };

  return ioctl (fd, UFFDIO_WRITEPROTECT, &request) < 0 ? errno : 0;
}

int
pv_userfault_copy (int fd, guint64 to, guint64 from, guint64 length, guint64 page_size)
{
  guint64 done = 0;

  while (done < length)
    {
      struct uffdio_copy request = { .dst = to + done, .src = from + done, .len = length - done };

      if (ioctl (fd, UFFDIO_COPY, &request) == 0)
        return 0;
      if (request.copy > 0)
        done += (guint64) request.copy;
      else if (errno == EEXIST)
        {
          pv_userfault_wake (fd, to + done, page_size);
          done += page_size;
        }
      else
        return errno;
    }
  return 0;
}

int
pv_userfault_zero (int fd, guint64 start, guint64 length, guint64 page_size)
{
  guint64 done = 0;

  while (done < length)
    {
      struct uffdio_zeropage request = { .range = { .start = start + done, .len = length - done } };

      if (ioctl (fd, UFFDIO_ZEROPAGE, &request) == 0)
        return 0;
      if (request.zeropage > 0)
        done += (guint64) request.zeropage;
      else if (errno == EEXIST)
        {
          pv_userfault_wake (fd, start + done, page_size);
          done += page_size;
        }
      else
        return errno;
    }
  return 0;
}

int
pv_userfault_wake (int fd, guint64 start, guint64 length)
{
  struct uffdio_range range = { .start = start, .len = length };

  return ioctl (fd, UFFDIO_WAKE, &range) < 0 ? errno : 0;
}

static int
scan_pagemap (int pagemap, struct pm_scan_request *request, guint64 *start, guint64 end, PvPageRun *runs, guint n_runs,
              guint *found)
{
  int n;

  request->size = sizeof *request;
  request->start = *start;
  request->end = end;
  request->vec = (guint64) (gsize) runs;
  request->vec_len = n_runs;
  n = ioctl (pagemap, SCAN_PAGEMAP, request);
  if (n < 0)
    return errno;
  *found = (guint) n;
  *start = request->walk_end;
  return 0;
}

int
pv_pagemap_scan_written (int pagemap, guint64 categories, guint64 *start, guint64 end, PvPageRun *runs, guint n_runs,
                         guint *found)
{
  struct pm_scan_request request = {
    .flags = SCAN_WP_MATCHING | SCAN_CHECK_WPASYNC,
    .category_mask = PV_PAGE_IS_WRITTEN,
    .category_anyof_mask = categories,
  };

  return scan_pagemap (pagemap, &request, start, end, runs, n_runs, found);
}

int
pv_pagemap_scan_without (int pagemap, guint64 categories, guint64 *start, guint64 end, PvPageRun *runs, guint n_runs,
                         guint *found)
{
  struct pm_scan_request request = { .category_inverted = categories, .category_mask = categories };

  return scan_pagemap (pagemap, &request, start, end, runs, n_runs, found);
}

int
pv_pagemap_scan (int pagemap, guint64 all, guint64 any, guint64 *start, guint64 end, PvPageRun *runs, guint n_runs,
                 guint *found)
{
  struct pm_scan_request request = { .category_mask = all, .category_anyof_mask = any };

  return scan_pagemap (pagemap, &request, start, end, runs, n_runs, found);
}
