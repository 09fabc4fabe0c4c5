/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "cli/mount-process.h"
#include "pool/mount.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/mount-revive.h"

static gboolean opt_foreground;
static char *opt_log;

static const GOptionEntry options[] = {
  { "foreground", 0, 0, G_OPTION_ARG_NONE, &opt_foreground, "Serve in this process, until a signal or umount", NULL },
  { "log", 0, 0, G_OPTION_ARG_FILENAME, &opt_log, "Append what goes wrong while serving to FILE", "FILE" },
  G_OPTION_ENTRY_NULL
};

/* (element-type utf8) (transfer full): what became of guests that had lost their disks. Without libvirt there are
 * none. */
static GPtrArray *
revive (PvCli *cli, const char *directory)
{
  g_autoptr(PvConnection) connection = pv_cli_open_connection (cli, NULL);

  return connection != NULL ? pv_mount_revive (connection, directory) : g_ptr_array_new_with_free_func (g_free);
}

static gboolean
print_revived (PvCli *cli, const char *directory)
{
  g_autoptr(GPtrArray) said = revive (cli, directory);

  for (guint i = 0; i < said->len; i++)
    fprintf (stderr, "pagevault: mount: %s\n", (const char *) said->pdata[i]);
  return said->len > 0;
}

/* Beside the thread that serves: QEMU reads while it is given its disks. From here on standard error is the log. */
static gpointer
get_ready (gpointer data)
{
  PvCli *cli = ((gpointer *) data)[0];
  const char *directory = ((gpointer *) data)[1];
  g_auto(PvFd) log = PV_FD_NONE;

  print_revived (cli, directory);
  if (opt_log != NULL)
    log = pv_openat (AT_FDCWD, opt_log, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600, NULL);
  if (log >= 0)
    dup2 (log, STDERR_FILENO);
  puts ("ready");
  fflush (stdout);
  return NULL;
}

static gboolean
serve (PvCli *cli, const char *directory, GError **error)
{
  g_autoptr(PvStore) store = pv_cli_open_store (cli, 0, error);
  g_autoptr(PvMount) mount = NULL;
  gpointer data[] = { cli, (gpointer) directory };
  GThread *thread;
  gboolean ok;

  if (store == NULL)
    return FALSE;
  pv_mount_clear_dead (directory);
  mount = pv_mount_new (store, directory, error);
  if (mount == NULL)
    return FALSE;
  signal (SIGINT, SIG_DFL); /* libfuse takes those that nobody has */
  signal (SIGTERM, SIG_DFL);
  signal (SIGHUP, SIG_DFL);
  thread = g_thread_new ("get-ready", get_ready, data);
  ok = pv_mount_run (mount, error);
  g_thread_join (thread);
  return ok;
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
  if (pv_mount_is_there (directory) && !print_revived (cli, directory))
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
             "'qemu-img', a loop device, or as the base of an overlay. Those of attached remotes are there, too,\n"
             "and are read from there, piece by piece. The serving process goes on in the\n"
             "background until 'umount DIR'. Without DIR it is the directory that 'restore --disks overlay'\n"
             "uses, which is printed.\n"
             "\n"
             "Clones, and guests restored with '--disks overlay', need it: mount again after the host was\n"
             "started, before they start. Should the serving process be killed, such a guest pauses at its\n"
             "next read and loses nothing: mount again, and it goes on.\n"
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
