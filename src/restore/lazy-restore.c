/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/lazy-restore.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "restore/pager-keeper.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/guest-process.h"

enum
{
  LOOK_US = 100 * 1000,
  WORDS_MAX = 4096, /* bytes of what a pager says */
  ENDING_US = 10 * 1000,
  ENDING_LOOKS = 500,
  LEAVING_US = 50 * 1000,
  LEAVING_LOOKS = 200,
};

struct _PvLazyRestore
{
  PvFd socket;
  char *store, *uuid; /* (owned) */
  gboolean prepared, running;
};

/* What a pager that was killed left of a guest that did not get to run. A process that is just ending closes its
 * socket before its lock. */
static void
remove_left (PvLazyRestore *self)
{
  g_autoptr(PvLazyState) state = pv_lazy_state_read (self->store, self->uuid, NULL);
  g_auto(PvFd) lock = PV_FD_NONE;

  for (guint i = 0; state != NULL && lock < 0 && i < ENDING_LOOKS; i++)
    {
      if (i > 0)
        g_usleep (ENDING_US);
      lock = pv_lazy_state_lock (state, NULL);
    }
  if (lock >= 0)
    pv_lazy_state_remove (state, NULL);
}

void
pv_lazy_restore_free (PvLazyRestore *self)
{
  const char word = PV_LAZY_WORD_ABANDON;
  char byte;

  if (self == NULL)
    return;
  /* a pager that serves does not listen any more; another one is to be gone when we return */
  if (self->socket >= 0 && send (self->socket, &word, 1, MSG_NOSIGNAL) >= 0)
    {
      shutdown (self->socket, SHUT_WR);
      while (TEMP_FAILURE_RETRY (recv (self->socket, &byte, 1, 0)) > 0)
        continue;
    }
  pv_fd_clear (&self->socket);
  if (!self->running && self->uuid != NULL)
    remove_left (self);
  g_free (self->store);
  g_free (self->uuid);
  g_free (self);
}

/* What the pager says next; an error when it says that something is wrong, or nothing any more. */
static gboolean
hear (int socket, char word, char **text, GError **error)
{
  char said[WORDS_MAX];
  gsize n = 0;

  while (n < sizeof said && TEMP_FAILURE_RETRY (recv (socket, said + n, 1, 0)) == 1)
    if (said[n++] == '\0')
      break;
  if (n < 2 || said[n - 1] != '\0')
    return pv_throw (error, PV_ERROR_FAILED, "the pager ended before its time: its syslog may tell why");
  if (said[0] == PV_LAZY_WORD_UNSUPPORTED)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "%s", said + 1);
  if (said[0] != word)
    return pv_throw (error, PV_ERROR_FAILED, "%s", said + 1);
  if (text != NULL)
    *text = g_strdup (said + 1);
  return TRUE;
}

/* Starts a pager in @mode; our end of its socket, -1 on error. */
static int
spawn (PvStore *store, const char *mode, const char *uuid, int lock, GError **error)
{
  g_autofree char *program = pv_pager_program ();
  g_autofree char *directory = g_canonicalize_filename (pv_store_directory (store), NULL);
  const char *argv[] = { program, mode, directory, uuid, NULL };
  const int targets[] = { PV_PAGER_FD_COMMAND, PV_PAGER_FD_LOCK };
  int ends[2];
  g_auto(PvFd) ours = PV_FD_NONE;
  g_auto(PvFd) theirs = PV_FD_NONE;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    {
      pv_throw_errno (error, errno, "cannot make a socket for the pager");
      return -1;
    }
  ours = ends[0];
  theirs = ends[1];
  return pv_pager_spawn (argv, (const int[]) { theirs, lock }, targets, 2, error) ? pv_fd_steal (&ours) : -1;
}

PvLazyRestore *
pv_lazy_restore_new (PvStore *store, PvSnapshot *snapshot, PvLazyState *state, GError **error)
{
  g_autoptr(PvLazyRestore) self = g_new0 (PvLazyRestore, 1);
  g_auto(PvFd) lock = pv_lazy_state_create (state, pv_store_directory (store), snapshot, error);

  self->socket = PV_FD_NONE;
  if (lock < 0)
    return NULL;
  self->store = g_strdup (pv_store_directory (store));
  self->uuid = g_strdup (state->uuid);
  self->socket = spawn (store, "--start", state->uuid, lock, error);
  pv_fd_clear (&lock);
  return self->socket >= 0 ? g_steal_pointer (&self) : NULL;
}

gboolean
pv_lazy_restore_wait_prepared (PvLazyRestore *self, GError **error)
{
  if (!self->prepared)
    self->prepared = hear (self->socket, PV_LAZY_WORD_PREPARED, NULL, error);
  return self->prepared;
}

gboolean
pv_lazy_restore_go (PvLazyRestore *self, guint64 *pages_on_demand, GError **error)
{
  const char word = PV_LAZY_WORD_GO;
  g_autofree char *text = NULL;

  if (!pv_lazy_restore_wait_prepared (self, error))
    return FALSE;
  if (send (self->socket, &word, 1, MSG_NOSIGNAL) != 1)
    return pv_throw_errno (error, errno, "the pager does not listen");
  if (!hear (self->socket, PV_LAZY_WORD_RUNNING, &text, error))
    return FALSE;
  self->running = TRUE;
  *pages_on_demand = g_ascii_strtoull (text, NULL, 10);
  return TRUE;
}

/* --- looking after guests ---------------------------------------------------------------------------------------- */

gboolean
pv_lazy_recover (PvStore *store, const char *uuid, gboolean *mended, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvLazyState) state = pv_lazy_state_read (pv_store_directory (store), uuid, &local);
  g_auto(PvFd) lock = state != NULL ? pv_lazy_state_lock (state, &local) : PV_FD_NONE;
  g_auto(PvFd) socket = PV_FD_NONE;

  if (mended != NULL)
    *mended = FALSE;
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND) || g_error_matches (local, PV_ERROR, PV_ERROR_BUSY))
    return TRUE;
  if (lock < 0)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  socket = spawn (store, "--recover", uuid, lock, error);
  pv_fd_clear (&lock);
  if (socket < 0 || !hear (socket, PV_LAZY_WORD_RUNNING, NULL, error))
    {
      g_prefix_error (error, "guest %s, whose memory comes from %s, lost its pager: ", state->domain, state->snapshot);
      return FALSE;
    }
  if (mended != NULL)
    *mended = TRUE;
  return TRUE;
}

gboolean
pv_lazy_recover_all (PvStore *store, GError **error)
{
  g_autoptr(GPtrArray) states = pv_lazy_state_list (pv_store_directory (store));
  gboolean good = TRUE;

  for (guint i = 0; i < states->len; i++)
    {
      const PvLazyState *state = g_ptr_array_index (states, i);

      if (!pv_lazy_recover (store, state->uuid, NULL, good ? error : NULL))
        good = FALSE;
    }
  return good;
}

/* One look. *@over: nothing is missing. */
static gboolean
look (PvStore *store, const char *uuid, gboolean hurry, PvLazyStatus *status, gboolean *over, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(PvLazyState) state = pv_lazy_state_read (pv_store_directory (store), uuid, &local);

  *over = g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND);
  if (*over)
    return TRUE;
  if (state == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (hurry && !pv_lazy_state_hurry (state, NULL))
    return TRUE; /* gone meanwhile: the next look tells */
  if (!pv_lazy_state_read_status (state, status, error))
    return FALSE;
  if (status->phase == PV_LAZY_DAMAGED)
    return pv_throw (error, PV_ERROR_CORRUPT, "%s", status->message);
  return status->phase != PV_LAZY_DEAD || pv_lazy_recover (store, uuid, NULL, error);
}

gboolean
pv_lazy_wait (PvStore *store, const char *uuid, gboolean hurry, PvLazyProgressFunc progress, gpointer data,
              GCancellable *cancellable, GError **error)
{
  for (;;)
    {
      g_auto(PvLazyStatus) status = { 0 };
      gboolean over = FALSE;

      if (!look (store, uuid, hurry, &status, &over, error))
        return FALSE;
      if (over)
        return TRUE;
      if (progress != NULL)
        progress (&status, data);
      if (g_cancellable_is_cancelled (cancellable))
        return pv_throw (error, PV_ERROR_CANCELLED, "stopped; the guest's memory goes on coming");
      g_usleep (LOOK_US);
    }
}

/* --- who needs a snapshot ---------------------------------------------------------------------------------------- */

/* (transfer full) (nullable): the first of the restores that go on. */
static PvLazyState *
find_user (const char *store_directory, const char *snapshot)
{
  g_autoptr(GPtrArray) states = pv_lazy_state_list (store_directory);

  for (guint i = 0; i < states->len; i++)
    if (g_str_equal (((PvLazyState *) states->pdata[i])->snapshot, snapshot))
      return g_ptr_array_steal_index (states, i);
  return NULL;
}

char *
pv_lazy_user (const char *store_directory, const char *snapshot)
{
  for (guint i = 0;; i++)
    {
      g_autoptr(PvLazyState) user = find_user (store_directory, snapshot);

      if (user == NULL)
        return NULL;
      if (i == LEAVING_LOOKS || pv_guest_process_find (user->uuid) != 0)
        return g_strdup (user->domain);
      g_usleep (LEAVING_US);
    }
}
