/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Domain descriptions: reading, telling and every change. What was read once must be readable again after each change.
 */
#include "config.h"

#include "xml/domain-xml.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autoptr(PvDomainXml) xml = pv_domain_xml_parse (text, NULL);
  g_autoptr(PvDomainXml) again = NULL;
  g_autofree char *changed = NULL;
  g_autoptr(GError) error = NULL;

  if (xml == NULL)
    return 0;
  g_ptr_array_unref (pv_domain_xml_untrackable (xml));
  g_free (pv_domain_xml_save_cookie (xml));
  pv_domain_xml_shared_memory (xml);
  pv_domain_xml_hugepages (xml);
  pv_domain_xml_strip_runtime (xml);
  pv_domain_xml_set_name (xml, "n");
  pv_domain_xml_set_uuid (xml, NULL);
  pv_domain_xml_set_nvram (xml, "/n", NULL);
  pv_domain_xml_renew_macs (xml);
  for (guint i = 0; i < pv_domain_xml_disks (xml)->len; i++)
    {
      g_autofree char *target = g_strdup (((PvDomainDisk *) pv_domain_xml_disks (xml)->pdata[i])->target);

      if (!pv_domain_xml_set_disk (xml, target, "/d", "qcow2", &error))
        g_error ("%s", error->message);
    }
  changed = pv_domain_xml_to_string (xml);
  again = pv_domain_xml_parse (changed, &error);
  if (again == NULL)
    g_error ("%s", error->message);
  return 0;
}
