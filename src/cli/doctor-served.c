/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What serves the store to libvirt and to guests: the hook, the pool, and the disks that overlays lie over. */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "cli/mount-process.h"
#include "pool/mount.h"
#include "xml/hook-message.h"
#include "xml/store-xml.h"

#define HOOK_DIRECTORY "/etc/libvirt/hooks/qemu.d" /* libvirtd looks nowhere else */
#define HOOK_PREFIX "pagevault"

enum
{
  ANSWER_MS = 5000, /* of a file system that is served on this machine */
};

/* (transfer full) (nullable): the program of ours that libvirtd runs. */
static char *
find_hook (void)
{
  g_autoptr(GDir) dir = g_dir_open (HOOK_DIRECTORY, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_str_has_prefix (name, HOOK_PREFIX))
      return g_build_filename (HOOK_DIRECTORY, name, NULL);
  return NULL;
}

/* Runs the hook as libvirtd would, but to ask whether pagevaultd answers it. It ends by itself within 5 s. */
static void
ask_hook (PvDoctor *self, const char *hook)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *socket = pv_hook_socket_path ();
  g_autofree char *said = NULL, *complaint = NULL;
  g_autoptr(GSubprocess) process
    = g_subprocess_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &error, hook, "-", "doctor",
                        "begin", "-", NULL);

  if (process == NULL || !g_subprocess_communicate_utf8 (process, NULL, NULL, &said, &complaint, &error))
    pv_doctor_add (self, "hook", PV_FINDING_BAD, "install pagevault anew: no guest starts with a hook that fails",
                   "'%s' does not run: %s", hook, error->message);
  else if (g_subprocess_get_successful (process) && g_str_has_prefix (said, "pagevaultd"))
    pv_doctor_add (self, "hook", PV_FINDING_OK, NULL, "'%s' is installed, and pagevaultd answers it", hook);
  else if (g_subprocess_get_successful (process))
    pv_doctor_add (self, "hook", PV_FINDING_NOTE, "install pagevault anew", "'%s' is of another version", hook);
  else
    pv_doctor_add (self, "hook", access (socket, F_OK) == 0 ? PV_FINDING_BAD : PV_FINDING_NOTE,
                   "systemctl restart pagevaultd; pagevault's own commands do without it",
                   "'%s' is installed, but pagevaultd does not answer it (%s): virsh restores no memory from the store",
                   hook, g_strchomp (complaint));
}

static void
look_at_hook (PvDoctor *self)
{
  g_autofree char *hook = find_hook ();
  g_autofree char *cure = NULL;

  if (hook == NULL)
    pv_doctor_add (self, "hook", PV_FINDING_NOTE,
                   "install pagevault with --prefix=/usr, and restart libvirtd, which looks for hooks when it starts; "
                   "pagevault's own commands do without it",
                   "none of pagevault in '%s': virsh cannot restore from the pool", HOOK_DIRECTORY);
  else if (access (hook, X_OK) != 0)
    {
      cure = g_strdup_printf ("chmod 0755 '%s'", hook);
      pv_doctor_add (self, "hook", PV_FINDING_BAD, cure, "'%s' is not executable: libvirt passes it over", hook);
    }
  else if (geteuid () == 0)
    ask_hook (self, hook);
  else
    pv_doctor_add (self, "hook", PV_FINDING_OK, NULL, "'%s' is installed; only root can ask pagevaultd", hook);
}

static void
look_at_pool (PvDoctor *self)
{
  g_autoptr(PvStoreXml) config = pv_store_xml_read (NULL); /* what is wrong with it is told with the store */
  const char *pool = config != NULL && config->pool != NULL ? config->pool : PV_DEFAULT_POOL;
  const char *restart = "systemctl restart pagevaultd: it mounts anew, and guests with disks from there go on";

  switch (pv_mount_state (pool, ANSWER_MS))
    {
    case PV_MOUNT_SERVED:
      pv_doctor_add (self, "pool", PV_FINDING_OK, NULL, "pagevaultd serves the store in '%s'", pool);
      return;
    case PV_MOUNT_DEAD:
      pv_doctor_add (self, "pool", PV_FINDING_BAD, restart,
                     "'%s' is a stale mount: the pagevaultd that served it is gone", pool);
      return;
    case PV_MOUNT_SILENT:
      pv_doctor_add (self, "pool", PV_FINDING_BAD, restart, "'%s' is mounted and does not answer", pool);
      return;
    case PV_MOUNT_NONE:
    default:
      pv_doctor_add (self, "pool", PV_FINDING_OK, NULL, "not in use: nothing is mounted on '%s'", pool);
      return;
    }
}

/* Where 'restore --disks overlay' and clones have their disks from. */
static void
look_at_disks (PvDoctor *self, PvCli *cli)
{
  g_autofree char *directory = pv_mount_process_directory (cli);
  PvMountState state = pv_mount_state (directory, ANSWER_MS);

  if (state == PV_MOUNT_SERVED)
    pv_doctor_add (self, "disks", PV_FINDING_OK, NULL, "'%s' serves them to overlays", directory);
  else if (state == PV_MOUNT_DEAD)
    pv_doctor_add (self, "disks", PV_FINDING_BAD, "pagevault mount: it mounts anew, and guests that had stopped go on",
                   "'%s' is a stale mount: guests with overlays over it pause at their next read", directory);
  else if (state == PV_MOUNT_SILENT)
    pv_doctor_add (self, "disks", PV_FINDING_BAD,
                   "end the 'pagevault mount' process that serves it, then pagevault mount",
                   "'%s' is mounted and does not answer", directory);
}

void
pv_doctor_look_at_served (PvDoctor *self, PvCli *cli)
{
  look_at_hook (self);
  look_at_pool (self);
  look_at_disks (self, cli);
}
