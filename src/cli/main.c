/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <glib.h>

int
main (int argc, char **argv)
{
  g_printerr ("pagevault %s\n", PV_VERSION);
  return 2;
}
