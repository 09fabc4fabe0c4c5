/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/process-memory.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "memsnap/dirty-log.h"
#include "memsnap/userfault.h"
#include "util/error.h"
#include "util/file.h"

#define PAGE ((gsize) 4096)
#define PAGES ((gsize) 64)

/* What target and test share. */
typedef struct
{
  guint64 turns;  /* of the target, each with all its checks passed */
  int wrong;      /* line in which something was not as it must be */
  int stop;
  guint64 signals;
  guint8 *memory; /* PAGES pages, private to the target */
} Shared;

/* --- the target: looks at itself all the time --- */

static Shared *shared;

#define MUST(condition) do { if (!(condition)) { shared->wrong = __LINE__; _exit (1); } } while (0)

static void
on_signal (int signum)
{
  shared->signals++;
}

/* The same number every time, if no register is touched: integer, SSE and x87. */
static guint64 G_GNUC_NO_INLINE
compute (void)
{
  guint64 a = 1, b = 2, c = 3, d = 5, e = 7, f = 11, g = 13;
  double x = 0.5, y = 0.25, z = 1;
  long double w = 1;

  for (guint i = 1; i < 3000; i++)
    {
      __asm__ volatile ("" ::: "memory"); /* or it would be done once for all */
      a = a * 31 + b;
      b ^= c << 7 | c >> 57;
      c += d * e;
      d = d * 17 + f;
      e ^= a >> 3;
      f += g ^ b;
      g = g * 13 + i;
      x = x * 1.0000001 + y;
      y = y * 0.9999 + 1 / z;
      z += x * 0.001;
      w = w * 1.00001L + 1.0L / i;
    }
  return a ^ b ^ c ^ d ^ e ^ f ^ g ^ (guint64) (x * 1000) ^ (guint64) (y * 1e6) ^ (guint64) (z * 1000)
         ^ (guint64) (w * 1e9L);
}

static void
check_sleep (void)
{
  struct timespec before, after, wanted = { 0, 1500000 };

  clock_gettime (CLOCK_MONOTONIC, &before);
  MUST (nanosleep (&wanted, NULL) == 0);
  clock_gettime (CLOCK_MONOTONIC, &after);
  MUST ((after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec - before.tv_nsec >= wanted.tv_nsec);
}

/* Blocks in a read that a child answers later; the pipe is empty before and after. */
static void
check_read (int asking, int answering)
{
  char byte = 'a';

  MUST (write (asking, &byte, 1) == 1);
  byte = 0;
  MUST (read (answering, &byte, 1) == 1 && byte == 'b');
}

/* With another signal mask for as long as it lasts. */
static void
check_poll (const sigset_t *usual)
{
  struct timespec wanted = { 0, 1000000 };
  sigset_t mask = *usual, now;

  sigaddset (&mask, SIGUSR2);
  MUST (ppoll (NULL, 0, &wanted, &mask) == 0);
  MUST (sigprocmask (SIG_BLOCK, NULL, &now) == 0);
  for (int signum = 1; signum < 32; signum++)
    MUST (sigismember (&now, signum) == sigismember (usual, signum));
}

static void G_GNUC_NORETURN
answer (int from, int to)
{
  char byte;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  while (read (from, &byte, 1) == 1)
    {
      usleep (700);
      byte = 'b';
      if (write (to, &byte, 1) != 1)
        break;
    }
  _exit (0);
}

static void G_GNUC_NORETURN
be_target (gboolean quick)
{
  guint64 wanted = compute ();
  struct itimerval often = { { 0, 900 }, { 0, 900 } };
  struct sigaction action = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
  int ask[2], reply[2];
  sigset_t usual;

  prctl (PR_SET_PDEATHSIG, SIGKILL);
  prctl (PR_SET_PTRACER, PR_SET_PTRACER_ANY, 0, 0, 0);
  MUST (pipe (ask) == 0 && pipe (reply) == 0);
  if (fork () == 0)
    answer (ask[0], reply[1]);
  sigprocmask (SIG_BLOCK, NULL, &usual);
  for (guint64 turn = 1; !__atomic_load_n (&shared->stop, __ATOMIC_RELAXED); turn++)
    {
      guint8 *page = shared->memory + turn % PAGES * PAGE;

      *(guint64 *) (gpointer) (page + 8) = turn;
      for (guint i = 0; i < 20; i++)
        MUST (compute () == wanted);
      if (!quick)
        {
          check_sleep ();
          check_read (ask[1], reply[0]);
          check_poll (&usual);
          /* Now and then its own signals come as well. */
          if (turn % 16 == 0)
            {
              sigaction (SIGALRM, &action, NULL);
              setitimer (ITIMER_REAL, &often, NULL);
            }
          for (guint i = 0; i < 200 && turn % 16 == 0; i++)
            MUST (compute () == wanted);
          if (turn % 16 == 0)
            setitimer (ITIMER_REAL, &(struct itimerval){ { 0, 0 }, { 0, 0 } }, NULL);
        }
      MUST (*(guint64 *) (gpointer) (page + 8) == turn);
      __atomic_store_n (&shared->turns, turn, __ATOMIC_RELEASE);
    }
  _exit (0);
}

typedef struct
{
  int pid, pidfd;
} Target;

static Target
start_target (gboolean quick)
{
  Target target;

  memset (shared, 0, sizeof *shared);
  shared->memory = mmap (NULL, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  memset (shared->memory, 1, PAGES * PAGE);
  target.pid = fork ();
  if (target.pid == 0)
    be_target (quick);
  target.pidfd = (int) syscall (SYS_pidfd_open, target.pid, 0);
  g_assert_cmpint (target.pidfd, >=, 0);
  return target;
}

/* It goes on, and nothing was wrong so far. */
static void
assert_goes_on (const Target *target, guint64 turns)
{
  guint64 now = __atomic_load_n (&shared->turns, __ATOMIC_ACQUIRE);

  while (__atomic_load_n (&shared->turns, __ATOMIC_ACQUIRE) < now + turns)
    {
      int status = 0;

      g_assert_cmpint (shared->wrong, ==, 0);
      if (waitpid (target->pid, &status, WNOHANG) != 0)
        g_error ("the target ended: status 0x%x, line %d", (guint) status, shared->wrong);
      g_usleep (200);
    }
}

static void
end_target (Target *target)
{
  int status;

  __atomic_store_n (&shared->stop, 1, __ATOMIC_RELAXED);
  g_assert_cmpint (waitpid (target->pid, &status, 0), ==, target->pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
  g_assert_cmpint (shared->wrong, ==, 0);
  close (target->pidfd);
  munmap (shared->memory, PAGES * PAGE);
}

static guint
count_descriptors (const Target *target)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/fd", target->pid);
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  g_assert_nonnull (dir);
  while (g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

/* --- */

static gboolean
is_missing (const GError *error)
{
  return g_error_matches (error, PV_ERROR, PV_ERROR_UNSUPPORTED) || g_error_matches (error, PV_ERROR, PV_ERROR_DENIED);
}

/* Again and again, with every kind of thing under way: no trace is left. */
static void
test_again (gconstpointer data)
{
  gboolean quick = *(const gboolean *) data;
  Target target = start_target (quick);
  guint rounds = g_test_slow () ? 3000 : 150, n;
  gboolean possible = TRUE;

  assert_goes_on (&target, 1);
  n = count_descriptors (&target);
  for (guint i = 0; possible && i < rounds; i++)
    {
      g_autoptr(GError) error = NULL;
      g_auto(PvFd) fd = pv_process_memory_userfaultfd (target.pidfd, PV_PROCESS_MEMORY_TRACK, &error);

      if (is_missing (error))
        g_test_skip_printf ("n/a: %s", error->message);
      else
        g_assert_no_error (error);
      possible = error == NULL;
    }
  assert_goes_on (&target, 20);
  g_assert_cmpuint (count_descriptors (&target), ==, n);
  end_target (&target);
}

/* The tracer is killed at any moment. */
static void
test_killed (void)
{
  Target target = start_target (FALSE);
  guint rounds = g_test_slow () ? 3000 : 100, hits = 0;

  for (guint i = 0; i < rounds; i++)
    {
      int *done = mmap (NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      pid_t tracer = fork ();
      int status;

      if (tracer == 0)
        {
          for (;;)
            {
              int fd = pv_process_memory_userfaultfd (target.pidfd, PV_PROCESS_MEMORY_TRACK, NULL);

              if (fd >= 0)
                close (fd);
              __atomic_add_fetch (done, fd >= 0, __ATOMIC_RELAXED);
            }
        }
      while (__atomic_load_n (done, __ATOMIC_RELAXED) == 0 && waitpid (tracer, &status, WNOHANG) == 0 && i % 2 == 0)
        g_usleep (50);
      g_usleep ((gulong) g_test_rand_int_range (0, 3000));
      kill (tracer, SIGKILL);
      waitpid (tracer, &status, 0);
      hits += (guint) *done;
      munmap (done, PAGE);
      assert_goes_on (&target, 1);
    }
  g_test_message ("%u userfaultfds made before kills, %" G_GUINT64_FORMAT " signals handled", hits, shared->signals);
  end_target (&target);
}

static gsize
follow (PvDirtyLog *log, const Target *target, guint8 *mirror)
{
  g_autoptr(GError) error = NULL;
  gsize n;
  const guint64 *dirty = pv_dirty_log_switch (log, &n, &error);

  g_assert_no_error (error);
  for (gsize page = 0; page < PAGES; page++)
    {
      if ((dirty[0] >> page & 1) != 0)
        pv_process_memory_read (target->pid, (guint64) (gsize) shared->memory + page * PAGE, mirror + page * PAGE,
                                PAGE, &error);
    }
  g_assert_no_error (error);
  return n;
}

/* A copy that only follows the log of another process ends up equal. */
static void
test_dirty_log (void)
{
  Target target = start_target (TRUE);
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = pv_process_memory_userfaultfd (target.pidfd, PV_PROCESS_MEMORY_TRACK, &error);
  g_autofree guint8 *mirror = g_malloc (PAGES * PAGE), *now = g_malloc (PAGES * PAGE);
  g_autoptr(PvDirtyLog) log = NULL;
  guint64 start = (guint64) (gsize) shared->memory;
  gsize seen = 0;

  if (fd < 0 && is_missing (error))
    {
      g_test_skip_printf ("n/a: %s", error->message);
      end_target (&target);
      return;
    }
  g_assert_no_error (error);
  log = pv_dirty_log_new_process (target.pid, fd, start, PAGES * PAGE, &error);
  g_assert_no_error (error);
  g_assert_true (pv_process_memory_read (target.pid, start, mirror, PAGES * PAGE, &error));
  for (guint round = 0; round < 100 || seen < 200; round++)
    {
      seen += follow (log, &target, mirror);
      g_usleep (100);
    }
  kill (target.pid, SIGSTOP);
  g_assert_cmpint (waitpid (target.pid, &(int){ 0 }, WUNTRACED), ==, target.pid);
  follow (log, &target, mirror);
  g_assert_true (pv_process_memory_read (target.pid, start, now, PAGES * PAGE, &error));
  g_assert_cmpint (memcmp (now, mirror, PAGES * PAGE), ==, 0);
  kill (target.pid, SIGCONT);
  g_clear_pointer (&log, pv_dirty_log_free);
  assert_goes_on (&target, 5);
  end_target (&target);
}

/* A stopped target stays stopped, and goes on when its user says so. */
static void
test_stopped (void)
{
  Target target = start_target (FALSE);
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = PV_FD_NONE;
  guint64 turns;

  assert_goes_on (&target, 2);
  kill (target.pid, SIGSTOP);
  g_assert_cmpint (waitpid (target.pid, &(int){ 0 }, WUNTRACED), ==, target.pid);
  fd = pv_process_memory_userfaultfd (target.pidfd, PV_PROCESS_MEMORY_TRACK, &error);
  if (is_missing (error))
    g_test_skip_printf ("n/a: %s", error->message);
  else
    g_assert_no_error (error);
  turns = shared->turns;
  g_usleep (20000);
  g_assert_cmpuint (shared->turns, ==, turns);
  kill (target.pid, SIGCONT);
  assert_goes_on (&target, 2);
  end_target (&target);
}

static void
test_refused (void)
{
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) own = (int) syscall (SYS_pidfd_open, getpid (), 0), gone = PV_FD_NONE;
  pid_t pid = fork ();

  if (pid == 0)
    _exit (0);
  gone = (int) syscall (SYS_pidfd_open, pid, 0);
  waitpid (pid, NULL, 0);
  g_assert_cmpint (pv_process_memory_userfaultfd (own, 0, &error), ==, -1);
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_cmpint (pv_process_memory_userfaultfd (gone, 0, &error), ==, -1);
  g_assert_error (error, PV_ERROR, PV_ERROR_NOT_FOUND);
  g_clear_error (&error);
  g_assert_cmpint (pv_process_memory_userfaultfd (0, 0, &error), ==, -1);
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

int
main (int argc, char **argv)
{
  static const gboolean yes = TRUE, no = FALSE;

  g_test_init (&argc, &argv, NULL);
  shared = mmap (NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  g_test_add_data_func ("/process-memory/again/computing", &yes, test_again);
  g_test_add_data_func ("/process-memory/again/waiting", &no, test_again);
  g_test_add_func ("/process-memory/killed", test_killed);
  g_test_add_func ("/process-memory/dirty-log", test_dirty_log);
  g_test_add_func ("/process-memory/stopped", test_stopped);
  g_test_add_func ("/process-memory/refused", test_refused);
  return g_test_run ();
}
