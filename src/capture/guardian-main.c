/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pagevault-guardian UUID JOURNAL COPY URI: started by a capture (capture/guardian.h), with its socket as descriptor 3
 * and the guest's lock as descriptor 4. Not for users. What it does is told to syslog.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "capture/guardian.h"
#include "capture/undo.h"
#include "util/error.h"

enum
{
  SOCKET = 3,
  RECONNECT_MS = 5000,      /* how long one try waits for libvirtd */
  TRIES = 20,               /* for errors that are not libvirtd's absence */
  BACK_OFF_US = 100 * 1000, /* doubled up to 32 times */
  STREAM_STEP = 1 << 20,    /* bytes */
};

typedef struct
{
  PvFd stream;        /* the reading end of a background snapshot's stream, once we have it */
  PvFd channel;       /* the destination's end of a migration, once we have it */
  GThread *reader;    /* (owned) (nullable): takes in what nobody else does */
  const char *uuid;
  PvGuest *guest;     /* (owned) (nullable): NULL when libvirt has forgotten it */
  const char *path;   /* of the journal: it may not be there yet */
  const char *copy;   /* its durable lines */
  PvJournal *journal; /* (owned) (nullable): once it was needed */
} Duty;

static void
say (char word)
{
  if (send (SOCKET, &word, 1, MSG_NOSIGNAL) < 0)
    syslog (LOG_DEBUG, "the capture does not listen: %s", g_strerror (errno));
}

/* (nullable) (transfer none): NULL without @error when there is none. */
static PvJournal *
journal_of (Duty *duty, GError **error)
{
  if (duty->journal == NULL)
    duty->journal = pv_journal_open (duty->path, error);
  return duty->journal;
}

/* Which run state the user had the guest in. */
static char *
former_state (Duty *duty)
{
  PvJournal *journal = journal_of (duty, NULL);
  g_autoptr(GPtrArray) steps = journal != NULL ? pv_journal_steps (journal, NULL) : NULL;
  char *was = NULL;
  gboolean over = FALSE;

  for (guint i = 0; steps != NULL && i < steps->len; i++)
    {
      const PvStep *step = steps->pdata[i];

      if (step->kind == PV_STEP_BEGIN)
        was = g_strdup (step->arguments[2]);
      if (step->kind == PV_STEP_PAUSE) /* the last one counts: a guest may be paused several times */
        over = step->over;
    }
  if (over)
    g_clear_pointer (&was, g_free);
  return was;
}

static gpointer
discard_stream (gpointer data)
{
  int fd = GPOINTER_TO_INT (data);
  g_autofree char *bytes = g_malloc (STREAM_STEP);
  gssize n;

  while ((n = TEMP_FAILURE_RETRY (read (fd, bytes, STREAM_STEP))) > 0)
    continue;
  return NULL;
}

/* From here on the stream is ours: a background snapshot gets rid of the rest of it; any other migration fails, as it
 * does when the destination dies. */
static void
take_stream (Duty *duty)
{
  if (duty->channel >= 0 && shutdown (duty->channel, SHUT_RDWR) < 0)
    syslog (LOG_DEBUG, "cannot shut the migration's socket down: %s", g_strerror (errno));
  if (duty->stream >= 0 && duty->reader == NULL)
    duty->reader = g_thread_new ("guardian-reader", discard_stream, GINT_TO_POINTER (duty->stream));
}

static gboolean
connection_lost (Duty *duty)
{
  return duty->guest != NULL && !pv_connection_alive (pv_guest_connection (duty->guest));
}

/* The job is silent while the guest may be waiting for it: no more than what frees the guest; the rest is the job's,
 * or ours when its socket closes. */
static void
let_go (Duty *duty)
{
  g_autofree char *was = former_state (duty);
  g_autoptr(GError) error = NULL;
  PvGuest *again = NULL;

  say (PV_GUARDIAN_TOOK);
  take_stream (duty);
  if (connection_lost (duty))
    again = pv_guest_reopen (duty->guest, RECONNECT_MS, NULL);
  if (again != NULL)
    {
      pv_guest_unref (duty->guest);
      duty->guest = again;
    }
  syslog (LOG_WARNING, "capture of guest %s does not answer: ending it and letting the guest go on",
          pv_guest_name (duty->guest));
  if (!pv_undo_migration (duty->guest, duty->stream >= 0, was, &error)
      || (was != NULL && !pv_undo_run_state (duty->guest, was, &error)))
    syslog (LOG_ERR, "%s", error->message);
}

/* Like recv(2); a descriptor that comes along is the stream or the channel: its word is the last one received, because
 * the kernel ends a message at its descriptor. */
static gssize
hear (Duty *duty, char *words, gsize size)
{
  union
  {
    struct cmsghdr align;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control;
  struct iovec data = { .iov_base = words, .iov_len = size };
  struct msghdr message
      = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof control };
  gssize n = TEMP_FAILURE_RETRY (recvmsg (SOCKET, &message, MSG_CMSG_CLOEXEC));
  struct cmsghdr *header = n > 0 ? CMSG_FIRSTHDR (&message) : NULL;

  if (header != NULL && header->cmsg_type == SCM_RIGHTS && header->cmsg_len == CMSG_LEN (sizeof (int)))
    {
      PvFd *place = words[n - 1] == PV_GUARDIAN_CHANNEL ? &duty->channel : &duty->stream;

      pv_fd_clear (place);
      memcpy (place, CMSG_DATA (header), sizeof (int));
    }
  return n;
}

/* Stopped by a signal or a debugger, it will not go on by itself. */
static gboolean
is_job_stopped (void)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/stat", (int) getppid ());
  g_autofree char *text = NULL;
  const char *at = g_file_get_contents (path, &text, NULL, NULL) ? strrchr (text, ')') : NULL;

  return at != NULL && (g_str_has_prefix (at, ") T") || g_str_has_prefix (at, ") t"));
}

/* What was heard of the job. */
typedef struct
{
  gboolean watching; /* the reader has to say something */
  gboolean frozen;   /* the job's thread has to */
  guint silent_ms;   /* nobody said anything for so long */
  gint64 checked_us; /* monotonic: when the job's thread last did, or was first expected to */
} Hearing;

static void
note (Hearing *self, char word)
{
  if (word == PV_GUARDIAN_WATCH || word == PV_GUARDIAN_UNWATCH)
    self->watching = word == PV_GUARDIAN_WATCH;
  if (word == PV_GUARDIAN_FROZEN || word == PV_GUARDIAN_RUNS)
    self->frozen = word == PV_GUARDIAN_FROZEN;
  if (word == PV_GUARDIAN_FROZEN || word == PV_GUARDIAN_CHECK)
    self->checked_us = g_get_monotonic_time ();
}

static gboolean
is_overdue (const Hearing *self)
{
  if (self->silent_ms > 0 && (self->silent_ms >= PV_GUARDIAN_STARVED_MS || is_job_stopped ()))
    return TRUE;
  return self->frozen && g_get_monotonic_time () - self->checked_us > PV_GUARDIAN_HUNG_MS * 1000;
}

/* Until the socket closes. TRUE: the capture came to its end by itself. */
static gboolean
watch (Duty *duty)
{
  struct pollfd pollfd = { .fd = SOCKET, .events = POLLIN };
  Hearing hearing = { 0 };

  for (;;)
    {
      char words[256]; /* all that comes in 20 s when we get no processor */
      int ready = poll (&pollfd, 1, hearing.watching ? PV_GUARDIAN_PATIENCE_MS : -1);
      gssize n = 0;

      if (ready < 0 && errno == EINTR)
        continue;
      hearing.silent_ms = ready == 0 ? hearing.silent_ms + PV_GUARDIAN_PATIENCE_MS : 0;
      if (ready != 0 && (n = hear (duty, words, sizeof words)) <= 0)
        return FALSE;
      for (gssize i = 0; i < n; i++)
        {
          if (words[i] == PV_GUARDIAN_DONE)
            return TRUE;
          note (&hearing, words[i]);
        }
      if (is_overdue (&hearing))
        {
          let_go (duty);
          hearing.watching = hearing.frozen = FALSE;
        }
    }
}

/* The capture had come so far itself, or did not even begin. */
static gboolean
is_nothing_left (Duty *duty, GError **error)
{
  g_autoptr(GError) local = NULL;
  PvJournal *journal = journal_of (duty, &local);

  if (local != NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  else
    return journal == NULL || !g_file_test (duty->path, G_FILE_TEST_EXISTS);
  return FALSE;
}

/* As long as libvirtd is away there is nothing to give up for: the guest cannot be reached by anybody. */
static int
put_back (Duty *duty)
{
  gulong delay = BACK_OFF_US;

  take_stream (duty);
  for (guint tries = 0; tries < TRIES;)
    {
      g_autoptr(GError) error = NULL;
      g_autofree char *done = NULL;

      if (is_nothing_left (duty, &error)
          || (error == NULL && pv_undo_run (&duty->guest, duty->journal, RECONNECT_MS, &done, &error)))
        {
          syslog (LOG_NOTICE, "guest %s: its capture was killed: %s",
                  duty->guest != NULL ? pv_guest_name (duty->guest) : duty->uuid,
                  done != NULL ? done : "there was nothing to put back");
          /* with the lock held: what is left of a capture that made or removed only one of the two */
          if (!pv_unlink (duty->copy, NULL))
            syslog (LOG_DEBUG, "cannot remove '%s'", duty->copy);
          return 0;
        }
      syslog (LOG_WARNING, "%s", error->message);
      if (!connection_lost (duty))
        tries++;
      g_usleep (delay);
      delay = MIN (delay * 2, BACK_OFF_US * 32);
    }
  syslog (LOG_ERR, "guest %s: given up; the next pagevault command for it tries again", duty->uuid);
  return 1;
}

int
main (int argc, char **argv)
{
  static const int harmless[] = { SIGINT, SIGHUP, SIGTERM, SIGPIPE, SIGQUIT, SIGTSTP };
  g_autoptr(GError) error = NULL;
  g_autoptr(PvConnection) connection = NULL;
  Duty duty = { .stream = PV_FD_NONE, .channel = PV_FD_NONE };
  struct stat st;

  if (argc != 5 || fstat (SOCKET, &st) < 0 || !S_ISSOCK (st.st_mode))
    {
      g_printerr ("pagevault-guardian: started by pagevault itself, not by hand\n");
      return 2;
    }
  for (guint i = 0; i < G_N_ELEMENTS (harmless); i++)
    signal (harmless[i], SIG_IGN);
  openlog ("pagevault-guardian", LOG_PID, LOG_DAEMON);
  duty.uuid = argv[1];
  duty.path = argv[2];
  duty.copy = argv[3];
  connection = pv_connection_open (argv[4], &error);
  duty.guest = connection != NULL ? pv_guest_lookup_uuid (connection, argv[1], &error) : NULL;
  if (duty.guest == NULL)
    {
      g_printerr ("pagevault-guardian: %s\n", error->message);
      return 1;
    }
  if (dup2 (STDIN_FILENO, STDERR_FILENO) < 0) /* /dev/null: nobody has to wait for us */
    syslog (LOG_DEBUG, "cannot let go of the error output: %s", g_strerror (errno));
  say (PV_GUARDIAN_READY);
  if (watch (&duty))
    return 0;
  return put_back (&duty);
}
