/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* With a directory; with servers in tests/cli/test-remote-command. */
#include "config.h"

#include "remote/remote-probe.h"

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

static guint
count_objects (const char *directory)
{
  g_autofree char *path = g_build_filename (directory, "probe", NULL);
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  guint n = 0;

  while (dir != NULL && g_dir_read_name (dir) != NULL)
    n++;
  return n;
}

static void
test_probe (void)
{
  g_autofree char *directory = g_dir_make_tmp ("pagevault-test-XXXXXX", NULL);
  g_autofree char *url = g_strconcat ("file://", directory, NULL);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRemote) remote = pv_remote_open (url, NULL, &error);
  PvRemoteProbe probe;

  g_assert_true (pv_remote_probe (remote, &probe, NULL, &error));
  g_assert_no_error (error);
  g_assert_true (probe.ranges && probe.conditional && probe.lists);
  g_assert_cmpuint (count_objects (directory), ==, 0);
  for (guint nth = 1;; nth++)
    {
      g_autoptr(GError) failed = NULL;
      gboolean done;

      pv_fault_arm_nth ("file.*", nth);
      done = pv_remote_probe (remote, &probe, NULL, &failed);
      pv_fault_disarm ();
      g_assert_true (done == (failed == NULL));
      if (!pv_fault_fired ())
        break;
      g_assert_false (done);
    }
  g_assert_true (pv_remove_tree (directory, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/remote-probe/probe", test_probe);
  return g_test_run ();
}
