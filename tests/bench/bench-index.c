/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the index costs a writer, in an empty store and in one with many objects already.
 *
 *   bench-index DIRECTORY MILLIONS [MILLIONS-PER-COMMIT [THREADS]]
 *
 * Fills an index in DIRECTORY (made; it must not exist) with MILLIONS × 10^6 objects with random names, in packs of
 * 16384, by commits of so many millions (default 1). Then takes a further million as a store's writer would: names
 * looked up (absent), packs added, a commit; five times, and the same into empty indexes. Prints for each a line
 * with microseconds per object; then lookups of absent and of present names per second (in random order, and pack
 * by pack as a stream with locality asks), one by one and in batches of 512, by THREADS threads (default 2); bytes
 * of the database per object; time to open; peak memory.
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "index/index.h"
#include "unit/made-up-name.h"
#include "util/file.h"

#define PACK_OBJECTS 16384u
#define MILLION 1000000u
#define N_RUNS 5u
#define BATCH 512u
#define RUN 32768u /* 128 MiB of a guest that came before */
#define ABSENT (G_GUINT64_CONSTANT (1) << 60) /* objects from this number on are never added */

typedef struct
{
  char *directory; /* (owned) */
  PvIndex *index;  /* (owned) */
  GArray *packs;   /* (element-type Pack) (owned) */
} Store;

typedef struct
{
  guint32 number;
  guint32 n;     /* objects */
  guint64 first; /* of them */
} Pack;

static double
now (void)
{
  return (double) g_get_monotonic_time () / 1e6;
}

/* Of all threads: says more than the clock on a machine that has other work. */
static double
cpu_now (void)
{
  struct timespec time;

  clock_gettime (CLOCK_PROCESS_CPUTIME_ID, &time);
  return (double) time.tv_sec + (double) time.tv_nsec * 1e-9;
}

static void
check (gboolean ok, GError *error)
{
  if (!ok)
    g_error ("%s", error != NULL ? error->message : "unexpected");
}

static guint64
peak_memory (void)
{
  g_autofree char *status = NULL;
  const char *line;

  if (!g_file_get_contents ("/proc/self/status", &status, NULL, NULL))
    return 0;
  line = strstr (status, "VmHWM:");
  return line != NULL ? g_ascii_strtoull (line + strlen ("VmHWM:"), NULL, 10) / 1024 : 0;
}

static int
compare_packs (gconstpointer a, gconstpointer b)
{
  return (int) ((const Pack *) a)->number - (int) ((const Pack *) b)->number;
}

/* As a store would read it from the table of the pack file. */
static void
give_pack (guint32 number, PvIndexTakeFunc take, gpointer take_data, gpointer data)
{
  Store *self = data;
  Pack key = { .number = number };
  const Pack *pack = bsearch (&key, self->packs->data, self->packs->len, sizeof (Pack), compare_packs);

  for (guint i = 0; pack != NULL && i < pack->n; i++)
    {
      PvIndexEntry entry = { make_name (pack->first + i), { number, i / 32, i % 32 } };

      take (&entry, 1, take_data);
    }
}

static void
open_store (Store *self, const char *directory)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_strdup (directory);
  check (pv_mkdirs (directory, 0700, &error), error);
  self->index = pv_index_open (directory, TRUE, &error);
  check (self->index != NULL, error);
  self->packs = g_array_new (FALSE, FALSE, sizeof (Pack));
}

static void
close_store (Store *self)
{
  g_clear_pointer (&self->index, pv_index_unref);
  g_clear_pointer (&self->directory, g_free);
  g_clear_pointer (&self->packs, g_array_unref);
}

static void
add_pack (Store *self, PvIndexWriter *writer, guint64 first, guint n)
{
  g_autofree PvIndexEntry *entries = g_new (PvIndexEntry, n);
  g_autoptr(GError) error = NULL;
  PvName name = make_name (G_MAXUINT64 / 8 + first);
  guint32 number;

  check (pv_index_writer_add_pack (writer, &name, (guint64) n * 2048, n, &number, &error), error);
  for (guint i = 0; i < n; i++)
    entries[i] = (PvIndexEntry) { make_name (first + i), { number, i / 32, i % 32 } };
  check (pv_index_writer_add (writer, entries, n, &error), error);
  g_array_append_vals (self->packs, &(Pack) { number, n, first }, 1);
}

/* Asks for objects that are not there, in batches, as ingest does. */
static void
look_up_absent (PvIndexWriter *writer, guint64 first, guint n)
{
  g_autoptr(GError) error = NULL;
  PvName names[BATCH];
  PvLocation locations[BATCH];
  gboolean found[BATCH];

  for (guint at = 0; at < n; at += BATCH)
    {
      guint batch = MIN (BATCH, n - at);

      for (guint i = 0; i < batch; i++)
        names[i] = make_name (first + at + i);
      check (pv_index_writer_lookup_many (writer, names, batch, locations, found, &error), error);
      for (guint i = 0; i < batch; i++)
        check (!found[i], NULL);
    }
}

typedef struct
{
  double wall; /* seconds */
  double cpu;  /* seconds */
} Cost;

/* Objects @first to @first + @n - 1, by one writer. @lookup: first asks for each of them, as ingest does. */
static Cost
ingest (Store *self, guint64 first, guint64 n, gboolean lookup)
{
  g_autofree char *path = g_build_filename (self->directory, "lock", NULL);
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, &error);
  g_autoptr(PvIndexWriter) writer = NULL;
  Cost start = { now (), cpu_now () };

  check (fd >= 0 && pv_flock (fd, LOCK_EX, path, &error), error);
  writer = pv_index_writer_begin (self->index, path, &error);
  check (writer != NULL, error);
  for (guint64 at = first; at < first + n; at += PACK_OBJECTS)
    {
      guint now_n = (guint) MIN (PACK_OBJECTS, first + n - at);

      if (lookup)
        look_up_absent (writer, at, now_n);
      add_pack (self, writer, at, now_n);
    }
  check (pv_index_writer_commit (writer, NULL, &error), error);
  return (Cost) { now () - start.wall, cpu_now () - start.cpu };
}

static int
compare_costs (gconstpointer a, gconstpointer b)
{
  double x = ((const Cost *) a)->wall;
  double y = ((const Cost *) b)->wall;

  return x < y ? -1 : x > y;
}

/* Sorts @costs; each was of a million. */
static void
print_costs (const char *what, Cost *costs)
{
  qsort (costs, N_RUNS, sizeof *costs, compare_costs);
  g_print ("%-40s %7.3f us/object (%.3f to %.3f), %.3f us of a processor\n", what, costs[N_RUNS / 2].wall,
           costs[0].wall, costs[N_RUNS - 1].wall, costs[N_RUNS / 2].cpu);
}

/* --- lookups ------------------------------------------------------------------------------------------------------ */

typedef struct
{
  PvIndexWriter *writer; /* (not owned) */
  guint64 n_objects;     /* there are */
  guint64 seed;
  guint64 n;             /* lookups to do */
  gboolean present;
  gboolean local;        /* runs of RUN neighbours, not single ones */
  gboolean batch;
} Load;

static gpointer
look_up (gpointer data)
{
  Load *self = data;
  g_autoptr(GRand) random = g_rand_new_with_seed ((guint32) self->seed);
  g_autoptr(GError) error = NULL;
  guint64 number = 0;
  PvName names[BATCH];
  PvLocation locations[BATCH];
  gboolean found[BATCH];

  for (guint64 i = 0; i < self->n; i += BATCH)
    {
      for (guint j = 0; j < BATCH; j++)
        {
          if (!self->local || (i + j) % RUN == 0)
            number = ((guint64) g_rand_int (random) << 32 | g_rand_int (random)) % self->n_objects;
          else
            number = (number + 1) % self->n_objects;
          names[j] = make_name (self->present ? number : ABSENT + number);
        }
      for (guint j = 0; !self->batch && j < BATCH; j++)
        found[j] = pv_index_writer_lookup (self->writer, &names[j], &locations[j], &error);
      if (self->batch)
        pv_index_writer_lookup_many (self->writer, names, BATCH, locations, found, &error);
      check (error == NULL, error);
      for (guint j = 0; j < BATCH; j++)
        if (!!found[j] != self->present)
          g_error ("a lookup went wrong");
    }
  return NULL;
}

static void
bench_lookups (Store *self, guint64 n_objects, guint n_threads)
{
  static const struct
  {
    const char *what;
    gboolean present, local, batch;
    guint64 n;
  } loads[] = {
    { "absent, one by one", FALSE, FALSE, FALSE, 4 * MILLION },
    { "absent, by 512", FALSE, FALSE, TRUE, 4 * MILLION },
    { "present, random, one by one", TRUE, FALSE, FALSE, MILLION / 50 },
    { "present, random, by 512", TRUE, FALSE, TRUE, MILLION / 20 },
    { "present, runs of 32768, one by one", TRUE, TRUE, FALSE, MILLION / 20 },
    { "present, runs of 32768, by 512", TRUE, TRUE, TRUE, MILLION / 10 },
    { "the same, tables of packs read", TRUE, TRUE, TRUE, MILLION }, /* the last one */
  };
  g_autofree char *path = g_build_filename (self->directory, "lock", NULL);
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, &error);
  g_autoptr(PvIndexWriter) writer = NULL;

  check (fd >= 0 && pv_flock (fd, LOCK_EX, path, &error), error);
  writer = pv_index_writer_begin (self->index, path, &error);
  check (writer != NULL, error);
  for (guint i = 0; i < G_N_ELEMENTS (loads); i++)
    for (guint threads = 1; threads <= n_threads; threads *= 2)
      {
        g_autofree Load *load = g_new0 (Load, threads);
        g_autofree GThread **running = g_new0 (GThread *, threads);
        double cpu, seconds;

        pv_index_set_pack_source (self->index, i == G_N_ELEMENTS (loads) - 1 ? give_pack : NULL, self);
        cpu = cpu_now ();
        seconds = now ();

        for (guint t = 0; t < threads; t++)
          {
            load[t] = (Load) { writer, n_objects, 100 * i + t, loads[i].n, loads[i].present, loads[i].local,
                               loads[i].batch };
            running[t] = g_thread_new ("lookup", look_up, &load[t]);
          }
        for (guint t = 0; t < threads; t++)
          g_thread_join (running[t]);
        seconds = now () - seconds;
        cpu = cpu_now () - cpu;
        g_print ("%-36s %u thread%s %9.3f M/s   %7.3f us each, %7.3f us of a processor\n", loads[i].what, threads,
                 threads > 1 ? "s" : " ", (double) (loads[i].n * threads) / seconds / 1e6,
                 seconds * 1e6 / (double) loads[i].n, cpu * 1e6 / (double) (loads[i].n * threads));
      }
}

static void
fill (Store *self, guint64 n_objects, guint64 per_commit)
{
  double seconds = now ();

  for (guint64 at = 0; at < n_objects; at += per_commit)
    ingest (self, at, MIN (per_commit, n_objects - at), FALSE);
  if (n_objects > 0)
    g_print ("filled with %.0f million objects in %.1f s\n", (double) n_objects / 1e6, now () - seconds);
}

static void
bench_ingest (Store *self, guint64 n_objects)
{
  Cost full[N_RUNS];
  Cost empty[N_RUNS];

  for (guint i = 0; i < N_RUNS; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/empty", self->directory);
      Store store;

      full[i] = ingest (self, n_objects + (guint64) i * MILLION, MILLION, TRUE);
      open_store (&store, path);
      empty[i] = ingest (&store, 0, MILLION, TRUE);
      close_store (&store);
      check (pv_remove_tree (path, NULL), NULL);
    }
  print_costs ("ingest of a million into it", full);
  print_costs ("ingest of a million into an empty index", empty);
  g_print ("%-40s %7.3f and %.3f times\n", "index alone, and with 4 us elsewhere",
           full[N_RUNS / 2].wall / empty[N_RUNS / 2].wall, (4 + full[N_RUNS / 2].wall) / (4 + empty[N_RUNS / 2].wall));
}

int
main (int argc, char **argv)
{
  guint64 n_objects = argc > 2 ? (guint64) (g_ascii_strtod (argv[2], NULL) * MILLION) : 0;
  guint64 per_commit = argc > 3 ? (guint64) (g_ascii_strtod (argv[3], NULL) * MILLION) : MILLION;
  guint n_threads = argc > 4 ? (guint) atoi (argv[4]) : 2;
  g_autoptr(GError) error = NULL;
  PvIndexStats stats;
  Store store;
  double seconds;

  if (argc < 3 || per_commit == 0 || g_file_test (argv[1], G_FILE_TEST_EXISTS))
    {
      g_printerr ("usage: bench-index NEW-DIRECTORY MILLIONS [MILLIONS-PER-COMMIT [THREADS]]\n");
      return 2;
    }
  open_store (&store, argv[1]);
  fill (&store, n_objects, per_commit);
  bench_ingest (&store, n_objects);
  n_objects += N_RUNS * MILLION;
  bench_lookups (&store, n_objects, n_threads);
  check (pv_index_stats (store.index, &stats, &error), error);
  g_print ("%-44s %7.1f\n", "bytes of the database per object", (double) stats.size / (double) stats.n_objects);
  g_print ("%-44s %7" G_GUINT64_FORMAT " MiB\n", "peak memory so far", peak_memory ());

  pv_index_set_pack_source (store.index, NULL, NULL);
  g_clear_pointer (&store.index, pv_index_unref);
  seconds = now ();
  store.index = pv_index_open (argv[1], FALSE, &error);
  check (store.index != NULL, error);
  ingest (&store, n_objects, 1, TRUE);
  g_print ("%-44s %7.1f ms\n", "open, and a commit of one object", (now () - seconds) * 1e3);
  seconds = now ();
  check (pv_index_optimize (store.index, &error), error);
  g_print ("%-44s %7.1f s\n", "optimize", now () - seconds);
  bench_lookups (&store, n_objects, 1);
  check (pv_index_stats (store.index, &stats, &error), error);
  g_print ("%-44s %7.1f\n", "bytes of the database per object", (double) stats.size / (double) stats.n_objects);
  g_print ("%-44s %7" G_GUINT64_FORMAT " MiB\n", "peak memory", peak_memory ());
  close_store (&store);
  return 0;
}
