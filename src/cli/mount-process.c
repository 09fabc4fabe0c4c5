/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/mount-process.h"

#include <glib-unix.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "pool/mount.h"
#include "store/unlock.h"
#include "util/error.h"
#include "util/file.h"

#define KEY_FD 3       /* the serving process reads the store's key from it */
#define DIGEST_PART 12 /* hexadecimal digits of the store's path that tell stores apart */

char *
pv_mount_process_directory (PvCli *cli)
{
  g_autofree char *store = g_canonicalize_filename (cli->store_directory, NULL);
  g_autofree char *digest = g_compute_checksum_for_string (G_CHECKSUM_SHA256, store, -1);

  digest[DIGEST_PART] = '\0';
  if (geteuid () == 0)
    return g_build_filename ("/run/pagevault-disks", digest, NULL); /* /run/pagevault is for root only */
  return g_build_filename (g_get_user_runtime_dir (), "pagevault", digest, NULL);
}

/* In the child: a session of its own, so that neither the terminal nor the shell ends it. */
static void
leave_session (gpointer data)
{
  setsid ();
}

/* What the child has said about guests that had lost their disks. */
static void
pass_on (int err)
{
  char said[4000];
  gssize n;

  if (g_unix_set_fd_nonblocking (err, TRUE, NULL))
    while ((n = read (err, said, sizeof said)) > 0)
      fwrite (said, 1, (gsize) n, stderr);
}

/* Waits for the line that says that the files are there; without one, what the child said is the error. */
static gboolean
wait_ready (int out, int err, GError **error)
{
  char line[8] = "";
  char complaint[1000] = "";

  if (pv_read_full (out, line, strlen ("ready\n"), "the mount process", NULL) == (gssize) strlen ("ready\n"))
    {
      pass_on (err);
      return TRUE;
    }
  if (pv_read_full (err, complaint, sizeof complaint - 1, "the mount process", NULL) <= 0)
    return pv_throw (error, PV_ERROR_FAILED, "the process that serves the disks ended at once");
  g_strchomp (complaint);
  return pv_throw (error, PV_ERROR_FAILED, "%s",
                   complaint + (g_str_has_prefix (complaint, "pagevault: ") ? strlen ("pagevault: ") : 0));
}

/* Guests' QEMU must get through, and see no more than the file that it is told of. */
static gboolean
make_directory (const char *directory, GError **error)
{
  mode_t mask = umask (0);
  gboolean made = pv_mkdirs (directory, 0711, error);

  umask (mask);
  return made;
}

/* (transfer full) */
static char **
command_line (PvCli *cli, const char *directory)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();
  g_autofree char *program = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *store = g_canonicalize_filename (cli->store_directory, NULL);
  g_autofree char *place = pv_mount_process_directory (cli);
  g_autofree char *log = g_strconcat (place, ".log", NULL);

  g_strv_builder_add_many (builder, program != NULL ? program : "pagevault", "--store", store, NULL);
  if (cli->uri != NULL)
    g_strv_builder_add_many (builder, "--connect", cli->uri, NULL);
  g_strv_builder_add (builder, "--key-fd=" G_STRINGIFY (KEY_FD));
  g_strv_builder_add_many (builder, "mount", "--foreground", "--log", log, "--", directory, NULL);
  return g_strv_builder_end (builder);
}

static gboolean
spawn (PvCli *cli, const char *directory, GError **error)
{
  g_auto(GStrv) arguments = command_line (cli, directory);
  g_auto(PvFd) keys = pv_unlock_hand_over (error);
  const int targets[] = { KEY_FD };
  g_auto(PvFd) out = PV_FD_NONE;
  g_auto(PvFd) err = PV_FD_NONE;
  g_autoptr(GError) local = NULL;

  if (keys < 0)
    return FALSE;
  if (!g_spawn_async_with_pipes_and_fds ("/", (const char *const *) arguments, NULL, G_SPAWN_SEARCH_PATH, leave_session,
                                         NULL, -1, -1, -1, &keys, targets, 1, NULL, NULL, &out, &err, &local))
    return pv_throw (error, PV_ERROR_FAILED, "cannot start the process that serves the disks: %s", local->message);
  return wait_ready (out, err, error);
}

gboolean
pv_mount_process_start (PvCli *cli, const char *directory, GError **error)
{
  g_autofree char *place = pv_mount_process_directory (cli);
  g_autofree char *parent = NULL;

  if (pv_mount_is_there (directory))
    return TRUE;
  pv_mount_clear_dead (directory);
  parent = g_path_get_dirname (place);
  return make_directory (parent, error) && make_directory (directory, error) && spawn (cli, directory, error);
}
