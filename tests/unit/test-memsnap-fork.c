/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap-contract.h"

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  memsnap_contract_add (PV_MEMSNAP_ENGINE_FORK);
  return g_test_run ();
}
