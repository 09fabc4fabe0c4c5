/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/restore-guard.h"

#include <errno.h>
#include <sys/socket.h>
#include <syslog.h>

#include "restore/pager-keeper.h"
#include "restore/remote-secret.h"
#include "restore/restore-job.h"
#include "util/error.h"
#include "util/file.h"

#define WORD_READY 'r' /* guard: I wait */
#define WORD_OVER 'o'  /* restore: there is nothing to be mended */

enum
{
  TRIES = 30,
  BACK_OFF_US = 500 * 1000, /* between two tries, doubled up to .. */
  BACK_OFF_MAX = 16,        /* .. times */
};

struct _PvRestoreGuard
{
  PvFd socket;
};

static gboolean
say (int socket, char word)
{
  return TEMP_FAILURE_RETRY (send (socket, &word, 1, MSG_NOSIGNAL)) == 1;
}

/* NUL when the other one is gone. */
static char
hear (int socket)
{
  char word = '\0';

  return TEMP_FAILURE_RETRY (recv (socket, &word, 1, 0)) == 1 ? word : '\0';
}

PvRestoreGuard *
pv_restore_guard_start (PvStore *store, const char *uri, GError **error)
{
  g_autoptr(PvRestoreGuard) self = g_new0 (PvRestoreGuard, 1);
  g_autofree char *program = pv_pager_program ();
  const char *argv[] = { program, "--mend", pv_store_directory (store), uri, NULL };
  const int target = PV_PAGER_FD_COMMAND;
  g_auto(PvFd) theirs = PV_FD_NONE;
  int ends[2];

  self->socket = PV_FD_NONE;
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    {
      pv_throw_errno (error, errno, "cannot make a socket");
      return NULL;
    }
  self->socket = ends[0];
  theirs = ends[1];
  if (!pv_pager_spawn (argv, &theirs, &target, 1, error))
    return NULL;
  pv_fd_clear (&theirs);
  if (hear (self->socket) != WORD_READY)
    {
      pv_throw (error, PV_ERROR_FAILED, "the guard of the restore, '%s', does not start", program);
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
pv_restore_guard_over (PvRestoreGuard *self)
{
  if (!say (self->socket, WORD_OVER))
    g_debug ("the guard of the restore is gone");
}

void
pv_restore_guard_free (PvRestoreGuard *self)
{
  if (self == NULL)
    return;
  pv_fd_clear (&self->socket);
  g_free (self);
}

/* --- the guard itself -------------------------------------------------------------------------------------------- */

static gboolean
mend (const char *directory, const char *uri, GError **error)
{
  g_autoptr(PvStore) store = pv_store_open (directory, 0, error);
  g_autoptr(PvConnection) connection = store != NULL ? pv_connection_open (uri, error) : NULL;
  g_autoptr(GPtrArray) mended = NULL;
  gboolean ok = connection != NULL && pv_restore_recover (store, connection, &mended, error);

  for (guint i = 0; mended != NULL && i < mended->len; i++)
    syslog (LOG_WARNING, "mended after a restore that was killed: %s", (const char *) mended->pdata[i]);
  return ok;
}

int
pv_restore_guard_run (const char *store, const char *uri)
{
  gulong delay = BACK_OFF_US;

  if (!say (PV_PAGER_FD_COMMAND, WORD_READY) || hear (PV_PAGER_FD_COMMAND) == WORD_OVER)
    return 0;
  pv_remote_secret_install (uri);
  for (guint i = 0; i < TRIES; i++)
    {
      g_autoptr(GError) error = NULL;

      if (mend (store, uri, &error))
        return 0;
      syslog (LOG_ERR, "%s", error->message);
      g_usleep (delay);
      delay = MIN (delay * 2, (gulong) BACK_OFF_US * BACK_OFF_MAX);
    }
  syslog (LOG_ERR, "a restore that was killed could not be mended: the next 'pagevault restore' tries again");
  return 1;
}
