/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <fcntl.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/command.h"
#include "cli/interrupt.h"
#include "util/error.h"

/* A descriptor 0, 1 or 2 that came closed would be given to the next file opened, and messages would be written into
 * it. */
static gboolean
fill_standard_descriptors (void)
{
  int fd;

  do
    fd = open ("/dev/null", O_RDWR);
  while (fd >= 0 && fd <= STDERR_FILENO);
  return fd >= 0 && close (fd) == 0;
}

/* What is printed must have arrived: a full disk behind standard output is a failure. */
static PvExit
flush_output (PvExit exit_status)
{
  if (fflush (stdout) == 0 && !ferror (stdout))
    return exit_status;
  fputs ("pagevault: cannot write to standard output\n", stderr);
  return exit_status == PV_EXIT_OK ? PV_EXIT_FAILED : exit_status;
}

int
main (int argc, char **argv)
{
  g_auto(PvCli) cli = { 0 };
  g_autoptr(GError) error = NULL;
  const PvCommand *command = NULL;
  PvExit exit_status;

  if (!fill_standard_descriptors ())
    return PV_EXIT_FAILED;
  setlocale (LC_ALL, "");
  umask (077);
  signal (SIGPIPE, SIG_IGN);
  g_set_prgname ("pagevault");
  pv_cli_set_defaults (&cli);
  cli.cancellable = g_cancellable_new ();
  if (!pv_interrupt_watch (cli.cancellable, &error))
    {
      fprintf (stderr, "pagevault: %s\n", error->message);
      return PV_EXIT_FAILED;
    }
  exit_status = pv_command_dispatch (&cli, argc, argv, &command, &error);
  if (error != NULL)
    pv_cli_print_error (&cli, command != NULL ? command->name : NULL, error);
  if (pv_interrupt_signal () != 0 && g_error_matches (error, PV_ERROR, PV_ERROR_CANCELLED))
    return 128 + pv_interrupt_signal ();
  return (int) flush_output (exit_status);
}
