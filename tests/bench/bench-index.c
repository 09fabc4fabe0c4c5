/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the index costs a writer, in an empty store and in one with many objects already.
 *
 *   bench-index DIRECTORY MILLIONS [MILLIONS-PER-COMMIT [THREADS]]
 *
 * Fills an index in DIRECTORY (made; it must not exist) with MILLIONS × 10^6 objects with random names, in packs of 16384, by commits
 * of so many millions (default 1). Then takes a further million as a store's writer would: names looked up (absent), packs added, a
 * commit; five times, and the same into empty indexes. Prints for each a line with microseconds per object; then lookups of absent
 * and of present names per second (in random order, and pack by pack as a stream with locality asks), one by one and in
 * batches of 512, by THREADS threads (default 2); bytes of the database per object; time to open; peak memory.
 */
#include "config.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "index/index.h"
#include "util/file.h"

#define PACK_OBJECTS 16384u
#define MILLION 1000000u
#define N_RUNS 5u
#define BATCH 512u
#define ABSENT (G_GUINT64_CONSTANT (1) << 60) /* objects from this number on are never added */

typedef struct
{
  char *directory; /* (owned) */
  PvIndex *index;  /* (owned) */
} Store;

static double
now (void)
{
  return (double) g_get_monotonic_time () / 1e6;
}

static void
check (gboolean ok, GError *error)
{
  if (!ok)
    g_error ("%s", error != NULL ? error->message : "unexpected");
}

/* The name of object @number: as good as random, the same each time. */
static PvName
make_name (guint64 number)
{
  PvName name;

  for (guint i = 0; i < 4; i++)
    {
      guint64 x = (number * 4 + i + 1) * G_GUINT64_CONSTANT (0x9e3779b97f4a7c15);

      x = (x ^ (x >> 30)) * G_GUINT64_CONSTANT (0xbf58476d1ce4e5b9);
      x = (x ^ (x >> 27)) * G_GUINT64_CONSTANT (0x94d049bb133111eb);
      x ^= x >> 31;
      memcpy (name.bytes + 8 * i, &x, 8);
    }
  return name;
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

static void
open_store (Store *self, const char *directory)
{
  g_autoptr(GError) error = NULL;

  self->directory = g_strdup (directory);
  check (pv_mkdirs (directory, 0700, &error), error);
  self->index = pv_index_open (directory, TRUE, &error);
  check (self->index != NULL, error);
}

static void
close_store (Store *self)
{
  g_clear_pointer (&self->index, pv_index_unref);
  g_clear_pointer (&self->directory, g_free);
}

static void
add_pack (PvIndexWriter *writer, guint64 first, guint n)
{
  g_autofree PvIndexEntry *entries = g_new (PvIndexEntry, n);
  g_autoptr(GError) error = NULL;
  PvName name = make_name (G_MAXUINT64 / 8 + first);
  guint32 number;

  check (pv_index_writer_add_pack (writer, &name, (guint64) n * 2048, n, &number, &error), error);
  for (guint i = 0; i < n; i++)
    entries[i] = (PvIndexEntry) { make_name (first + i), { number, i / 32, i % 32 } };
  check (pv_index_writer_add (writer, entries, n, &error), error);
}

/* Objects @first to @first + @n - 1, by one writer. @lookup: first asks for each of them, as ingest does. Seconds. */
static double
ingest (Store *self, guint64 first, guint64 n, gboolean lookup)
{
  g_autofree char *path = g_build_filename (self->directory, "lock", NULL);
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDWR | O_CREAT, 0600, &error);
  g_autoptr(PvIndexWriter) writer = NULL;
  double start = now ();

  check (fd >= 0 && pv_flock (fd, LOCK_EX, path, &error), error);
  writer = pv_index_writer_begin (self->index, path, &error);
  check (writer != NULL, error);
  for (guint64 at = first; at < first + n; at += PACK_OBJECTS)
    {
      guint now_n = (guint) MIN (PACK_OBJECTS, first + n - at);

      for (guint i = 0; lookup && i < now_n; i++)
        {
          PvName name = make_name (at + i);
          PvLocation location;

          if (pv_index_writer_lookup (writer, &name, &location, &error))
            g_error ("object %" G_GUINT64_FORMAT " is there already", at + i);
          check (error == NULL, error);
        }
      add_pack (writer, at, now_n);
    }
  check (pv_index_writer_commit (writer, NULL, &error), error);
  return now () - start;
}

static int
compare_doubles (gconstpointer a, gconstpointer b)
{
  double x = *(const double *) a;
  double y = *(const double *) b;

  return x < y ? -1 : x > y;
}

static void
print_runs (const char *what, double *seconds)
{
  qsort (seconds, N_RUNS, sizeof *seconds, compare_doubles);
  g_print ("%-44s %7.3f us/object   (%.3f to %.3f)\n", what, seconds[N_RUNS / 2], seconds[0], seconds[N_RUNS - 1]);
}

/* --- lookups ------------------------------------------------------------------------------------------------------ */

typedef struct
{
  PvIndexWriter *writer; /* (not owned) */
  guint64 n_objects;     /* there are */
  guint64 seed;
  guint64 n;             /* lookups to do */
  gboolean present;
  gboolean local;        /* runs of 4096 neighbours, not single ones */
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
          if (!self->local || ((i + j) & 4095) == 0)
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
    { "present, random, one by one", TRUE, FALSE, FALSE, MILLION / 10 },
    { "present, random, by 512", TRUE, FALSE, TRUE, MILLION / 10 },
    { "present, runs of 4096, one by one", TRUE, TRUE, FALSE, MILLION },
    { "present, runs of 4096, by 512", TRUE, TRUE, TRUE, MILLION },
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
        double seconds = now ();

        for (guint t = 0; t < threads; t++)
          {
            load[t] = (Load) { writer, n_objects, 100 * i + t, loads[i].n, loads[i].present, loads[i].local,
                               loads[i].batch };
            running[t] = g_thread_new ("lookup", look_up, &load[t]);
          }
        for (guint t = 0; t < threads; t++)
          g_thread_join (running[t]);
        seconds = now () - seconds;
        g_print ("%-36s %u thread%s %9.3f M/s   %7.3f us each\n", loads[i].what, threads, threads > 1 ? "s" : " ",
                 (double) (loads[i].n * threads) / seconds / 1e6, seconds * 1e6 / (double) loads[i].n);
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
  double full[N_RUNS];
  double empty[N_RUNS];

  for (guint i = 0; i < N_RUNS; i++)
    full[i] = ingest (self, n_objects + (guint64) i * MILLION, MILLION, TRUE);
  for (guint i = 0; i < N_RUNS; i++)
    {
      g_autofree char *path = g_strdup_printf ("%s/empty", self->directory);
      Store store;

      open_store (&store, path);
      empty[i] = ingest (&store, 0, MILLION, TRUE);
      close_store (&store);
      check (pv_remove_tree (path, NULL), NULL);
    }
  print_runs ("ingest of a million into it", full);
  print_runs ("ingest of a million into an empty index", empty);
  g_print ("%-44s %7.3f and %.3f times\n", "ratio, index alone; with 4 us/chunk elsewhere", full[N_RUNS / 2] / empty[N_RUNS / 2],
           (4 + full[N_RUNS / 2]) / (4 + empty[N_RUNS / 2]));
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

  close_store (&store);
  seconds = now ();
  open_store (&store, argv[1]);
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
