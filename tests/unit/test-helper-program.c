/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/helper-program.h"

#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define VARIABLE "PAGEVAULT_TEST_PROGRAM"

static const char *const here[] = { "no-such-place", "", NULL };
static const char *const nowhere[] = { "no-such-place", NULL };

static void
test_find (void)
{
  g_autofree char *self = g_file_read_link ("/proc/self/exe", NULL);
  g_autofree char *name = g_path_get_basename (self);
  g_autofree char *beside = NULL;
  g_autofree char *installed = NULL;
  g_autofree char *unset = NULL;
  g_autofree char *told = NULL;

  g_unsetenv (VARIABLE);
  beside = pv_helper_program_find (name, VARIABLE, here);
  g_assert_cmpstr (beside, ==, self);
  installed = pv_helper_program_find (name, VARIABLE, nowhere);
  g_assert_true (g_str_has_prefix (installed, PV_LIBEXECDIR "/"));
  g_assert_true (g_str_has_suffix (installed, name));

  g_setenv (VARIABLE, "", TRUE);
  unset = pv_helper_program_find (name, VARIABLE, here);
  g_assert_cmpstr (unset, ==, self);
  g_setenv (VARIABLE, "/told/program", TRUE);
  told = pv_helper_program_find (name, VARIABLE, here);
  g_assert_cmpstr (told, ==, "/told/program");
}

static void
test_leave_session (void)
{
  pid_t pid = fork ();
  int status;

  if (pid == 0)
    {
      pv_helper_program_leave_session (NULL);
      _exit (getsid (0) == getpid () ? 0 : 1);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFEXITED (status));
  g_assert_cmpint (WEXITSTATUS (status), ==, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/helper-program/find", test_find);
  g_test_add_func ("/helper-program/leave-session", test_leave_session);
  return g_test_run ();
}
