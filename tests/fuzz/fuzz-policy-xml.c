/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Policies: what is read is written so that it is read again as the same. */
#include "config.h"

#include "xml/policy-xml.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autoptr(PvPolicy) policy = pv_policy_parse (text, NULL);
  PvRetention retention;

  if (policy != NULL)
    {
      g_autofree char *once = pv_policy_to_xml (policy, TRUE);
      g_autoptr(PvPolicy) again = pv_policy_parse (once, NULL);
      g_autofree char *twice = again != NULL ? pv_policy_to_xml (again, TRUE) : NULL;

      g_assert_cmpstr (once, ==, twice);
    }
  if (pv_retention_parse (text, &retention, NULL))
    g_assert (!pv_retention_keeps_all (&retention));
  return 0;
}
