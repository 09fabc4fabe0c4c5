/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/tracker.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "capture/journal.h"
#include "memsnap/userfault.h"
#include "ram-fixture.h"
#include "store-fixture.h"

/* The userfaultfd is an ordinary file: what a tracker holds is nothing to it. "QEMU" is a child that does nothing. */
typedef struct
{
  Fixture store;
  List list;
  char *uuid;
  char *run;        /* directory of that guest */
  PvSnapshot *one, *other;
  pid_t qemu;
} Guest;

static pid_t
start_qemu (void)
{
  pid_t pid = fork ();

  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      for (;;)
        pause ();
    }
  g_assert_cmpint (pid, >, 0);
  return pid;
}

static void
end_qemu (Guest *guest)
{
  kill (guest->qemu, SIGKILL);
  g_assert_cmpint (waitpid (guest->qemu, NULL, 0), ==, guest->qemu);
}

static void
set_up (Guest *guest, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  guint8 bytes[PAGE];

  fixture_setup (&guest->store, data);
  list_set_up (&guest->list);
  guest->uuid = g_uuid_string_random ();
  guest->run = pv_journal_run_directory (guest->uuid, &error);
  g_assert_no_error (error);
  fill_random (bytes, sizeof bytes, 1);
  guest->one = take (&guest->store, "one", NULL, bytes, sizeof bytes, NULL);
  guest->other = take (&guest->store, "other", NULL, bytes, sizeof bytes, NULL);
  guest->qemu = start_qemu ();
}

static void
tear_down (Guest *guest, gconstpointer data)
{
  pv_tracker_drop (guest->uuid);
  end_qemu (guest);
  g_assert_true (pv_remove_tree (guest->run, NULL));
  g_free (guest->run);
  g_free (guest->uuid);
  pv_snapshot_unref (guest->one);
  pv_snapshot_unref (guest->other);
  list_tear_down (&guest->list);
  fixture_teardown (&guest->store, data);
}

/* A file without a name, to be known again by its inode. */
static int
new_file (ino_t *inode)
{
  int fd = memfd_create ("userfaultfd", MFD_CLOEXEC);
  struct stat status;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (fstat (fd, &status), ==, 0);
  *inode = status.st_ino;
  return fd;
}

static ino_t
start (Guest *guest)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvTracking) tracking = NULL;
  int pidfd = (int) syscall (SYS_pidfd_open, guest->qemu, 0);
  ino_t inode;

  g_assert_cmpint (pidfd, >=, 0);
  tracking = pv_tracking_new (list_map (), new_file (&inode), pidfd);
  pv_tracking_start (tracking, guest->uuid, guest->one, &error);
  g_assert_no_error (error);
  return inode;
}

/* As its file says. */
static pid_t
tracker_of (Guest *guest)
{
  g_autofree char *path = g_build_filename (guest->run, "tracker", NULL);
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;
  int pid;

  g_file_get_contents (path, &text, NULL, &error);
  g_assert_no_error (error);
  g_assert_cmpint (sscanf (text, "tracker %d\n", &pid), ==, 1);
  return pid;
}

/* It is a child of ours, too. */
static void
assert_gone (pid_t tracker)
{
  int status;

  g_assert_cmpint (waitpid (tracker, &status, 0), ==, tracker);
}

static int
take_from (Guest *guest, PvSnapshot *snapshot, pid_t qemu)
{
  g_autoptr(PvRamMap) map = list_map ();

  return pv_tracker_take (guest->uuid, map, qemu, snapshot);
}

/* The very descriptor comes back, once. */
static void
test_taken (Guest *guest, gconstpointer data)
{
  ino_t inode = start (guest);
  pid_t tracker = tracker_of (guest);
  g_auto(PvFd) fd = take_from (guest, guest->one, guest->qemu);
  struct stat status;

  g_assert_cmpint (fd, >=, 0);
  g_assert_cmpint (fstat (fd, &status), ==, 0);
  g_assert_cmpuint (status.st_ino, ==, inode);
  assert_gone (tracker);
  g_assert_cmpint (take_from (guest, guest->one, guest->qemu), ==, PV_FD_NONE);
}

/* What it has noted is of no use for anything else; it ends all the same. */
static void
test_other_snapshot (Guest *guest, gconstpointer data)
{
  pid_t tracker;

  start (guest);
  tracker = tracker_of (guest);
  g_assert_cmpint (take_from (guest, guest->other, guest->qemu), ==, PV_FD_NONE);
  assert_gone (tracker);
  start (guest);
  tracker = tracker_of (guest);
  g_assert_cmpint (take_from (guest, NULL, guest->qemu), ==, PV_FD_NONE);
  assert_gone (tracker);
}

static void
test_other_memory (Guest *guest, gconstpointer data)
{
  pid_t tracker;
  Block *block = guest->list.blocks[1];

  start (guest);
  tracker = tracker_of (guest);
  block->host += PAGE;
  g_assert_cmpint (take_from (guest, guest->one, guest->qemu), ==, PV_FD_NONE);
  assert_gone (tracker);
}

static void
test_other_process (Guest *guest, gconstpointer data)
{
  pid_t tracker;

  start (guest);
  tracker = tracker_of (guest);
  g_assert_cmpint (take_from (guest, guest->one, getpid ()), ==, PV_FD_NONE);
  assert_gone (tracker);
}

/* It ends with QEMU, by itself, and holds nothing then. */
static void
test_qemu_ends (Guest *guest, gconstpointer data)
{
  pid_t tracker;

  start (guest);
  tracker = tracker_of (guest);
  end_qemu (guest);
  assert_gone (tracker);
  g_assert_cmpint (take_from (guest, guest->one, guest->qemu), ==, PV_FD_NONE);
  guest->qemu = start_qemu ();
}

/* It ignores what it is to ignore: the program has begun. */
static gboolean
ignores (pid_t pid, int signum)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/status", (int) pid);
  g_autofree char *text = NULL;
  const char *line;

  g_assert_true (g_file_get_contents (path, &text, NULL, NULL));
  line = strstr (text, "\nSigIgn:");
  g_assert_nonnull (line);
  return (g_ascii_strtoull (line + strlen ("\nSigIgn:\t"), NULL, 16) >> (signum - 1) & 1) != 0;
}

/* Signals of a terminal do not reach it; SIGKILL does. */
static void
test_killed (Guest *guest, gconstpointer data)
{
  pid_t tracker;
  g_auto(PvFd) fd = PV_FD_NONE;
  static const int harmless[] = { SIGINT, SIGHUP, SIGPIPE, SIGQUIT };

  start (guest);
  tracker = tracker_of (guest);
  g_assert_cmpint (getsid (tracker), ==, tracker);
  for (guint i = 0; i < G_N_ELEMENTS (harmless); i++)
    {
      while (!ignores (tracker, harmless[i]))
        g_usleep (1000);
      kill (tracker, harmless[i]);
    }
  fd = take_from (guest, guest->one, guest->qemu);
  g_assert_cmpint (fd, >=, 0);
  start (guest);
  tracker = tracker_of (guest);
  kill (tracker, SIGKILL);
  assert_gone (tracker);
  g_assert_cmpint (take_from (guest, guest->one, guest->qemu), ==, PV_FD_NONE);
}

static void
write_state (Guest *guest, const char *text)
{
  g_autofree char *path = g_build_filename (guest->run, "tracker", NULL);
  g_autoptr(GError) error = NULL;

  g_file_set_contents (path, text, -1, &error);
  g_assert_no_error (error);
}

/* A file that says something else ends nobody. */
static void
test_garbled (Guest *guest, gconstpointer data)
{
  g_autofree char *ours = g_strdup_printf ("tracker %d\nsnapshot 00\n", (int) guest->qemu);
  const char *const texts[] = { "", "tracker", "tracker \n", "tracker -1\nsnapshot\n", "tracker 99999999999999\n",
                                "tracker 0\n", "nonsense\n", ours };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      write_state (guest, texts[i]);
      g_assert_cmpint (take_from (guest, guest->one, guest->qemu), ==, PV_FD_NONE);
      pv_tracker_drop (guest->uuid);
    }
  g_assert_cmpint (waitpid (guest->qemu, NULL, WNOHANG), ==, 0);
}

static void
test_dropped (Guest *guest, gconstpointer data)
{
  pid_t tracker;

  pv_tracker_drop (guest->uuid);
  start (guest);
  tracker = tracker_of (guest);
  pv_tracker_drop (guest->uuid);
  assert_gone (tracker);
}

/* Without its program: a sentence, and no file. */
static void
test_no_program (Guest *guest, gconstpointer data)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvTracking) tracking = NULL;
  ino_t inode;

  g_setenv ("PAGEVAULT_TRACKER", "/nonexistent/pagevault-tracker", TRUE);
  tracking = pv_tracking_new (list_map (), new_file (&inode), (int) syscall (SYS_pidfd_open, guest->qemu, 0));
  g_assert_false (pv_tracking_start (tracking, guest->uuid, guest->one, &error));
  g_assert_nonnull (strstr (error->message, "the next capture reads all of it"));
  g_unsetenv ("PAGEVAULT_TRACKER");
  g_assert_cmpint (take_from (guest, guest->one, guest->qemu), ==, PV_FD_NONE);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
#define ADD(name, function) g_test_add ("/tracker/" name, Guest, NULL, set_up, function, tear_down)
  ADD ("taken", test_taken);
  ADD ("other-snapshot", test_other_snapshot);
  ADD ("other-memory", test_other_memory);
  ADD ("other-process", test_other_process);
  ADD ("qemu-ends", test_qemu_ends);
  ADD ("killed", test_killed);
  ADD ("garbled", test_garbled);
  ADD ("dropped", test_dropped);
  ADD ("no-program", test_no_program);
  return g_test_run ();
}
