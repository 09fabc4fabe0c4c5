/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The kernel, its userfaultfd, and the programs that pagevault calls. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "util/file.h"

#define UNPRIVILEGED_KNOB "/proc/sys/vm/unprivileged_userfaultfd"

static void
look_at_kernel (PvDoctor *self)
{
  struct utsname name = { .release = "" };
  guint major = 0, minor = 0;

  uname (&name);
  if (sscanf (name.release, "%u.%u", &major, &minor) != 2)
    pv_doctor_add (self, "kernel", PV_FINDING_NOTE, "use Linux 5.7 or newer", "cannot read the version '%s'",
                   name.release);
  else if (major * 1000 + minor < 5007)
    pv_doctor_add (self, "kernel", PV_FINDING_BAD,
                   "upgrade to Linux 5.7 or newer, or take checkpoints with --engine live or paused",
                   "Linux %s cannot write-protect memory for the qemu engine", name.release);
  else if (major * 1000 + minor < 5019)
    pv_doctor_add (self, "kernel", PV_FINDING_NOTE,
                   "upgrade to Linux 5.19 or newer if guests use shared memory or huge pages",
                   "Linux %s write-protects ordinary memory only", name.release);
  else
    pv_doctor_add (self, "kernel", PV_FINDING_OK, NULL, "Linux %s", name.release);
}

/* Whether this process gets a userfaultfd, and with write protection. */
static void
look_at_userfaultfd (PvDoctor *self)
{
  g_auto(PvFd) fd = (int) syscall (SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
  struct uffdio_api api = { .api = UFFD_API, .features = UFFD_FEATURE_PAGEFAULT_FLAG_WP };

  if (fd < 0)
    pv_doctor_add (self, "userfaultfd", PV_FINDING_BAD,
                   errno == ENOSYS ? "use a kernel with CONFIG_USERFAULTFD, or --engine live or paused"
                                   : "allow the userfaultfd system call (a container's seccomp profile may forbid it)",
                   "the kernel refuses it: %s", g_strerror (errno));
  else if (ioctl (fd, UFFDIO_API, &api) < 0)
    pv_doctor_add (self, "userfaultfd", PV_FINDING_BAD, "use --engine live or paused",
                   "the kernel's userfaultfd cannot write-protect");
  else
    pv_doctor_add (self, "userfaultfd", PV_FINDING_OK, NULL, "the kernel has it, with write protection");
}

static const char *const programs[][3] = {
  { "qemu-img", "qemu-utils", "overlays cannot be made, nor qcow2 files imported" },
  { "qemu-nbd", "qemu-utils", "disks cannot be taken" },
};

static void
look_at_programs (PvDoctor *self)
{
  for (guint i = 0; i < G_N_ELEMENTS (programs); i++)
    {
      g_autofree char *path = g_find_program_in_path (programs[i][0]);

      if (path != NULL)
        pv_doctor_add (self, programs[i][0], PV_FINDING_OK, NULL, "%s", path);
      else
        {
          g_autofree char *cure = g_strdup_printf ("apt-get install %s", programs[i][1]);

          pv_doctor_add (self, programs[i][0], PV_FINDING_BAD, cure, "not found: %s", programs[i][2]);
        }
    }
}

static void
look_at_user (PvDoctor *self)
{
  if (geteuid () == 0)
    pv_doctor_add (self, "user", PV_FINDING_OK, NULL, "root");
  else
    pv_doctor_add (self, "user", PV_FINDING_NOTE,
                   "run pagevault with sudo for the guests of qemu:///system",
                   "not root: disks of system guests can be neither read nor restored");
}

void
pv_doctor_look_at_host (PvDoctor *self)
{
  look_at_user (self);
  look_at_kernel (self);
  look_at_userfaultfd (self);
  look_at_programs (self);
}
