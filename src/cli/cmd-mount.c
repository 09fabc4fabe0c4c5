/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <signal.h>
#include <stdio.h>

#include "cli/mount-process.h"
#include "pool/mount.h"
#include "util/error.h"

static gboolean opt_foreground;

static const GOptionEntry options[] = {
  { "foreground", 0, 0, G_OPTION_ARG_NONE, &opt_foreground, "Serve in this process, until a signal or umount", NULL },
  G_OPTION_ENTRY_NULL
};

static gboolean
serve (PvCli *cli, const char *directory, GError **error)
{
  g_autoptr(PvStore) store = pv_cli_open_store (cli, 0, error);
  g_autoptr(PvMount) mount = store != NULL ? pv_mount_new (store, directory, error) : NULL;

  if (mount == NULL)
    return FALSE;
  signal (SIGINT, SIG_DFL); /* libfuse takes those that nobody has */
  signal (SIGTERM, SIG_DFL);
  signal (SIGHUP, SIG_DFL);
  puts ("ready");
  fflush (stdout);
  return pv_mount_run (mount, error);
}

static PvExit
run_mount (PvCli *cli, char **args, GError **error)
{
  g_autofree char *directory
    = args[0] != NULL ? g_canonicalize_filename (args[0], NULL) : pv_mount_process_directory (cli);
  g_autoptr(PvStore) store = NULL;

  pv_cli_set_subject (cli, directory);
  if (opt_foreground)
    return serve (cli, directory, error) ? PV_EXIT_OK : PV_EXIT_FAILED;
  store = pv_cli_open_store (cli, 0, error);
  if (store == NULL)
    return PV_EXIT_FAILED;
  if (pv_mount_is_there (directory))
    {
      pv_throw (error, PV_ERROR_EXISTS, "something is mounted there already: 'umount' ends it");
      return PV_EXIT_FAILED;
    }
  if (!pv_mount_process_start (cli, directory, error))
    return PV_EXIT_FAILED;
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "directory", directory);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else
    puts (directory);
  return PV_EXIT_OK;
}

const PvCommand pv_command_mount = {
  .name = "mount",
  .arguments = "[DIR]",
  .summary = "Serve the disks of all snapshots as files",
  .details = "DIR/DOMAIN@NAME.TARGET.raw is a disk as it was at the snapshot's instant: read-only, for\n"
             "'qemu-img', a loop device, or as the base of an overlay. The serving process goes on in the\n"
             "background until 'umount DIR'. Without DIR it is the directory that 'restore --disks overlay'\n"
             "uses, which is printed.\n"
             "\n"
             "Guests restored with '--disks overlay' need it: mount again after the host was started, and\n"
             "do not unmount while they run.\n"
             "\n"
             "Examples:\n"
             "  pagevault mount /mnt\n"
             "  qemu-img convert -O qcow2 /mnt/web1@monday.vda.raw web1.qcow2\n"
             "\n"
             "Keys of --json: directory.",
  .max_args = 1,
  .options = options,
  .run = run_mount,
};
