/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/nbd-export.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

enum
{
  START_MS = 30 * 1000,
  POLL_US = 2000,
};

struct _PvNbdExport
{
  GPid pid;
  char *socket; /* (owned) */
  PvFd errors;  /* what it writes to its error output */
};

/* In the child, before exec: it goes when the thread that started it goes, also before its first client came; and when
 * it is told to, also where that thread has signals blocked. */
static void
die_with_parent (gpointer data)
{
  sigset_t end;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  sigemptyset (&end);
  sigaddset (&end, SIGTERM);
  sigprocmask (SIG_UNBLOCK, &end, NULL);
}

static gboolean
spawn (PvNbdExport *self, const char *image, GError **error)
{
  g_autofree char *program = g_find_program_in_path ("qemu-nbd");
  g_autofree char *socket_option = g_strdup_printf ("--socket=%s", self->socket);
  const char *argv[] = { program, "--read-only", "--persistent", "--allocation-depth", socket_option, image, NULL };

  if (program == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "disks are read by qemu-nbd: install the package 'qemu-utils'");
  return g_spawn_async_with_pipes (NULL, (char **) argv, NULL, G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL,
                                   die_with_parent, NULL, &self->pid, NULL, NULL, &self->errors, error);
}

/* TRUE when somebody listens at the socket. */
static gboolean
answers (const char *path)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_auto(PvFd) fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || strlen (path) >= sizeof address.sun_path)
    return FALSE;
  memcpy (address.sun_path, path, strlen (path));
  return connect (fd, (struct sockaddr *) &address, sizeof address) == 0;
}

static gboolean
throw_ended (PvNbdExport *self, GError **error)
{
  char text[512] = "";
  gssize n = pv_read_full (self->errors, text, sizeof text - 1, "qemu-nbd", NULL);

  self->pid = 0;
  return pv_throw (error, PV_ERROR_FAILED, "%s",
                   n > 0 ? g_strdelimit (g_strstrip (text), "\n", ' ') : "qemu-nbd ended without a word");
}

static gboolean
wait_until_up (PvNbdExport *self, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + START_MS * 1000;

  while (!answers (self->socket))
    {
      if (waitpid (self->pid, NULL, WNOHANG) == self->pid)
        return throw_ended (self, error);
      if (g_get_monotonic_time () > deadline)
        return pv_throw (error, PV_ERROR_FAILED, "qemu-nbd does not answer");
      g_usleep (POLL_US);
    }
  return TRUE;
}

PvNbdExport *
pv_nbd_export_start (const char *image, const char *directory, GError **error)
{
  g_autoptr(PvNbdExport) self = g_new0 (PvNbdExport, 1);

  self->errors = PV_FD_NONE;
  self->socket = g_build_filename (directory, "nbd.sock", NULL);
  if (!pv_fault ("capture.nbd.start", error) || !pv_unlink (self->socket, error) || !spawn (self, image, error)
      || !wait_until_up (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

void
pv_nbd_export_free (PvNbdExport *self)
{
  if (self == NULL)
    return;
  if (self->pid > 0)
    {
      kill (self->pid, SIGTERM);
      TEMP_FAILURE_RETRY (waitpid (self->pid, NULL, 0));
    }
  unlink (self->socket);
  pv_fd_clear (&self->errors);
  g_free (self->socket);
  g_free (self);
}

const char *
pv_nbd_export_socket (const PvNbdExport *self)
{
  return self->socket;
}
