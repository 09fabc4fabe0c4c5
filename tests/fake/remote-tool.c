/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* remote-tool [--OPTION VALUE]... URL VERB [ARGUMENT]...: what tests do to a remote. Prints what came of it; a failure
 * as "CODE: message" (CODE as in PvError, without PV_ERROR_), with exit status 1. For verbs see the table below. */
#include "config.h"

#include <stdio.h>
#include <stdlib.h>

#include "unit/remote-contract.h"

static PvRemoteOptions options;
static char *path_style, *limit_rate, *part_size, *max_tries, *stall, *pause_ms;

static guint64
number (const char *text)
{
  guint64 value = 0;

  if (text != NULL && !g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &value, NULL))
    g_error ("no number: %s", text);
  return value;
}

static int
fail (const GError *error)
{
  static const char *const names[] = { "FAILED", "NOT_FOUND", "EXISTS", "CORRUPT", "INVALID", "BUSY", "UNSUPPORTED",
                                       "NO_SPACE", "CANCELLED", "DENIED", "UNREACHABLE" };

  g_assert (error->domain == PV_ERROR && (guint) error->code < G_N_ELEMENTS (names));
  printf ("%s: %s\n", names[error->code], error->message);
  return 1;
}

static int
finish (gboolean done, const GError *error)
{
  g_assert (done == (error == NULL));
  return done ? 0 : fail (error);
}

/* All that remote.h promises; prints whether conditional puts are there. */
static int
run_contract (PvRemote *remote, char **args)
{
  gboolean conditional;

  contract_objects (remote);
  contract_ranges (remote);
  conditional = contract_if_absent (remote);
  contract_list (remote);
  contract_files (remote, 3000001);
  contract_files (remote, number (args[0]));
  contract_short_file (remote);
  contract_cancelled (remote);
  contract_threads (remote);
  printf ("conditional %s\n", conditional ? "yes" : "no");
  return 0;
}

/* KEY TEXT */
static int
run_put (PvRemote *remote, char **args)
{
  g_autoptr(GBytes) bytes = contract_bytes (args[1]);
  g_autoptr(GError) error = NULL;
  gboolean done = pv_remote_put (remote, args[0], bytes, PV_REMOTE_PUT_DEFAULT, NULL, &error);

  return finish (done, error);
}

static int
run_put_if_absent (PvRemote *remote, char **args)
{
  g_autoptr(GBytes) bytes = contract_bytes (args[1]);
  g_autoptr(GError) error = NULL;
  gboolean done = pv_remote_put (remote, args[0], bytes, PV_REMOTE_PUT_IF_ABSENT, NULL, &error);

  return finish (done, error);
}

/* KEY OFFSET LENGTH */
static int
run_get (PvRemote *remote, char **args)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = pv_remote_get (remote, args[0], number (args[1]), number (args[2]), NULL, &error);

  if (bytes != NULL)
    fwrite (g_bytes_get_data (bytes, NULL), 1, g_bytes_get_size (bytes), stdout);
  return finish (bytes != NULL, error);
}

/* KEY MAX-SIZE */
static int
run_get_all (PvRemote *remote, char **args)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GBytes) bytes = pv_remote_get_all (remote, args[0], number (args[1]), NULL, &error);

  if (bytes != NULL)
    fwrite (g_bytes_get_data (bytes, NULL), 1, g_bytes_get_size (bytes), stdout);
  return finish (bytes != NULL, error);
}

/* KEY FILE */
static int
run_put_file (PvRemote *remote, char **args)
{
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, args[1], O_RDONLY, 0, &error);
  gboolean done = fd >= 0
                  && pv_remote_put_file (remote, args[0], fd, (guint64) lseek (fd, 0, SEEK_END), NULL, NULL, NULL,
                                         &error);

  return finish (done, error);
}

/* KEY FILE SIZE */
static int
run_get_file (PvRemote *remote, char **args)
{
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, args[1], O_RDWR | O_CREAT | O_TRUNC, 0600, &error);
  gboolean done = fd >= 0 && pv_remote_get_file (remote, args[0], fd, number (args[2]), NULL, NULL, NULL, &error);

  return finish (done, error);
}

static int
run_stat (PvRemote *remote, char **args)
{
  g_autoptr(GError) error = NULL;
  guint64 size = 0;
  gboolean done = pv_remote_stat (remote, args[0], &size, NULL, &error);

  if (done)
    printf ("%" G_GUINT64_FORMAT "\n", size);
  return finish (done, error);
}

static int
run_delete (PvRemote *remote, char **args)
{
  g_autoptr(GError) error = NULL;
  gboolean done = pv_remote_delete (remote, args[0], NULL, &error);

  return finish (done, error);
}

static gboolean
print_entry (const PvRemoteEntry *entry, gpointer data, GError **error)
{
  printf ("%s %" G_GUINT64_FORMAT "\n", entry->key, entry->size);
  return TRUE;
}

/* PREFIX */
static int
run_list (PvRemote *remote, char **args)
{
  g_autoptr(GError) error = NULL;
  gboolean done = pv_remote_list (remote, args[0], NULL, print_entry, NULL, NULL, &error);

  return finish (done, error);
}

/* AGE */
static int
run_sweep (PvRemote *remote, char **args)
{
  g_autoptr(GError) error = NULL;
  guint64 n_removed;
  gboolean done = pv_remote_sweep (remote, number (args[0]), &n_removed, NULL, &error);

  if (done)
    printf ("%" G_GUINT64_FORMAT "\n", n_removed);
  return finish (done, error);
}

/* COUNT PREFIX: that many small objects, by a few threads; each is put, read back and asked for its size. Every put
 * that is acknowledged must be there in the end; prints how many are. */
static struct
{
  PvRemote *remote;
  const char *prefix;
  gint next, count;
} storm;

static gpointer
storm_thread (gpointer data)
{
  gint me;

  while ((me = g_atomic_int_add (&storm.next, 1)) < storm.count)
    {
      g_autofree char *key = g_strdup_printf ("%s%05d", storm.prefix, me), *text = g_strdup_printf ("content %d", me);

      contract_put (storm.remote, key, text);
      contract_is (storm.remote, key, text);
    }
  return NULL;
}

static int
run_storm (PvRemote *remote, char **args)
{
  GThread *threads[4];

  storm.remote = remote;
  storm.count = (gint) number (args[0]);
  storm.prefix = args[1];
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    threads[i] = g_thread_new ("storm", storm_thread, NULL);
  for (guint i = 0; i < G_N_ELEMENTS (threads); i++)
    g_thread_join (threads[i]);
  return run_list (remote, args + 1);
}

static const struct
{
  const char *name;
  guint n_args;
  int (*run) (PvRemote *remote, char **args);
} verbs[] = {
  { "contract", 1, run_contract }, { "put", 2, run_put },           { "put-if-absent", 2, run_put_if_absent },
  { "get", 3, run_get },           { "get-all", 2, run_get_all },   { "put-file", 2, run_put_file },
  { "get-file", 3, run_get_file }, { "stat", 1, run_stat },         { "delete", 1, run_delete },
  { "list", 1, run_list },         { "sweep", 1, run_sweep },       { "storm", 2, run_storm },
};

static const GOptionEntry entries[] = {
  { "endpoint", 0, 0, G_OPTION_ARG_STRING, &options.endpoint, NULL, NULL },
  { "region", 0, 0, G_OPTION_ARG_STRING, &options.region, NULL, NULL },
  { "addressing", 0, 0, G_OPTION_ARG_STRING, &path_style, NULL, NULL },
  { "ca", 0, 0, G_OPTION_ARG_STRING, &options.ca_file, NULL, NULL },
  { "credentials", 0, 0, G_OPTION_ARG_STRING, &options.credentials_file, NULL, NULL },
  { "profile", 0, 0, G_OPTION_ARG_STRING, &options.profile, NULL, NULL },
  { "limit-rate", 0, 0, G_OPTION_ARG_STRING, &limit_rate, NULL, NULL },
  { "part-size", 0, 0, G_OPTION_ARG_STRING, &part_size, NULL, NULL },
  { "max-tries", 0, 0, G_OPTION_ARG_STRING, &max_tries, NULL, NULL },
  { "stall", 0, 0, G_OPTION_ARG_STRING, &stall, NULL, NULL },
  { "pause-ms", 0, 0, G_OPTION_ARG_STRING, &pause_ms, NULL, NULL },
  G_OPTION_ENTRY_NULL,
};

static int
run (const char *url, const char *verb, char **args)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRemote) remote = pv_remote_open (url, &options, &error);

  if (remote == NULL)
    return fail (error);
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (strcmp (verbs[i].name, verb) == 0 && g_strv_length (args) == verbs[i].n_args)
      return verbs[i].run (remote, args);
  fprintf (stderr, "remote-tool: no verb %s with %u arguments\n", verb, g_strv_length (args));
  return 2;
}

int
main (int argc, char **argv)
{
  g_autoptr(GOptionContext) context = g_option_context_new ("URL VERB [ARGUMENT]...");
  g_autoptr(GError) error = NULL;

  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error) || argc < 3)
    {
      fprintf (stderr, "remote-tool: %s\n", error != NULL ? error->message : "URL and VERB are needed");
      return 2;
    }
  if (g_strcmp0 (path_style, "virtual") == 0)
    options.addressing = PV_REMOTE_ADDRESS_VIRTUAL;
  options.limit_rate = number (limit_rate);
  options.part_size = number (part_size);
  options.max_tries = (guint) number (max_tries);
  options.stall_seconds = (guint) number (stall);
  options.pause_ms = (guint) number (pause_ms);
  return run (argv[1], argv[2], argv + 3);
}
