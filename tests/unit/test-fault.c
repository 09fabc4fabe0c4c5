/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/fault.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "util/error.h"

/* Number of the passing (from 1) of @point that fails within ten; 0 = none. */
static guint
first_failure (const char *point)
{
  for (guint i = 1; i <= 10; i++)
    if (!pv_fault (point, NULL))
      return i;
  return 0;
}

static void
test_disarmed (void)
{
  pv_fault_disarm ();
  g_assert_cmpuint (first_failure ("test.point"), ==, 0);
}

static void
test_nth (void)
{
  g_autoptr(GError) error = NULL;

  pv_fault_arm_nth ("test.*", 3);
  g_assert_false (pv_fault_fired ());
  g_assert_true (pv_fault ("other.point", NULL));
  g_assert_true (pv_fault ("test.a", NULL));
  g_assert_true (pv_fault ("test.b", NULL));
  g_assert_false (pv_fault_fired ());
  g_assert_false (pv_fault ("test.a", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_nonnull (g_strstr_len (error->message, -1, "test.a"));
  g_assert_true (pv_fault_fired ());
  /* It acts once. */
  g_assert_cmpuint (first_failure ("test.a"), ==, 0);
  pv_fault_disarm ();
  /* The answer outlives disarming: the loop over n asks afterwards. */
  g_assert_true (pv_fault_fired ());
  pv_fault_arm_nth ("*", 1);
  g_assert_false (pv_fault_fired ());
  pv_fault_disarm ();
}

/* The environment is read once per process: each case gets its own. */
static void
run_with (const char *value, const char *path)
{
  g_setenv ("PAGEVAULT_FAULT", value, TRUE);
  g_test_trap_subprocess (path, 0, G_TEST_SUBPROCESS_INHERIT_STDERR);
  g_unsetenv ("PAGEVAULT_FAULT");
}

static void
subprocess_actions (void)
{
  g_autoptr(GError) error = NULL, full = NULL;
  gint64 start;

  g_assert_true (pv_fault ("test.fail", NULL));
  g_assert_false (pv_fault ("test.fail", &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_FAILED);
  g_assert_cmpuint (first_failure ("test.fail"), ==, 0);
  g_assert_false (pv_fault ("test.full.anything", &full));
  g_assert_error (full, PV_ERROR, PV_ERROR_NO_SPACE);
  start = g_get_monotonic_time ();
  g_assert_true (pv_fault ("test.sleep", NULL));
  g_assert_cmpint (g_get_monotonic_time () - start, >=, 20000);
}

static void
test_actions (void)
{
  run_with ("test.fail:fail:2,test.full.*:enospc,test.sleep:sleep=20", "/fault/subprocess/actions");
  g_test_trap_assert_passed ();
}

/* Arming and disarming from the program clears what the environment armed, and must not trip over it. */
static void
subprocess_rearm (void)
{
  g_assert_true (pv_fault ("test.other", NULL));
  pv_fault_disarm ();
  g_assert_cmpuint (first_failure ("test.point"), ==, 0);
  pv_fault_arm_nth ("test.point", 2);
  g_assert_cmpuint (first_failure ("test.point"), ==, 2);
  pv_fault_disarm ();
}

static gpointer
let_go (gpointer data)
{
  const char *file = data;

  while (!g_file_test (file, G_FILE_TEST_EXISTS))
    g_usleep (1000);
  g_assert_cmpint (g_unlink (file), ==, 0);
  return NULL;
}

static void
test_hold (void)
{
  g_autofree char *directory = g_dir_make_tmp ("pagevault-test-XXXXXX", NULL);
  g_autofree char *file = g_build_filename (directory, "held", NULL);
  g_autofree char *faults = g_strdup_printf ("test.hold:hold=%s", file);
  GThread *thread = g_thread_new ("let-go", let_go, file);

  pv_fault_arm (faults);
  g_assert_true (pv_fault ("test.hold", NULL));
  g_thread_join (thread);
  g_assert_true (pv_fault_fired ());
  g_assert_true (pv_fault ("test.hold", NULL));
  pv_fault_disarm ();
  g_assert_cmpint (g_rmdir (directory), ==, 0);
}

static void
test_rearm (void)
{
  run_with ("test.point:fail", "/fault/subprocess/rearm");
  g_test_trap_assert_passed ();
}

/* A fault armed by the program before any point was passed is not undone by the environment. */
static void
subprocess_both (void)
{
  pv_fault_arm_nth ("test.point", 2);
  g_assert_false (pv_fault ("test.environment", NULL));
  g_assert_cmpuint (first_failure ("test.point"), ==, 2);
}

static void
test_both (void)
{
  run_with ("test.environment:fail", "/fault/subprocess/both");
  g_test_trap_assert_passed ();
}

static void
test_kill (void)
{
  int status = 0;
  pid_t pid = fork ();

  if (pid == 0)
    {
      g_setenv ("PAGEVAULT_FAULT", "test.kill:kill:2", TRUE);
      execl ("/proc/self/exe", "test-fault", "--die", NULL);
      _exit (127);
    }
  g_assert_cmpint (waitpid (pid, &status, 0), ==, pid);
  g_assert_true (WIFSIGNALED (status));
  g_assert_cmpint (WTERMSIG (status), ==, SIGKILL);
}

static void
subprocess_nonsense (void)
{
  (void) first_failure ("test.point");
}

static void
test_nonsense (void)
{
  static const char *const values[] = { "x", "x:y", "x:fail:0", "x:fail:", ":", "a:fail,,b:fail" };

  for (guint i = 0; i < G_N_ELEMENTS (values); i++)
    {
      g_setenv ("PAGEVAULT_FAULT", values[i], TRUE);
      g_test_trap_subprocess ("/fault/subprocess/nonsense", 0, 0);
      g_unsetenv ("PAGEVAULT_FAULT");
      g_test_trap_assert_failed ();
      g_test_trap_assert_stderr ("*is not POINT:ACTION*");
    }
}

int
main (int argc, char **argv)
{
  if (argc == 2 && g_str_equal (argv[1], "--die"))
    return pv_fault ("test.kill", NULL) && pv_fault ("test.kill", NULL) ? 1 : 2;
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/fault/disarmed", test_disarmed);
  g_test_add_func ("/fault/nth", test_nth);
  g_test_add_func ("/fault/actions", test_actions);
  g_test_add_func ("/fault/subprocess/actions", subprocess_actions);
  g_test_add_func ("/fault/hold", test_hold);
  g_test_add_func ("/fault/rearm", test_rearm);
  g_test_add_func ("/fault/subprocess/rearm", subprocess_rearm);
  g_test_add_func ("/fault/both", test_both);
  g_test_add_func ("/fault/subprocess/both", subprocess_both);
  g_test_add_func ("/fault/kill", test_kill);
  g_test_add_func ("/fault/nonsense", test_nonsense);
  g_test_add_func ("/fault/subprocess/nonsense", subprocess_nonsense);
  return g_test_run ();
}
