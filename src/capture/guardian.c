/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/guardian.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"
#include "util/helper-program.h"

#define PROGRAM "pagevault-guardian"

enum
{
  BEAT_US = 200 * 1000,  /* no more often than this */
  READY_MS = 60 * 1000,
};

struct _PvGuardian
{
  PvFd socket;
  GPid pid;
  GMutex lock;
  gint64 last_beat; /* monotonic microseconds; under lock */
  gint64 last_check; /* likewise */
  gboolean frozen;  /* under lock */
  gboolean took;    /* it took over; under lock */
};

/* (transfer full): fault points of the environment are for this process; PAGEVAULT_GUARDIAN_FAULT has those of the
 * guardian. */
static char **
guardian_environment (void)
{
  char **environment = g_environ_unsetenv (g_get_environ (), "PAGEVAULT_FAULT");
  const char *fault = g_getenv ("PAGEVAULT_GUARDIAN_FAULT");

  return fault != NULL ? g_environ_setenv (environment, "PAGEVAULT_FAULT", fault, TRUE) : environment;
}

static gboolean
spawn (PvGuardian *self, int theirs, PvGuest *guest, const char *path, const char *copy, int lock_fd, GError **error)
{
  static const char *const places[] = { "../capture", "../../src/capture", NULL };
  g_autofree char *program = pv_helper_program_find (PROGRAM, "PAGEVAULT_GUARDIAN", places);
  g_auto(GStrv) environment = guardian_environment ();
  const char *uri = pv_connection_uri (pv_guest_connection (guest));
  const char *argv[] = { program, pv_guest_uuid (guest), path, copy, uri, NULL };
  const int sources[] = { theirs, lock_fd };
  const int targets[] = { 3, 4 };
  g_autoptr(GError) local = NULL;

  if (g_spawn_async_with_pipes_and_fds ("/", argv, (const char *const *) environment,
                                        G_SPAWN_DO_NOT_REAP_CHILD | G_SPAWN_STDOUT_TO_DEV_NULL,
                                        pv_helper_program_leave_session, NULL, -1, -1, -1, sources, targets, 2,
                                        &self->pid, NULL, NULL, NULL, &local))
    return TRUE;
  return pv_throw (error, PV_ERROR_FAILED, "cannot start the guardian '%s': %s", program, local->message);
}

PvGuardian *
pv_guardian_start (PvGuest *guest, const char *path, const char *copy, int lock_fd, GError **error)
{
  g_autoptr(PvGuardian) self = g_new0 (PvGuardian, 1);
  int ends[2];
  g_auto(PvFd) theirs = PV_FD_NONE;

  g_mutex_init (&self->lock);
  self->socket = PV_FD_NONE;
  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    {
      pv_throw_errno (error, errno, "cannot make a socket for the guardian");
      return NULL;
    }
  self->socket = ends[0];
  theirs = ends[1];
  return spawn (self, theirs, guest, path, copy, lock_fd, error) ? g_steal_pointer (&self) : NULL;
}

static gboolean
throw_gone (GError **error)
{
  return pv_throw (error, PV_ERROR_FAILED,
                   "the guardian process ended before its time: the snapshot is given up, try again");
}

/* What it has said, without waiting longer than @timeout_ms. */
static gboolean
hear (PvGuardian *self, int timeout_ms, char *word, GError **error)
{
  struct pollfd pollfd = { .fd = self->socket, .events = POLLIN };
  gssize n;

  *word = '\0';
  if (TEMP_FAILURE_RETRY (poll (&pollfd, 1, timeout_ms)) <= 0)
    return TRUE;
  n = TEMP_FAILURE_RETRY (recv (self->socket, word, 1, MSG_DONTWAIT));
  return n == 1 || throw_gone (error);
}

gboolean
pv_guardian_wait_ready (PvGuardian *self, GError **error)
{
  char word;

  if (!hear (self, READY_MS, &word, error))
    return FALSE;
  return word == PV_GUARDIAN_READY || pv_throw (error, PV_ERROR_FAILED, "the guardian process does not get ready");
}

static void
tell (PvGuardian *self, char word)
{
  if (send (self->socket, &word, 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
    g_debug ("cannot tell the guardian '%c': %s", word, g_strerror (errno));
}

/* Says @word when it was not said for a while. Under lock. */
static void
tell_sometimes (PvGuardian *self, char word, gint64 *last)
{
  gint64 now = g_get_monotonic_time ();

  if (now - *last < BEAT_US)
    return;
  *last = now;
  tell (self, word);
}

gboolean
pv_guardian_check (PvGuardian *self, GError **error)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  char word = '\0';

  if (self->frozen)
    tell_sometimes (self, PV_GUARDIAN_CHECK, &self->last_check);
  if (!self->took && !hear (self, 0, &word, error))
    return FALSE;
  self->took |= word == PV_GUARDIAN_TOOK;
  return !self->took
         || pv_throw (error, PV_ERROR_FAILED,
                      "pagevault was stopped for too long while the guest waited for it: the snapshot was given up and "
                      "the guest let go on");
}

gboolean
pv_guardian_took (PvGuardian *self)
{
  g_autoptr(GMutexLocker) locker = NULL;

  pv_guardian_check (self, NULL);
  locker = g_mutex_locker_new (&self->lock);
  return self->took;
}

static gboolean
give (PvGuardian *self, char word, int fd, GError **error)
{
  union
  {
    struct cmsghdr align;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control = { .bytes = { 0 } };
  struct iovec data = { .iov_base = &word, .iov_len = 1 };
  struct msghdr message = {
    .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control
  };
  struct cmsghdr *header = CMSG_FIRSTHDR (&message);

  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN (sizeof fd);
  memcpy (CMSG_DATA (header), &fd, sizeof fd);
  return TEMP_FAILURE_RETRY (sendmsg (self->socket, &message, MSG_NOSIGNAL)) == 1
         || pv_throw_errno (error, errno, "cannot hand the memory stream to the guardian");
}

gboolean
pv_guardian_give_stream (PvGuardian *self, int fd, GError **error)
{
  return give (self, PV_GUARDIAN_STREAM, fd, error);
}

gboolean
pv_guardian_give_channel (PvGuardian *self, int fd, GError **error)
{
  return give (self, PV_GUARDIAN_CHANNEL, fd, error);
}

void
pv_guardian_watch (PvGuardian *self, gboolean on)
{
  tell (self, on ? PV_GUARDIAN_WATCH : PV_GUARDIAN_UNWATCH);
}

void
pv_guardian_frozen (PvGuardian *self, gboolean on)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->frozen = on;
  tell (self, on ? PV_GUARDIAN_FROZEN : PV_GUARDIAN_RUNS);
}

void
pv_guardian_beat (PvGuardian *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  tell_sometimes (self, PV_GUARDIAN_BEAT, &self->last_beat);
}

void
pv_guardian_done (PvGuardian *self)
{
  tell (self, PV_GUARDIAN_DONE);
  shutdown (self->socket, SHUT_WR);
  TEMP_FAILURE_RETRY (waitpid (self->pid, NULL, 0));
  self->pid = 0;
}

void
pv_guardian_free (PvGuardian *self)
{
  if (self == NULL)
    return;
  pv_fd_clear (&self->socket);
  /* it may be at work for long: not waited for, but not left a zombie if it is quick */
  if (self->pid > 0)
    waitpid (self->pid, NULL, WNOHANG);
  g_mutex_clear (&self->lock);
  g_free (self);
}
