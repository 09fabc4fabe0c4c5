/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-keeper.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <syslog.h>
#include <unistd.h>

#include "restore/pager-shared.h"
#include "store/unlock.h"
#include "util/error.h"
#include "util/file.h"
#include "util/helper-program.h"

enum
{
  BACK_OFF_US = 50 * 1000, /* between two pagers, doubled up to 64 times */
  BACK_OFF_MAX = 64,
  LIVED_US = 5 * 1000 * 1000, /* a pager that lived so long did not die of its start */
};

char *
pv_pager_program (void)
{
  static const char *const places[] = { "", "../restore", "../../src/restore", NULL };

  return pv_helper_program_find (PV_PAGER_PROGRAM, "PAGEVAULT_PAGER", places);
}

gboolean
pv_pager_spawn (const char *const *argv, const int *sources, const int *targets, guint n, GError **error)
{
  g_auto(PvFd) keys = pv_unlock_hand_over (error);
  int all_sources[PV_PAGER_FDS_MAX + 1], all_targets[PV_PAGER_FDS_MAX + 1];
  g_autoptr(GError) local = NULL;

  g_return_val_if_fail (n <= PV_PAGER_FDS_MAX, FALSE);

  if (keys < 0)
    return FALSE;
  memcpy (all_sources, sources, n * sizeof *sources);
  memcpy (all_targets, targets, n * sizeof *targets);
  all_sources[n] = keys;
  all_targets[n] = PV_PAGER_FD_KEYS;
  if (g_spawn_async_with_pipes_and_fds ("/", argv, NULL, G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL,
                                        pv_helper_program_leave_session, NULL, -1, -1, -1, all_sources, all_targets,
                                        n + 1, NULL, NULL, NULL, NULL, &local))
    return TRUE;
  return pv_throw (error, PV_ERROR_FAILED, "cannot start the pager '%s': %s", argv[0], local->message);
}

int
pv_pager_pair_start (const PvPagerPair *pair, const char *mode, GError **error)
{
  g_autofree char *program = pv_pager_program ();
  g_autofree char *option = g_strconcat ("--", mode, NULL);
  const char *argv[] = { program, option, pair->store, pair->uuid, NULL };
  const int targets[] = { PV_PAGER_FD_CHANNEL, PV_PAGER_FD_SHARED, PV_PAGER_FD_LOCK, PV_PAGER_FD_OTHER };
  int ends[2];
  g_auto(PvFd) ours = PV_FD_NONE;
  g_auto(PvFd) theirs = PV_FD_NONE;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    {
      pv_throw_errno (error, errno, "cannot make a socket");
      return -1;
    }
  ours = ends[0];
  theirs = ends[1];
  return pv_pager_spawn (argv, (const int[]) { pair->channel, pair->shared, pair->lock, theirs }, targets, 4, error)
           ? pv_fd_steal (&ours)
           : -1;
}

/* Waits until the other one is gone. */
static void
wait_for_end (int other)
{
  struct pollfd pollfd = { .fd = other, .events = POLLIN };

  while (poll (&pollfd, 1, -1) < 0 && errno == EINTR)
    continue;
}

int
pv_pager_keeper_run (const char *store, const char *uuid)
{
  const PvPagerPair pair = { store, uuid, PV_PAGER_FD_CHANNEL, PV_PAGER_FD_SHARED, PV_PAGER_FD_LOCK };
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPagerShared) shared = pv_pager_shared_open (PV_PAGER_FD_SHARED, &error);
  g_auto(PvFd) other = PV_PAGER_FD_OTHER;
  gulong delay = BACK_OFF_US;

  if (shared == NULL)
    {
      syslog (LOG_ERR, "guest %s: %s", uuid, error->message);
      return 1;
    }
  for (;;)
    {
      gint64 start = g_get_monotonic_time ();

      if (other >= 0)
        wait_for_end (other);
      if (g_atomic_int_get (&shared->phase) == PV_PAGER_OVER)
        return 0;
      syslog (LOG_WARNING, "guest %s: its pager was killed: another one goes on", uuid);
      pv_fd_clear (&other);
      if (g_get_monotonic_time () - start > LIVED_US)
        delay = BACK_OFF_US;
      else
        {
          g_usleep (delay);
          delay = MIN (delay * 2, BACK_OFF_US * BACK_OFF_MAX);
        }
      g_clear_error (&error);
      other = pv_pager_pair_start (&pair, "again", &error);
      if (other < 0)
        syslog (LOG_ERR, "guest %s: %s", uuid, error->message);
    }
}
