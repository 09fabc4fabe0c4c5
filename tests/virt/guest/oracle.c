/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum { STALL_PERIOD_US = 2000 };

unsigned n_cpus;

static _Atomic uint64_t stall_asked_us, stall_ticked_us;   /* longest since last asked, since last tick line */
static int console = 1;

static pthread_mutex_t verdict_lock = PTHREAD_MUTEX_INITIALIZER;
static char verdict[200];   /* the first thing found wrong; under verdict_lock */
static unsigned n_wrong;    /* under verdict_lock */

void
say (const char *format, ...)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  char line[512] = "ORACLE ";
  va_list args;
  int length;

  va_start (args, format);
  length = 7 + vsnprintf (line + 7, sizeof line - 9, format, args);
  va_end (args);
  if (length > (int) sizeof line - 3)
    length = sizeof line - 3;
  line[length++] = '\n';
  pthread_mutex_lock (&lock);
  for (int done = 0; done < length;)
    {
      ssize_t n = write (console, line + done, length - done);

      if (n < 0 && errno != EINTR)
        break;
      done += n > 0 ? n : 0;
    }
  pthread_mutex_unlock (&lock);
}

void
wrong (const char *format, ...)
{
  char text[sizeof verdict];
  bool first;
  va_list args;

  va_start (args, format);
  vsnprintf (text, sizeof text, format, args);
  va_end (args);
  pthread_mutex_lock (&verdict_lock);
  first = n_wrong++ == 0;
  if (first)
    memcpy (verdict, text, sizeof verdict);
  pthread_mutex_unlock (&verdict_lock);
  if (first)
    say ("found BAD %s", text);
}

bool
all_right (void)
{
  bool result;

  pthread_mutex_lock (&verdict_lock);
  result = n_wrong == 0;
  pthread_mutex_unlock (&verdict_lock);
  return result;
}

void
die (const char *what)
{
  say ("died: %s: %s", what, strerror (errno));
  sync ();
  reboot (RB_POWER_OFF);
  _exit (1);
}

uint64_t
now_us (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return t.tv_sec * UINT64_C (1000000) + t.tv_nsec / 1000;
}

void
sleep_us (uint64_t us)
{
  nanosleep (&(struct timespec) { us / 1000000, us % 1000000 * 1000 }, NULL);
}

uint64_t
parameter (const char *name, uint64_t otherwise)
{
  static char line[4096];
  char key[64];
  const char *found;

  if (line[0] == '\0')
    {
      int fd = open ("/proc/cmdline", O_RDONLY);
      ssize_t n = read (fd, line + 1, sizeof line - 2);

      line[0] = ' ';
      line[n > 0 ? n + 1 : 1] = '\0';
      close (fd);
    }
  snprintf (key, sizeof key, " oracle.%s=", name);
  found = strstr (line, key);
  return found != NULL ? strtoull (found + strlen (key), NULL, 10) : otherwise;
}

void
pin_to (unsigned cpu, bool urgent)
{
  cpu_set_t set;

  CPU_ZERO (&set);
  CPU_SET (cpu, &set);
  sched_setaffinity (0, sizeof set, &set);
  if (urgent)
    sched_setscheduler (0, SCHED_FIFO, &(struct sched_param) { .sched_priority = 1 });
}

void
start_thread (void *(*run) (void *), void *data)
{
  pthread_t thread;

  if ((errno = pthread_create (&thread, NULL, run, data)) != 0)
    die ("pthread_create");
  pthread_detach (thread);
}

void *
zero_pages (size_t size)
{
  void *buffer = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (buffer == MAP_FAILED)
    die ("memory");
  return buffer;
}

static void
raise_to (_Atomic uint64_t *longest, uint64_t us)
{
  uint64_t seen = *longest;

  while (us > seen && !atomic_compare_exchange_weak (longest, &seen, us))
    ;
}

/* Notices when this vCPU did not run: wakes up every 2 ms and measures how much later it was. */
static void *
run_stall (void *data)
{
  uint64_t last, now;

  pin_to ((unsigned) (uintptr_t) data, true);
  for (last = now_us ();; last = now)
    {
      sleep_us (STALL_PERIOD_US);
      now = now_us ();
      if (now - last > STALL_PERIOD_US)
        {
          raise_to (&stall_asked_us, now - last - STALL_PERIOD_US);
          raise_to (&stall_ticked_us, now - last - STALL_PERIOD_US);
        }
    }
  return NULL;
}

static void *
run_tick_lines (void *data)
{
  for (;;)
    {
      sleep_us (1000000);
      say ("tick n=%lu stall_max_us=%lu", committed, atomic_exchange (&stall_ticked_us, 0));
    }
  return NULL;
}

static void
answer_verdict (const char *tag, const char *command)
{
  char state[200], found[sizeof verdict];
  unsigned n;

  disks_describe (state, sizeof state);
  pthread_mutex_lock (&verdict_lock);
  n = n_wrong;
  memcpy (found, verdict, sizeof found);
  pthread_mutex_unlock (&verdict_lock);
  if (n == 0)
    say ("%s%s ok pages=%lu %s", tag, command, n_pages, state);
  else
    say ("%s%s BAD pages=%lu %s found=%u first: %s", tag, command, n_pages, state, n, found);
}

static void
answer_check (const char *tag)
{
  memory_check ();
  disks_check ();
  answer_verdict (tag, "check");
}

static void
answer_dirty (const char *tag, uint64_t mib)
{
  uint64_t n = mib * 256;

  memory_dirty (n);
  say ("%sdirty pages=%lu", tag, n);
}

static void
answer_sync (const char *tag)
{
  uint64_t n = committed;

  while (tick_ms != 0 && committed < n + 2)
    sleep_us (1000);
  say ("%ssync n=%lu", tag, committed);
}

static void
answer_step (const char *tag)
{
  disks_step ();
  say ("%sstep n=%lu", tag, committed);
}

/* Commands, one a line, "#TAG " before it is repeated in the answer:
 *   check       verify all memory and all disks now    status      what is known without looking
 *   sync        answer after a whole tick from now      stall       longest stall since last asked
 *   rate KIB    dirty so much memory per second         tick MS     one tick every so often; 0: none
 *   dirty MIB   rewrite so much memory, then answer     step        do one tick, then answer
 *   sweep KIB   verify so much memory per second        halt        stand still: no processor runs again
 *   poweroff */
static void
run_command (char *line)
{
  char tag[40] = "";
  char *command = line, *argument;
  uint64_t value;

  if (line[0] == '#')
    {
      command = line + strcspn (line, " ");
      snprintf (tag, sizeof tag, "%.*s ", (int) (command - line), line);
      command += *command == ' ';
    }
  argument = command + strcspn (command, " ");
  if (*argument == ' ')
    *argument++ = '\0';
  value = strtoull (argument, NULL, 10);
  if (strcmp (command, "check") == 0)
    answer_check (tag);
  else if (strcmp (command, "status") == 0)
    answer_verdict (tag, "status");
  else if (strcmp (command, "sync") == 0)
    answer_sync (tag);
  else if (strcmp (command, "step") == 0)
    answer_step (tag);
  else if (strcmp (command, "stall") == 0)
    say ("%sstall max_us=%lu", tag, atomic_exchange (&stall_asked_us, 0));
  else if (strcmp (command, "dirty") == 0)
    answer_dirty (tag, value);
  else if (strcmp (command, "rate") == 0)
    say ("%srate %lu", tag, rate_kib = value);
  else if (strcmp (command, "sweep") == 0)
    say ("%ssweep %lu", tag, sweep_kib = value);
  else if (strcmp (command, "tick") == 0)
    say ("%stick %lu", tag, tick_ms = value);
  else if (strcmp (command, "halt") == 0 || strcmp (command, "poweroff") == 0)
    {
      say ("%s%s", tag, command);
      tcdrain (console);
      reboot (command[0] == 'h' ? RB_HALT_SYSTEM : RB_POWER_OFF);
    }
  else if (command[0] != '\0')
    say ("%sunknown command '%s'", tag, command);
}

static void
run_console (void)
{
  char line[200];
  size_t length = 0;

  for (;;)
    {
      char c;
      ssize_t n = read (console, &c, 1);

      if (n <= 0)
        {
          sleep_us (10000);
          continue;
        }
      if (c == '\n' || c == '\r')
        {
          line[length] = '\0';
          length = 0;
          run_command (line);
        }
      else if (length < sizeof line - 1)
        line[length++] = c;
    }
}

static void
open_console (void)
{
  struct termios t;
  int fd = open ("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);

  if (fd < 0 || tcgetattr (fd, &t) < 0)
    return;
  cfmakeraw (&t);
  t.c_oflag = OPOST | ONLCR;
  t.c_cflag |= CLOCAL | CREAD;
  cfsetspeed (&t, B115200);
  tcsetattr (fd, TCSANOW, &t);
  console = fd;
}

/* The list names one module a line, in the order in which they need one another. */
static void
load_modules (void)
{
  FILE *list = fopen ("/modules/list", "r");
  char name[200], path[220];

  while (list != NULL && fscanf (list, "%199s", name) == 1)
    {
      int fd;

      snprintf (path, sizeof path, "/modules/%s", name);
      fd = open (path, O_RDONLY | O_CLOEXEC);
      if (fd < 0 || (syscall (SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
        say ("cannot load %s: %s", name, strerror (errno));
      close (fd);
    }
}

int
main (void)
{
  signal (SIGPIPE, SIG_IGN);
  mkdir ("/proc", 0755);
  mkdir ("/sys", 0755);
  mkdir ("/dev", 0755);
  mount ("proc", "/proc", "proc", 0, NULL);
  mount ("sysfs", "/sys", "sysfs", 0, NULL);
  mount ("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  open_console ();
  load_modules ();

  n_cpus = sysconf (_SC_NPROCESSORS_ONLN);
  if (n_cpus > MAX_CPUS)
    n_cpus = MAX_CPUS;
  disks_start (parameter ("blocks", 2048));
  answer_verdict ("", "boot");
  memory_start (parameter ("mem", 64));
  disks_run ();
  agent_start ();
  for (uintptr_t i = 0; i < n_cpus; i++)
    start_thread (run_stall, (void *) i);
  start_thread (run_tick_lines, NULL);
  say ("ready pages=%lu vcpus=%u disks=%u", n_pages, n_cpus, n_disks);
  run_console ();
  return 0;
}
