/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/snapshot-schema.h"

#include "xml/xml-node.h"
#include "xml/xml-schema.h"

gboolean
pv_snapshot_schema_check (const char *xml, GError **error)
{
  g_autoptr(xmlDoc) document = pv_xml_parse (xml, "domainsnapshot", "snapshot description", error);

  if (document == NULL)
    return FALSE;
  if (pv_xml_validate (document, "snapshot.rng", error))
    return TRUE;
  g_prefix_error (error, "snapshot description: ");
  return FALSE;
}
