/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/guest-pull.h"

#include "virt/guest-private.h"
#include "xml/domain-xml.h"

gboolean
pv_guest_pull_start (PvGuest *self, const char *target, GError **error)
{
  if (virDomainBlockPull (pv_guest_get (self), target, 0, 0) < 0)
    return pv_guest_throw (self, error, "disk %s: cannot copy the layers below into it", target);
  return TRUE;
}

gboolean
pv_guest_pull_progress (PvGuest *self, const char *target, guint64 *done, guint64 *total, GError **error)
{
  virDomainBlockJobInfo info = { .type = 0 };
  int found = virDomainGetBlockJobInfo (pv_guest_get (self), target, &info, VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES);

  if (found < 0)
    return pv_guest_throw (self, error, "disk %s: cannot ask for its block job", target);
  *done = found > 0 ? info.cur : 0;
  *total = found > 0 ? MAX (info.end, 1) : 0;
  return TRUE;
}

/* @alone: (inout) */
static gboolean
look (PvGuest *self, const char *target, guint flags, gboolean *alone, GError **error)
{
  g_autofree char *text = pv_guest_xml (self, flags, error);
  g_autoptr(PvDomainXml) xml = text != NULL ? pv_domain_xml_parse (text, error) : NULL;
  const PvDomainDisk *disk = xml != NULL ? pv_domain_xml_find_disk (xml, target) : NULL;

  if (disk != NULL)
    *alone &= disk->backing->len == 0;
  return xml != NULL;
}

gboolean
pv_guest_pull_is_done (PvGuest *self, const char *target, gboolean *done, GError **error)
{
  *done = TRUE;
  return look (self, target, 0, done, error)
         && (!pv_guest_is_persistent (self) || look (self, target, VIR_DOMAIN_XML_INACTIVE, done, error));
}
