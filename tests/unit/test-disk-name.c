/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool/disk-name.h"

static void
check (const char *name, const char *domain, const char *snapshot, const char *target)
{
  g_autofree char *found_domain = NULL;
  g_autofree char *found_snapshot = NULL;
  g_autofree char *found_target = NULL;

  g_assert_cmpint (pv_disk_name_parse (name, &found_domain, &found_snapshot, &found_target), ==, domain != NULL);
  g_assert_cmpstr (found_domain, ==, domain);
  g_assert_cmpstr (found_snapshot, ==, snapshot);
  g_assert_cmpstr (found_target, ==, target);
}

static void
test_parse (void)
{
  check ("web1@one.vda.raw", "web1", "one", "vda");
  check ("web.1@v1.2.sda.raw", "web.1", "v1.2", "sda");
  check ("web1@one.vda", NULL, NULL, NULL);
  check ("web1@one.raw", NULL, NULL, NULL);
  check ("web1@one..raw", NULL, NULL, NULL);
  check ("web1.vda.raw", NULL, NULL, NULL);
  check ("@one.vda.raw", NULL, NULL, NULL);
  check ("web1@-one.vda.raw", NULL, NULL, NULL);
  check (".raw", NULL, NULL, NULL);
  check ("", NULL, NULL, NULL);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/disk-name/parse", test_parse);
  return g_test_run ();
}
