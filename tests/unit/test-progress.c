/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <locale.h>

#include "cli/progress.h"

#define MIB (1ull << 20)

static void
check (const char *wanted, guint64 done, guint64 total, double seconds, guint width)
{
  g_autofree char *line = pv_progress_render ("ram", done, total, seconds, width);

  g_assert_cmpstr (line, ==, wanted);
}

static void
test_render (void)
{
  check ("ram  [....................]   0%  0 bytes of 100.0 MiB", 0, 100 * MIB, 0, 100);
  check ("ram  [##########..........]  50%  50.0 MiB of 100.0 MiB  25.0 MiB/s  0:02 left", 50 * MIB, 100 * MIB, 2, 100);
  check ("ram  [####################] 100%  100.0 MiB of 100.0 MiB  10.0 MiB/s", 100 * MIB, 100 * MIB, 10, 100);
  check ("ram  [....................]   0%  1.0 MiB of 100.0 GiB  1.0 MiB/s  28:26:39 left", MIB, 102400 * MIB, 1, 100);
}

/* Without a total there is no bar; more than the total is the total. */
static void
test_odd (void)
{
  check ("ram  5.0 MiB  5.0 MiB/s", 5 * MIB, 0, 1, 100);
  check ("ram  [####################] 100%  300.0 MiB of 100.0 MiB", 300 * MIB, 100 * MIB, 0.1, 100);
}

static void
test_narrow (void)
{
  check ("ram  [####", 50 * MIB, 100 * MIB, 2, 10);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  setlocale (LC_ALL, "C");
  g_test_add_func ("/progress/render", test_render);
  g_test_add_func ("/progress/odd", test_odd);
  g_test_add_func ("/progress/narrow", test_narrow);
  return g_test_run ();
}
