/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The <domainsnapshot> documents that pagevault gives to libvirt. */
#include "config.h"

#include "xml/snapshot-xml.h"

#include "util/error.h"
#include "xml/domain-xml-private.h"

static xmlDoc *
new_document (const char *name)
{
  xmlDoc *document = xmlNewDoc (BAD_CAST "1.0");
  xmlNode *root = xmlNewNode (NULL, BAD_CAST "domainsnapshot");

  pv_xml_use_utf8 (document);
  xmlDocSetRootElement (document, root);
  pv_xml_add (root, "name", name);
  return document;
}

static void
add_disks (xmlNode *root, const PvOverlay *overlays, guint n)
{
  xmlNode *disks = pv_xml_add (root, "disks", NULL);

  for (guint i = 0; i < n; i++)
    {
      xmlNode *disk = pv_xml_add (disks, "disk", NULL);

      pv_xml_set_attr (disk, "name", overlays[i].target);
      pv_xml_set_attr (disk, "snapshot", overlays[i].overlay != NULL ? "external" : "no");
      if (overlays[i].overlay == NULL)
        continue;
      pv_xml_set_attr (disk, "type", "file");
      pv_xml_set_attr (pv_xml_add (disk, "driver", NULL), "type", "qcow2");
      pv_xml_set_attr (pv_xml_add (disk, "source", NULL), "file", overlays[i].overlay);
    }
}

static void
add_memory (xmlNode *root, const char *file)
{
  xmlNode *memory = pv_xml_add (root, "memory", NULL);

  pv_xml_set_attr (memory, "snapshot", file != NULL ? "external" : "no");
  if (file != NULL)
    pv_xml_set_attr (memory, "file", file);
}

char *
pv_snapshot_xml_disks (const char *name, const PvOverlay *overlays, guint n)
{
  g_autoptr(xmlDoc) document = new_document (name);
  xmlNode *root = xmlDocGetRootElement (document);

  add_memory (root, NULL);
  add_disks (root, overlays, n);
  return pv_xml_print (root);
}

static void
add_domain (xmlNode *root, PvDomainXml *domain, const char *element)
{
  xmlNode *copy = xmlDocCopyNode (pv_domain_xml_root (domain), root->doc, 1);

  xmlNodeSetName (copy, BAD_CAST element);
  xmlAddChild (root, copy);
}

char *
pv_snapshot_xml_redefine (const char *name, const char *description, gint64 time_seconds, const char *state,
                          const char *parent, const char *memory_file, const PvOverlay *overlays, guint n,
                          PvDomainXml *domain, PvDomainXml *inactive)
{
  g_autoptr(xmlDoc) document = new_document (name);
  xmlNode *root = xmlDocGetRootElement (document);
  g_autofree char *time = g_strdup_printf ("%" G_GINT64_FORMAT, time_seconds);

  if (description != NULL)
    pv_xml_add (root, "description", description);
  pv_xml_add (root, "state", state);
  if (parent != NULL)
    pv_xml_add (pv_xml_add (root, "parent", NULL), "name", parent);
  pv_xml_add (root, "creationTime", time);
  add_memory (root, memory_file);
  add_disks (root, overlays, n);
  add_domain (root, domain, "domain");
  if (inactive != NULL)
    add_domain (root, inactive, "inactiveDomain");
  return pv_xml_print (root);
}

gboolean
pv_snapshot_xml_has_memory (const char *xml, gint64 *time_seconds)
{
  g_autoptr(xmlDoc) document = pv_xml_parse (xml, "domainsnapshot", "snapshot description", NULL);
  xmlNode *root = document != NULL ? xmlDocGetRootElement (document) : NULL;
  g_autofree char *time = pv_xml_text (pv_xml_child (root, "creationTime"));

  *time_seconds = time != NULL ? g_ascii_strtoll (time, NULL, 10) : 0;
  return time != NULL && pv_xml_attr_is (pv_xml_child (root, "memory"), "snapshot", "external");
}

static const char *
find_overlay (const PvOverlay *overlays, guint n, xmlNode *disk)
{
  for (guint i = 0; i < n; i++)
    if (pv_xml_attr_is (disk, "name", overlays[i].target))
      return overlays[i].overlay;
  return NULL;
}

char *
pv_snapshot_xml_replace_overlays (const char *xml, const PvOverlay *overlays, guint n, GError **error)
{
  g_autoptr(xmlDoc) document = pv_xml_parse (xml, "domainsnapshot", "snapshot description", error);
  xmlNode *root = document != NULL ? xmlDocGetRootElement (document) : NULL;

  if (root == NULL)
    return NULL;
  for (xmlNode *disk = pv_xml_descend (root, "disks", "disk", NULL); disk != NULL; disk = pv_xml_next (disk))
    {
      xmlNode *source = pv_xml_child (disk, "source");
      const char *overlay = find_overlay (overlays, n, disk);

      if (!pv_xml_attr_is (disk, "snapshot", "external"))
        continue;
      if (source == NULL || overlay == NULL)
        {
          pv_throw (error, PV_ERROR_INVALID, "line %ld: a disk has no overlay", xmlGetLineNo (disk));
          return NULL;
        }
      pv_xml_set_attr (source, "file", overlay);
    }
  return pv_xml_print (root);
}
