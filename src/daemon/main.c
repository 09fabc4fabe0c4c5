/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* pagevaultd: options, going into the background, telling when it is ready. What it does is in daemon.h. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/daemon.h"
#include "daemon/libvirt-socket.h"
#include "daemon/notify.h"
#include "restore/key-source.h"
#include "restore/remote-secret.h"
#include "util/error.h"
#include "util/file.h"
#include "xml/hook-message.h"
#include "xml/store-xml.h"

enum
{
  EXIT_FAILED = 1,
  EXIT_USAGE = 2,
};

static char *opt_store, *opt_mount, *opt_disks, *opt_libvirt_socket, *opt_log, *opt_passphrase_file, *opt_secret;
static gboolean opt_foreground, opt_version;

static const GOptionEntry entries[] = {
  { "mount", 0, 0, G_OPTION_ARG_FILENAME, &opt_mount, "Where the pool is (default: " PV_DEFAULT_POOL ")", "DIR" },
  { "store", 0, 0, G_OPTION_ARG_FILENAME, &opt_store, "The store (default: PAGEVAULT_STORE or " PV_DEFAULT_STORE ")",
    "DIR" },
  { "passphrase-file", 0, 0, G_OPTION_ARG_FILENAME, &opt_passphrase_file,
    "The store's pass phrase is in FILE (default: PAGEVAULT_PASSPHRASE_FILE)", "FILE" },
  { "secret", 0, 0, G_OPTION_ARG_STRING, &opt_secret, "The store's key is libvirt's secret UUID", "UUID" },
  { "disks-dir", 0, 0, G_OPTION_ARG_FILENAME, &opt_disks, "Where the disks of guests that virsh restores go "
    "(default: beside their own)", "DIR" },
  { "libvirt-socket", 0, 0, G_OPTION_ARG_FILENAME, &opt_libvirt_socket, "Where libvirt's clients are served, or none "
    "(default: " PV_LIBVIRT_SOCKET ")", "PATH" },
  { "foreground", 0, 0, G_OPTION_ARG_NONE, &opt_foreground, "Do not go into the background", NULL },
  { "log", 0, 0, G_OPTION_ARG_FILENAME, &opt_log, "In the background: append messages to FILE (default: " PV_DAEMON_LOG
    ")", "FILE" },
  { "version", 0, 0, G_OPTION_ARG_NONE, &opt_version, "Print the version", NULL },
  G_OPTION_ENTRY_NULL
};

static void
complain (const GError *error)
{
  fprintf (stderr, "pagevaultd: %s\n", error->message);
}

/* A line for each message, without GLib's decoration: for a log file, or the journal. */
static GLogWriterOutput
write_log (GLogLevelFlags level, const GLogField *fields, gsize n_fields, gpointer data)
{
  g_autoptr(GDateTime) now = NULL;
  g_autofree char *time = NULL;

  if (g_log_writer_is_journald (STDERR_FILENO))
    return g_log_writer_journald (level, fields, n_fields, data);
  if ((level & (G_LOG_LEVEL_DEBUG | G_LOG_LEVEL_INFO)) != 0)
    return g_log_writer_default (level, fields, n_fields, data);
  now = g_date_time_new_now_local ();
  time = g_date_time_format (now, "%F %T");
  for (gsize i = 0; i < n_fields; i++)
    if (g_str_equal (fields[i].key, "MESSAGE"))
      fprintf (stderr, "%s %s\n", time, (const char *) fields[i].value);
  return G_LOG_WRITER_HANDLED;
}

/* In the starter: waits until the daemon is ready or gone, and passes its exit status on. */
static int
wait_for_daemon (pid_t pid, int ready)
{
  char byte;
  int status = 0;

  if (pv_read_full (ready, &byte, 1, "the daemon", NULL) == 1)
    return EXIT_SUCCESS;
  while (waitpid (pid, &status, 0) < 0)
    ;
  return WIFEXITED (status) && WEXITSTATUS (status) != 0 ? WEXITSTATUS (status) : EXIT_FAILED;
}

/* Before there is any thread. In the daemon: 0, and @ready to write to; in the starter it does not return. */
static gboolean
go_to_background (int *ready, GError **error)
{
  int ends[2];
  pid_t pid;

  if (pipe2 (ends, O_CLOEXEC) < 0 || (pid = fork ()) < 0)
    return pv_throw (error, PV_ERROR_FAILED, "cannot go into the background: %s", g_strerror (errno));
  if (pid > 0)
    {
      close (ends[1]);
      _exit (wait_for_daemon (pid, ends[0]));
    }
  close (ends[0]);
  setsid ();
  *ready = ends[1];
  return chdir ("/") == 0 || pv_throw (error, PV_ERROR_FAILED, "chdir: %s", g_strerror (errno));
}

/* From here on what is said goes into the log, and the starter goes. */
static gboolean
leave_starter (int *ready, GError **error)
{
  const char *path = opt_log != NULL ? opt_log : PV_DAEMON_LOG;
  g_autofree char *directory = g_path_get_dirname (path);
  g_auto(PvFd) log = PV_FD_NONE;
  g_auto(PvFd) null = open ("/dev/null", O_RDWR | O_CLOEXEC);

  if (!pv_mkdirs (directory, 0700, error))
    return FALSE;
  log = pv_openat (AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600, error);
  if (log < 0)
    return FALSE;
  dup2 (null, STDIN_FILENO);
  dup2 (null, STDOUT_FILENO);
  dup2 (log, STDERR_FILENO);
  if (!pv_write_all (*ready, "+", 1, "the starter", NULL))
    g_debug ("the starter did not wait");
  pv_fd_clear (ready);
  return TRUE;
}

/* What opens an encrypted store. Paths count from where the starter is. */
static const PvKeySource *
install_keys (void)
{
  static PvKeySource keys;
  const char *file = opt_passphrase_file != NULL ? opt_passphrase_file : g_getenv ("PAGEVAULT_PASSPHRASE_FILE");

  keys.passphrase_file = file != NULL && *file != '\0' ? g_canonicalize_filename (file, NULL) : NULL;
  keys.secret_uuid = opt_secret;
  pv_key_source_install (&keys);
  pv_remote_secret_install (keys.uri);
  return &keys;
}

/* (transfer full) (nullable) */
static char *
libvirt_socket_path (void)
{
  if (opt_libvirt_socket == NULL)
    return g_strdup (PV_LIBVIRT_SOCKET);
  return g_str_equal (opt_libvirt_socket, "none") ? NULL : g_canonicalize_filename (opt_libvirt_socket, NULL);
}

/* What the store's configuration says where no option does. A store that is named otherwise is not the one that the
 * file is about. */
static gboolean
read_configuration (GError **error)
{
  const char *store = g_getenv ("PAGEVAULT_STORE"), *file = g_getenv ("PAGEVAULT_PASSPHRASE_FILE");
  g_autoptr(PvStoreXml) config = NULL;

  if (opt_store != NULL || (store != NULL && *store != '\0'))
    return TRUE;
  config = pv_store_xml_read (error);
  if (config == NULL)
    return FALSE;
  opt_store = g_steal_pointer (&config->path);
  if (opt_passphrase_file == NULL && opt_secret == NULL && (file == NULL || *file == '\0'))
    {
      opt_passphrase_file = g_steal_pointer (&config->passphrase_file);
      opt_secret = g_steal_pointer (&config->secret_uuid);
    }
  if (opt_mount == NULL)
    opt_mount = g_steal_pointer (&config->pool);
  if (opt_disks == NULL)
    opt_disks = g_steal_pointer (&config->disks);
  return TRUE;
}

static gboolean
serve (int *ready, GError **error)
{
  const char *store = g_getenv ("PAGEVAULT_STORE");
  g_autofree char *store_directory = g_canonicalize_filename (
      opt_store != NULL ? opt_store : store != NULL && *store != '\0' ? store : PV_DEFAULT_STORE, NULL);
  g_autofree char *pool_directory = g_canonicalize_filename (opt_mount != NULL ? opt_mount : PV_DEFAULT_POOL, NULL);
  g_autofree char *disks_directory = opt_disks != NULL ? g_canonicalize_filename (opt_disks, NULL) : NULL;
  g_autofree char *hook_socket = pv_hook_socket_path ();
  g_autofree char *libvirt_socket = libvirt_socket_path ();
  const PvKeySource *keys = install_keys ();
  PvDaemonOptions options = {
    .store_directory = store_directory,
    .pool_directory = pool_directory,
    .disks_directory = disks_directory,
    .hook_socket = hook_socket,
    .libvirt_socket = libvirt_socket,
    .passphrase_file = keys->passphrase_file,
    .secret_uuid = keys->secret_uuid,
  };
  g_autoptr(PvDaemon) daemon = NULL;

  if (!opt_foreground && !go_to_background (ready, error))
    return FALSE;
  daemon = pv_daemon_new (&options, error);
  if (daemon == NULL)
    return FALSE;
  if (!opt_foreground)
    {
      pv_daemon_wait_libvirt (daemon);
      if (!leave_starter (ready, error))
        return FALSE;
    }
  g_message ("pagevaultd %s: store '%s', pool '%s'", PV_VERSION, store_directory, pool_directory);
  pv_notify ("READY=1");
  if (!pv_daemon_run (daemon, error))
    return FALSE;
  pv_notify ("STOPPING=1");
  g_message ("pagevaultd ends");
  return TRUE;
}

int
main (int argc, char **argv)
{
  g_autoptr(GOptionContext) context = g_option_context_new ("- serve a store to libvirt");
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) ready = PV_FD_NONE;

  setlocale (LC_ALL, "");
  umask (077);
  signal (SIGPIPE, SIG_IGN);
  signal (SIGINT, SIG_DFL); /* libfuse takes those that nobody has */
  signal (SIGTERM, SIG_DFL);
  signal (SIGHUP, SIG_DFL);
  g_set_prgname ("pagevaultd");
  g_log_set_writer_func (write_log, NULL, NULL);
  g_option_context_add_main_entries (context, entries, NULL);
  if (!g_option_context_parse (context, &argc, &argv, &error))
    {
      complain (error);
      return EXIT_USAGE;
    }
  if (argc > 1)
    {
      fprintf (stderr, "pagevaultd: '%s' is not an option: see 'pagevaultd --help'\n", argv[1]);
      return EXIT_USAGE;
    }
  if (opt_version)
    {
      puts ("pagevaultd " PV_VERSION);
      return EXIT_SUCCESS;
    }
  if (read_configuration (&error) && serve (&ready, &error))
    return EXIT_SUCCESS;
  complain (error);
  return EXIT_FAILED;
}
