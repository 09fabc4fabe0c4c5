/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt, its QEMU, and its guests. */
#include "config.h"

#include <unistd.h>

#include "cli/doctor.h"
#include "util/bytesize.h"
#include "virt/host.h"
#include "xml/domain-xml.h"

enum
{
  LIBVIRT_OLDEST = 9000000,             /* 9.0.0 */
  LIBVIRT_GRANTS_USERFAULTFD = 10001000, /* 10.1.0 */
};

static void
look_at_version (PvDoctor *self, PvConnection *connection)
{
  gulong version = pv_connection_libvirt_version (connection);
  g_autofree char *text
    = g_strdup_printf ("%lu.%lu.%lu", version / 1000000, version / 1000 % 1000, version % 1000);

  if (version < LIBVIRT_OLDEST)
    pv_doctor_add (self, "libvirt", PV_FINDING_BAD, "upgrade to libvirt 9.0 or newer", "libvirt %s is too old", text);
  else
    pv_doctor_add (self, "libvirt", PV_FINDING_OK, NULL, "libvirt %s answers", text);
}

/* The QEMU that libvirt starts is another user's: what it may do depends on settings, not on us. */
static void
look_at_permission (PvDoctor *self, PvConnection *connection)
{
  g_autofree char *knob = NULL;

  if (g_file_get_contents ("/proc/sys/vm/unprivileged_userfaultfd", &knob, NULL, NULL) && g_str_has_prefix (knob, "1"))
    pv_doctor_add (self, "qemu engine", PV_FINDING_OK, NULL, "vm.unprivileged_userfaultfd=1: QEMU may use userfaultfd");
  else if (pv_connection_libvirt_version (connection) >= LIBVIRT_GRANTS_USERFAULTFD
           && access ("/dev/userfaultfd", F_OK) == 0)
    pv_doctor_add (self, "qemu engine", PV_FINDING_OK, NULL, "libvirt grants /dev/userfaultfd to QEMU");
  else
    pv_doctor_add (self, "qemu engine", PV_FINDING_BAD,
                   "sysctl vm.unprivileged_userfaultfd=1 (and a line in /etc/sysctl.d to keep it), or libvirt 10.1 or "
                   "newer with /dev/userfaultfd; until then --engine live or paused",
                   "QEMU under this libvirt is not allowed to use userfaultfd");
}

static void
look_at_emulator (PvDoctor *self, PvConnection *connection)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *emulator = pv_host_emulator (connection, &error);
  g_autofree char *version = NULL;
  gboolean known = FALSE, allowed = FALSE;

  if (emulator == NULL || !pv_doctor_probe_emulator (emulator, &known, &allowed, &version, &error))
    pv_doctor_add (self, "qemu", PV_FINDING_BAD, "apt-get install qemu-system-x86", "no QEMU that works: %s",
                   error->message);
  else if (!known)
    pv_doctor_add (self, "qemu", PV_FINDING_BAD, "upgrade to QEMU 7.2 or newer, or use --engine live or paused",
                   "QEMU %s has no background snapshots", version);
  else if (!allowed)
    pv_doctor_add (self, "qemu", PV_FINDING_NOTE, "see the findings on kernel and userfaultfd",
                   "QEMU %s knows background snapshots, but this kernel or user does not let it make any", version);
  else
    pv_doctor_add (self, "qemu", PV_FINDING_OK, NULL, "QEMU %s, with background snapshots", version);
}

static void
look_at_security (PvDoctor *self, PvConnection *connection)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *model = pv_host_security_model (connection, &error);

  if (model == NULL)
    pv_doctor_add (self, "security", PV_FINDING_NOTE, NULL, "%s", error->message);
  else if (g_str_equal (model, "apparmor"))
    pv_doctor_add (self, "security", PV_FINDING_NOTE,
                   "if a file or the socket of a lazy restore is refused (journalctl -k), allow it in "
                   "/etc/apparmor.d/local/abstractions/libvirt-qemu: docs/confinement.md has the lines",
                   "AppArmor confines the guests: each sees the files of its own disks only");
  else if (g_str_equal (model, "selinux"))
    pv_doctor_add (self, "security", PV_FINDING_NOTE,
                   "if 'create' is refused an overlay, label its directory virt_image_t, or choose another with "
                   "--overlay-dir; for disks that the store serves, setsebool -P virt_use_fusefs on",
                   "SELinux confines the guests");
  else
    pv_doctor_add (self, "security", PV_FINDING_OK, NULL, "guests are not confined");
}

/* @xml is of the guest called @name. */
static void
look_at_devices (PvDoctor *self, const char *name, const char *xml)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvDomainXml) domain = pv_domain_xml_parse (xml, &error);
  g_autoptr(GPtrArray) reasons = domain != NULL ? pv_domain_xml_untrackable (domain) : NULL;

  if (domain == NULL)
    pv_doctor_add (self, name, PV_FINDING_NOTE, NULL, "%s", error->message);
  else if (reasons->len > 0)
    pv_doctor_add (self, name, PV_FINDING_NOTE, "take its disks with --disk-only, or take the device away",
                   "no live checkpoint: %s", (const char *) g_ptr_array_index (reasons, 0));
}

static void
look_at_guest (PvDoctor *self, PvConnection *connection, const char *name)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvGuest) guest = pv_guest_lookup (connection, name, &error);
  g_autofree char *check = g_strconcat ("guest ", name, NULL);
  g_autofree char *xml = guest != NULL ? pv_guest_xml (guest, 0, &error) : NULL;
  gboolean armed = FALSE;

  if (xml == NULL)
    return; /* it may have ended just now */
  look_at_devices (self, check, xml);
  if (pv_guest_has_capability (guest, "background-snapshot", &armed, NULL) && armed)
    pv_doctor_add (self, check, PV_FINDING_NOTE,
                   "if no 'pagevault create' of this guest runs now, start one: it mends what a killed one left",
                   "its QEMU is set to background snapshots");
}

void
pv_doctor_look_at_libvirt (PvDoctor *self, PvCli *cli)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvConnection) connection = pv_cli_open_connection (cli, &error);
  g_autoptr(GPtrArray) names = NULL;

  if (connection == NULL)
    {
      pv_doctor_add (self, "libvirt", PV_FINDING_BAD,
                     "systemctl start libvirtd (or apt-get install libvirt-daemon-system), or name another with "
                     "--connect",
                     "%s", error->message);
      return;
    }
  look_at_version (self, connection);
  look_at_emulator (self, connection);
  look_at_permission (self, connection);
  look_at_security (self, connection);
  names = pv_host_domains (connection, TRUE, &error);
  for (guint i = 0; names != NULL && i < names->len; i++)
    look_at_guest (self, connection, g_ptr_array_index (names, i));
  pv_doctor_look_at_policies (self, cli, connection);
}
