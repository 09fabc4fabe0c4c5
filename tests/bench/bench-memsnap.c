/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How long a snapshot of much memory holds up a process: fork(2) and the engines of PvMemsnap, in turns.
 *
 *   bench-memsnap MEBIBYTES ROUNDS thp|small       prints JSON
 *
 * A second thread writes to the memory all the time, a page every 50 microseconds, and notes the longest time that one
 * store took. 'caller' is the time of the call in the thread that makes it; 'total' until all of the snapshot was read
 * once, by the child where fork(2) is by itself; 'extra' the memory that it took: copies of pages, for fork(2) also the
 * child's page tables.
 */
#include "config.h"

#include <json-glib/json-glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "memsnap/memsnap.h"

#define PAGE ((gsize) 4096)

static guint8 *memory;
static gsize size;
static gint64 longest_ns;
static int stop;

static gint64
now_ns (clockid_t which)
{
  struct timespec at;

  clock_gettime (which, &at);
  return (gint64) at.tv_sec * 1000000000 + at.tv_nsec;
}

static gpointer
write_on (gpointer unused)
{
  guint32 x = 1;

  while (!__atomic_load_n (&stop, __ATOMIC_RELAXED))
    {
      gint64 before, took;

      x = x * 1664525 + 1013904223;
      before = now_ns (CLOCK_MONOTONIC);
      *(volatile guint8 *) (memory + (x >> 4) % (size / PAGE) * PAGE) = (guint8) x;
      took = now_ns (CLOCK_MONOTONIC) - before;
      if (took > __atomic_load_n (&longest_ns, __ATOMIC_RELAXED))
        __atomic_store_n (&longest_ns, took, __ATOMIC_RELAXED);
      g_usleep (50);
    }
  return NULL;
}

typedef struct
{
  const char *name;
  PvMemsnapEngine engine; /* AUTO: fork(2) by itself */
  gboolean prepared;
} Candidate;

static const Candidate candidates[] = {
  { "fork(2)", PV_MEMSNAP_ENGINE_AUTO, FALSE },
  { "uffd", PV_MEMSNAP_ENGINE_UFFD, FALSE },
  { "uffd, prepared", PV_MEMSNAP_ENGINE_UFFD, TRUE },
  { "fork", PV_MEMSNAP_ENGINE_FORK, FALSE },
  { "mprotect", PV_MEMSNAP_ENGINE_MPROTECT, FALSE },
};

static void
put (JsonBuilder *json, const char *name, gint64 ns)
{
  json_builder_set_member_name (json, name);
  json_builder_add_double_value (json, (double) ns / 1000);
}

static void
put_kib (JsonBuilder *json, guint64 kib)
{
  json_builder_set_member_name (json, "extra_kib");
  json_builder_add_int_value (json, (gint64) kib);
}

/* The longest store is looked for in at least 0.3 s. */
static void
put_stall (JsonBuilder *json, gint64 since)
{
  gint64 passed = (now_ns (CLOCK_MONOTONIC) - since) / 1000;

  if (passed < 300 * 1000)
    g_usleep ((gulong) (300 * 1000 - passed));
  put (json, "stall_us", __atomic_load_n (&longest_ns, __ATOMIC_RELAXED));
}

/* KiB behind @key in a file of /proc. */
static guint64
kib_of (pid_t pid, const char *file, const char *key)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/%s", (int) pid, file);
  g_autofree char *text = NULL;
  const char *line;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return 0;
  line = strstr (text, key);
  return line != NULL ? g_ascii_strtoull (line + strlen (key), NULL, 10) : 0;
}

static guint8 piece[1 << 20];

static void G_GNUC_NORETURN
be_child (int done)
{
  for (gsize at = 0; at < size; at += sizeof piece)
    memcpy (piece, memory + at, sizeof piece);
  if (write (done, piece, 1) == 1)
    pause ();
  _exit (0);
}

static void
by_fork (JsonBuilder *json)
{
  gint64 before, cpu;
  int done[2];
  char byte;
  pid_t pid;

  g_assert (pipe (done) == 0);
  before = now_ns (CLOCK_MONOTONIC);
  cpu = now_ns (CLOCK_THREAD_CPUTIME_ID);
  pid = fork ();
  if (pid == 0)
    be_child (done[1]);
  put (json, "caller_us", now_ns (CLOCK_MONOTONIC) - before);
  put (json, "caller_cpu_us", now_ns (CLOCK_THREAD_CPUTIME_ID) - cpu);
  g_assert (read (done[0], &byte, 1) == 1);
  put (json, "total_us", now_ns (CLOCK_MONOTONIC) - before);
  put_stall (json, before);
  put_kib (json, kib_of (pid, "smaps_rollup", "\nPrivate_Dirty:") + kib_of (pid, "status", "\nVmPTE:"));
  kill (pid, SIGKILL);
  waitpid (pid, NULL, 0);
  close (done[0]);
  close (done[1]);
}

static void
read_all (PvMemsnap *snapshot)
{
  g_autoptr(PvMemsnapIter) iter = pv_memsnap_iter_new (snapshot, sizeof piece, TRUE);
  g_autoptr(GError) error = NULL;
  PvMemsnapPiece one;

  while (pv_memsnap_iter_next (iter, &one, &error))
    memcpy (piece, one.data, one.length);
  if (error != NULL)
    g_error ("%s", error->message);
}

static void
by_memsnap (const Candidate *candidate, JsonBuilder *json)
{
  g_autoptr(PvMemsnap) snapshot = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;
  PvMemsnapStats stats;
  gint64 before, cpu;

  pv_memsnap_set_engine (snapshot, candidate->engine);
  pv_memsnap_set_user_writes_only (snapshot, candidate->engine == PV_MEMSNAP_ENGINE_MPROTECT);
  if (!pv_memsnap_add_region (snapshot, memory, size, &error)
      || (candidate->prepared && !pv_memsnap_prepare (snapshot, &error)))
    g_error ("%s", error->message);
  if (candidate->prepared)
    g_usleep (1500 * 1000);
  before = now_ns (CLOCK_MONOTONIC);
  cpu = now_ns (CLOCK_PROCESS_CPUTIME_ID);
  if (!pv_memsnap_take (snapshot, &error))
    g_error ("%s", error->message);
  put (json, "caller_us", now_ns (CLOCK_MONOTONIC) - before);
  put (json, "caller_cpu_us", now_ns (CLOCK_PROCESS_CPUTIME_ID) - cpu);
  read_all (snapshot);
  put (json, "total_us", now_ns (CLOCK_MONOTONIC) - before);
  put_stall (json, before);
  pv_memsnap_get_stats (snapshot, &stats);
  put (json, "pause_us", stats.pause_us * 1000);
  put_kib (json, stats.held_max_bytes >> 10);
}

static void
allocate (gboolean thp)
{
  gsize align = 2 << 20;
  guint8 *room = mmap (NULL, size + align, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  g_assert (room != MAP_FAILED);
  memory = (guint8 *) (((gsize) room + align - 1) & ~(align - 1));
  madvise (memory, size, thp ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
  memset (memory, 1, size);
}

int
main (int argc, char **argv)
{
  g_autoptr(JsonBuilder) json = json_builder_new ();
  g_autoptr(JsonNode) root = NULL;
  g_autofree char *text = NULL;
  guint rounds;
  GThread *writer;

  if (argc != 4)
    {
      fprintf (stderr, "usage: bench-memsnap MEBIBYTES ROUNDS thp|small\n");
      return 2;
    }
  size = (gsize) g_ascii_strtoull (argv[1], NULL, 10) << 20;
  rounds = (guint) g_ascii_strtoull (argv[2], NULL, 10);
  allocate (strcmp (argv[3], "thp") == 0);
  writer = g_thread_new ("writer", write_on, NULL);
  json_builder_begin_array (json);
  for (guint i = 0; i < rounds * G_N_ELEMENTS (candidates); i++)
    {
      const Candidate *candidate = &candidates[i % G_N_ELEMENTS (candidates)];

      g_usleep (100 * 1000);
      __atomic_store_n (&longest_ns, 0, __ATOMIC_RELAXED);
      json_builder_begin_object (json);
      json_builder_set_member_name (json, "name");
      json_builder_add_string_value (json, candidate->name);
      if (candidate->engine == PV_MEMSNAP_ENGINE_AUTO)
        by_fork (json);
      else
        by_memsnap (candidate, json);
      json_builder_end_object (json);
    }
  json_builder_end_array (json);
  __atomic_store_n (&stop, 1, __ATOMIC_RELAXED);
  g_thread_join (writer);
  root = json_builder_get_root (json);
  text = json_to_string (root, FALSE);
  puts (text);
  return 0;
}
