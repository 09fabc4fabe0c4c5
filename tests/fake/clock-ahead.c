/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* To be preloaded: the time of day that a program writes down is PAGEVAULT_TEST_AHEAD seconds ahead. Clocks that GLib
 * and libcurl read for themselves are not: S3 servers go on to take their signatures. What time(2) says, with which
 * libcurl signs, is PAGEVAULT_TEST_AHEAD_SIGNED seconds ahead. A host that sleeps: the file PAGEVAULT_TEST_SLEPT, when
 * it is there, says for how many seconds; the time of day and the time since boot (CLOCK_BOOTTIME) are later by them.
 *
 * With PAGEVAULT_TEST_AHEAD_CALLS only the first so many times are. Prune asks twice: for the time that it compares
 * pack lists with, and for the one that it compares with files, whose times are the file system's.
 */
#include <glib.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static time_t
slept (void)
{
  const char *file = getenv ("PAGEVAULT_TEST_SLEPT");
  g_autofree char *text = NULL;

  return file != NULL && g_file_get_contents (file, &text, NULL, NULL) ? (time_t) atol (text) : 0;
}

int
clock_gettime (clockid_t clock, struct timespec *now)
{
  int status = (int) syscall (SYS_clock_gettime, clock, now);

  if (status == 0 && clock == CLOCK_BOOTTIME)
    now->tv_sec += slept ();
  return status;
}

gint64
g_get_real_time (void)
{
  static gint n_calls;
  const char *ahead = getenv ("PAGEVAULT_TEST_AHEAD"), *calls = getenv ("PAGEVAULT_TEST_AHEAD_CALLS");
  gint n = g_atomic_int_add (&n_calls, 1);
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  if (ahead != NULL && (calls == NULL || n < atoi (calls)))
    now.tv_sec += atol (ahead);
  now.tv_sec += slept ();
  return (gint64) now.tv_sec * G_USEC_PER_SEC + now.tv_nsec / 1000;
}

time_t
time (time_t *at)
{
  const char *ahead = getenv ("PAGEVAULT_TEST_AHEAD_SIGNED");
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  if (ahead != NULL)
    now.tv_sec += atol (ahead);
  if (at != NULL)
    *at = now.tv_sec;
  return now.tv_sec;
}
