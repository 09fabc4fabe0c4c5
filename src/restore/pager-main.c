/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pagevault-pager: serves a guest that runs already with its memory (docs/restore.md). Not for users.
 *
 *   pagevault-pager --start STORE UUID     by restore/lazy-restore.c: its socket is descriptor 3
 *   pagevault-pager --recover STORE UUID   likewise, for a guest whose pager and keeper were killed
 *   pagevault-pager --again STORE UUID     by the keeper: descriptors as in restore/pager-keeper.h
 *   pagevault-pager --keep STORE UUID      the keeper
 *   pagevault-pager --mend STORE URI       stands behind a restore that replaces a guest (restore/restore-guard.h)
 *
 * What it does is told to syslog, and to the command for as long as that listens.
 */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "restore/lazy-restore.h"
#include "restore/pager-keeper.h"
#include "restore/pager-process.h"
#include "restore/pager-warm.h"
#include "restore/restore-guard.h"
#include "store/unlock.h"
#include "util/error.h"
#include "util/file.h"

/* The kernel that is short of memory ends a process: not these, without which a guest stands still. Nor shall the guest
 * wait while busy processes have their turns. */
static void
shield (void)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY, 0, NULL);

  if (fd < 0 || !pv_write_all (fd, "-900", 4, "oom_score_adj", NULL))
    g_debug ("no protection from the kernel's OOM killer");
  pv_pager_set_nice (PV_PAGER_NICE_REQUESTS);
}

static void
tell (char word, const char *text)
{
  g_autofree char *line = g_strdup_printf ("%c%s", word, text);

  if (send (PV_PAGER_FD_COMMAND, line, strlen (line) + 1, MSG_NOSIGNAL) < 0)
    syslog (LOG_DEBUG, "nobody listens: %s", g_strerror (errno));
}

/* Always FALSE. */
static gboolean
tell_error (const GError *error)
{
  syslog (LOG_ERR, "%s", error->message);
  tell (g_error_matches (error, PV_ERROR, PV_ERROR_UNSUPPORTED) ? PV_LAZY_WORD_UNSUPPORTED : PV_LAZY_WORD_FAILED,
        error->message);
  return FALSE;
}

/* What the command says of the guest; NUL when it was killed. */
static char
wait_for_word (void)
{
  char word = '\0';

  return TEMP_FAILURE_RETRY (recv (PV_PAGER_FD_COMMAND, &word, 1, 0)) == 1 ? word : '\0';
}

static void
tell_running (PvPagerProcess *process)
{
  g_autofree char *pages = g_strdup_printf ("%" G_GUINT64_FORMAT, pv_pager_process_pages_on_demand (process));

  tell (PV_LAZY_WORD_RUNNING, pages);
  close (PV_PAGER_FD_COMMAND);
}

static gboolean
begin (PvPagerProcess *process, gboolean recover, GError **error)
{
  char word;

  if (recover)
    return pv_pager_process_recover (process, error);
  if (!pv_pager_process_prepare (process, error))
    return FALSE;
  tell (PV_LAZY_WORD_PREPARED, "");
  word = wait_for_word ();
  if (word == PV_LAZY_WORD_GO)
    return pv_pager_process_start (process, error);
  pv_pager_process_give_up (process, word == '\0');
  return pv_throw (error, PV_ERROR_CANCELLED, "the restore was given up before the guest ran");
}

static gboolean
run_first (const char *store, const char *uuid, gboolean recover)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPagerProcess) process = pv_pager_process_new (store, uuid, PV_PAGER_FD_LOCK, &error);

  if (process == NULL || !begin (process, recover, &error))
    return tell_error (error);
  tell_running (process);
  if (pv_pager_process_serve (process, &error))
    return TRUE;
  syslog (LOG_ERR, "%s", error->message);
  return FALSE;
}

static gboolean
run_again (const char *store, const char *uuid)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPagerProcess) process = pv_pager_process_new (store, uuid, PV_PAGER_FD_LOCK, &error);

  if (process != NULL
      && pv_pager_process_again (process, PV_PAGER_FD_CHANNEL, PV_PAGER_FD_SHARED, PV_PAGER_FD_OTHER, &error)
      && pv_pager_process_serve (process, &error))
    return TRUE;
  syslog (LOG_ERR, "guest %s: %s", uuid, error->message);
  return FALSE;
}

static gboolean
is_socket (int fd)
{
  struct stat st;

  return fstat (fd, &st) == 0 && S_ISSOCK (st.st_mode);
}

int
main (int argc, char **argv)
{
  static const int harmless[] = { SIGINT, SIGHUP, SIGTERM, SIGPIPE, SIGQUIT, SIGTSTP };
  const char *mode = argc == 4 ? argv[1] : "";
  g_autoptr(GError) error = NULL;

  if (argc != 4 || !is_socket (3))
    {
      g_printerr ("pagevault-pager: started by pagevault itself, not by hand\n");
      return 2;
    }
  if (g_str_equal (mode, "--mend"))
    g_unsetenv ("PAGEVAULT_FAULT"); /* fault points are for the restore behind which it stands */
  for (guint i = 0; i < G_N_ELEMENTS (harmless); i++)
    signal (harmless[i], SIG_IGN);
  for (int fd = 3; fd <= PV_PAGER_FD_KEYS; fd++)
    fcntl (fd, F_SETFD, FD_CLOEXEC);
  openlog ("pagevault-pager", LOG_PID, LOG_DAEMON);
  shield ();
  if (!pv_unlock_receive (PV_PAGER_FD_KEYS, &error))
    syslog (LOG_ERR, "%s", error->message); /* a store that needs none opens all the same */
  if (g_str_equal (mode, "--mend"))
    return pv_restore_guard_run (argv[2], argv[3]);
  if (g_str_equal (mode, "--keep"))
    return pv_pager_keeper_run (argv[2], argv[3]);
  if (g_str_equal (mode, "--again"))
    return !run_again (argv[2], argv[3]);
  return !run_first (argv[2], argv[3], g_str_equal (mode, "--recover"));
}
