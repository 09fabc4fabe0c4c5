/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What makes another guest of a description: its addresses and links in the network, its generation. */
#include "config.h"

#include <stdio.h>
#include <string.h>

#include "xml/domain-xml-private.h"

static xmlNode *
first_interface (PvDomainXml *self)
{
  return pv_xml_descend (pv_domain_xml_root (self), "devices", "interface", NULL);
}

static char *
new_mac (const char *old, GHashTable *used)
{
  for (;;)
    {
      guint32 random = g_random_int ();
      g_autofree char *mac =
          g_strdup_printf ("%.8s:%02x:%02x:%02x", old, random >> 16 & 0xff, random >> 8 & 0xff, random & 0xff);

      if (g_hash_table_add (used, g_ascii_strdown (mac, -1)))
        return g_steal_pointer (&mac);
    }
}

static gboolean
is_mac (const char *text)
{
  guint byte[6];
  int end = 0;

  return text != NULL && strlen (text) == 17
         && sscanf (text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &byte[0], &byte[1], &byte[2], &byte[3], &byte[4], &byte[5], &end)
                == 6
         && end == 17;
}

void
pv_domain_xml_renew_macs (PvDomainXml *self)
{
  xmlNode *first = first_interface (self);
  g_autoptr(GHashTable) used = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (xmlNode *node = first; node != NULL; node = pv_xml_next (node))
    {
      g_autofree char *mac = pv_xml_attr (pv_xml_child (node, "mac"), "address");

      if (mac != NULL)
        g_hash_table_add (used, g_ascii_strdown (mac, -1));
    }
  for (xmlNode *node = first; node != NULL; node = pv_xml_next (node))
    {
      xmlNode *element = pv_xml_child (node, "mac");
      g_autofree char *mac = pv_xml_attr (element, "address");
      g_autofree char *renewed = NULL;

      if (!is_mac (mac))
        continue; /* none given: libvirt makes one */
      renewed = new_mac (mac, used);
      pv_xml_set_attr (element, "address", renewed);
    }
}

void
pv_domain_xml_set_links (PvDomainXml *self, gboolean up)
{
  for (xmlNode *node = first_interface (self); node != NULL; node = pv_xml_next (node))
    {
      xmlNode *link = pv_xml_child (node, "link");

      if (link == NULL)
        link = pv_xml_add (node, "link", NULL);
      pv_xml_set_attr (link, "state", up ? "up" : "down");
    }
  pv_domain_xml_reload (self);
}

GPtrArray *
pv_domain_xml_links_down (PvDomainXml *self)
{
  GPtrArray *aliases = g_ptr_array_new_with_free_func (g_free);

  for (xmlNode *node = first_interface (self); node != NULL; node = pv_xml_next (node))
    {
      char *alias = pv_xml_attr (pv_xml_child (node, "alias"), "name");

      if (alias != NULL && pv_xml_attr_is (pv_xml_child (node, "link"), "state", "down"))
        g_ptr_array_add (aliases, alias);
      else
        g_free (alias);
    }
  return aliases;
}

void
pv_domain_xml_set_generation (PvDomainXml *self, const char *uuid)
{
  xmlNode *node = pv_xml_child (pv_domain_xml_root (self), "genid");

  if (node != NULL)
    pv_xml_set_text (node, uuid);
  pv_domain_xml_reload (self);
}
