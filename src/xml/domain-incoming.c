/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a description needs so that its guest starts waiting for its memory (docs/restore.md). */
#include "config.h"

#include <string.h>

#include "util/error.h"
#include "xml/domain-xml-private.h"

/* The namespace of qemu:commandline, declared at the root, where libvirt looks for it. */
static xmlNs *
qemu_namespace (PvDomainXml *self)
{
  xmlNode *root = pv_domain_xml_root (self);
  xmlNs *found = xmlSearchNsByHref (self->document, root, BAD_CAST PV_QEMU_NAMESPACE);

  return found != NULL ? found : xmlNewNs (root, BAD_CAST PV_QEMU_NAMESPACE, BAD_CAST "qemu");
}

static void
add_argument (xmlNode *commandline, xmlNs *namespace, const char *value)
{
  xmlNode *argument = xmlNewChild (commandline, namespace, BAD_CAST "arg", NULL);

  pv_xml_set_attr (argument, "value", value);
}

void
pv_domain_xml_add_incoming (PvDomainXml *self)
{
  xmlNs *namespace = qemu_namespace (self);
  xmlNode *root = pv_domain_xml_root (self);
  xmlNode *commandline = pv_domain_xml_qemu_child (root, "commandline");

  if (commandline == NULL)
    commandline = xmlNewChild (root, namespace, BAD_CAST "commandline", NULL);
  add_argument (commandline, namespace, "-incoming");
  add_argument (commandline, namespace, "defer");
}

char *
pv_domain_xml_text_without_incoming (const char *text)
{
  g_autoptr(PvDomainXml) xml = strstr (text, "-incoming") != NULL ? pv_domain_xml_parse (text, NULL) : NULL;

  if (xml == NULL)
    return g_strdup (text);
  pv_domain_xml_strip_incoming (xml);
  return pv_domain_xml_to_string (xml);
}

gboolean
pv_domain_xml_set_cpu_from_cookie (PvDomainXml *self, const char *cookie, GError **error)
{
  g_autoptr(xmlDoc) document = pv_xml_parse (cookie, "cookie", "save image's cookie", error);
  xmlNode *cpu = document != NULL ? pv_xml_child (xmlDocGetRootElement (document), "cpu") : NULL;
  xmlNode *old = pv_xml_child (pv_domain_xml_root (self), "cpu");

  if (document == NULL)
    return FALSE;
  if (cpu == NULL || old == NULL)
    return TRUE;
  xmlReplaceNode (old, xmlDocCopyNode (cpu, self->document, 1));
  xmlFreeNode (old);
  return TRUE;
}
