/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/restore-path.h"

static void
round_trip (void)
{
  g_autofree char *path = pv_restore_path_make ("0123456789abcdef0123456789abcdef", "web 1@before upgrade", "vda");
  g_autofree char *id = NULL;
  g_autofree char *full = NULL;
  g_autofree char *target = NULL;

  g_assert_cmpstr (path, ==, "/run/pagevault/needs-hook/0123456789abcdef/web 1@before upgrade/vda");
  g_assert_true (pv_restore_path_parse (path, &id, &full, &target));
  g_assert_cmpstr (id, ==, "0123456789abcdef");
  g_assert_cmpstr (full, ==, "web 1@before upgrade");
  g_assert_cmpstr (target, ==, "vda");
  g_assert_true (pv_restore_path_parse (path, NULL, NULL, NULL));
}

static void
others (void)
{
  static const char *const paths[] = {
    "", "/", "/var/lib/libvirt/images/web1.qcow2", "/run/pagevault/needs-hook", "/run/pagevault/needs-hook/",
    "/run/pagevault/needs-hook/0123456789abcdef/web1@a", "/run/pagevault/needs-hook/0123456789abcdef/web1@a/",
    "/run/pagevault/needs-hook/0123456789abcdef/web1/vda", "/run/pagevault/needs-hook/0123456789abcde/web1@a/vda",
    "/run/pagevault/needs-hook/0123456789abcdeg/web1@a/vda", "/run/pagevault/needs-hook/0123456789abcdef/web1@a/v/da",
    "x/run/pagevault/needs-hook/0123456789abcdef/web1@a/vda", "/run/pagevault/needs-hook/0123456789abcdef//vda",
  };

  for (guint i = 0; i < G_N_ELEMENTS (paths); i++)
    g_assert_false (pv_restore_path_parse (paths[i], NULL, NULL, NULL));
  g_assert_false (pv_restore_path_parse (NULL, NULL, NULL, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/restore-path/round-trip", round_trip);
  g_test_add_func ("/restore-path/others", others);
  return g_test_run ();
}
