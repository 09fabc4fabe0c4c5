/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The changes that pagevault makes to a domain description. */
#include "config.h"

#include <string.h>

#include "util/error.h"
#include "xml/domain-xml-private.h"

void
pv_domain_xml_set_name (PvDomainXml *self, const char *name)
{
  g_return_if_fail (name != NULL && *name != '\0');

  pv_xml_set_text (pv_xml_child (pv_domain_xml_root (self), "name"), name);
  pv_domain_xml_reload (self);
}

/* libvirt refuses a domain whose SMBIOS UUID differs from its own: they change together. */
static void
set_smbios_uuid (PvDomainXml *self, const char *uuid)
{
  xmlNode *info = pv_xml_child (pv_domain_xml_root (self), "sysinfo");

  for (; info != NULL; info = pv_xml_next (info))
    {
      xmlNode *entry = pv_xml_descend (info, "system", "entry", NULL);

      while (entry != NULL)
        {
          xmlNode *next = pv_xml_next (entry);

          if (pv_xml_attr_is (entry, "name", "uuid") && uuid != NULL)
            pv_xml_set_text (entry, uuid);
          else if (pv_xml_attr_is (entry, "name", "uuid"))
            pv_xml_remove (entry);
          entry = next;
        }
    }
}

void
pv_domain_xml_set_uuid (PvDomainXml *self, const char *uuid)
{
  xmlNode *root = pv_domain_xml_root (self);
  xmlNode *node = pv_xml_child (root, "uuid");

  if (uuid == NULL)
    pv_xml_remove_children (root, "uuid");
  else if (node != NULL)
    pv_xml_set_text (node, uuid);
  else
    pv_xml_add (root, "uuid", uuid);
  set_smbios_uuid (self, uuid);
  pv_domain_xml_reload (self);
}

/* A new <source> in place of the old one; what the user said about labels stays. */
static void
replace_source (xmlNode *disk, const char *attribute, const char *path)
{
  xmlNode *old = pv_xml_child (disk, "source");
  xmlNode *source = pv_xml_add (disk, "source", NULL);
  xmlNode *label = pv_xml_child (old, "seclabel");

  pv_xml_set_attr (source, attribute, path);
  while (label != NULL)
    {
      xmlNode *next = pv_xml_next (label);

      xmlUnlinkNode (label);
      xmlAddChild (source, label);
      label = next;
    }
  if (old != NULL)
    {
      xmlReplaceNode (old, source);
      xmlFreeNode (old);
    }
}

static void
set_format (xmlNode *disk, const char *format)
{
  xmlNode *driver = pv_xml_child (disk, "driver");

  if (driver == NULL)
    {
      driver = xmlNewNode (NULL, BAD_CAST "driver");
      xmlAddPrevSibling (pv_xml_child (disk, "source"), driver);
      pv_xml_set_attr (driver, "name", "qemu");
    }
  pv_xml_set_attr (driver, "type", format);
  if (strcmp (format, "qcow2") != 0)
    pv_xml_remove_children (driver, "metadata_cache");
}

static void
drop_chain (xmlNode *disk)
{
  pv_xml_remove_children (disk, "backingStore");
  pv_xml_remove_children (disk, "mirror");
}

/* @type: "file" or "block"; @attribute: where its path stands. */
static gboolean
set_disk (PvDomainXml *self, const char *target, const char *type, const char *attribute, const char *path,
          const char *format, GError **error)
{
  xmlNode *disk = pv_domain_xml_disk_node (self, target);

  if (disk == NULL)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "domain %s has no disk %s", self->name, target);
  if (pv_xml_attr_is (disk, "type", "network"))
    pv_xml_remove_children (disk, "auth");
  if (pv_xml_attr_is (disk, "device", "lun"))
    {
      pv_xml_set_attr (disk, "device", "disk");
      xmlUnsetProp (disk, BAD_CAST "rawio");
      xmlUnsetProp (disk, BAD_CAST "sgio");
    }
  pv_xml_set_attr (disk, "type", type);
  replace_source (disk, attribute, path);
  set_format (disk, format);
  pv_xml_remove_children (disk, "encryption");
  drop_chain (disk);
  pv_domain_xml_reload (self);
  return TRUE;
}

gboolean
pv_domain_xml_set_disk (PvDomainXml *self, const char *target, const char *path, const char *format, GError **error)
{
  return set_disk (self, target, "file", "file", path, format, error);
}

gboolean
pv_domain_xml_set_block_disk (PvDomainXml *self, const char *target, const char *path, const char *format,
                              GError **error)
{
  return set_disk (self, target, "block", "dev", path, format, error);
}

gboolean
pv_domain_xml_set_backing (PvDomainXml *self, const char *target, const char *path, GError **error)
{
  xmlNode *disk = pv_domain_xml_disk_node (self, target);
  xmlNode *backing, *format, *source;

  if (disk == NULL)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "domain %s has no disk %s", self->name, target);
  drop_chain (disk);
  backing = pv_xml_add (disk, "backingStore", NULL);
  pv_xml_set_attr (backing, "type", "file");
  format = pv_xml_add (backing, "format", NULL);
  pv_xml_set_attr (format, "type", "raw");
  source = pv_xml_add (backing, "source", NULL);
  pv_xml_set_attr (source, "file", path);
  pv_xml_add (backing, "backingStore", NULL); /* the chain ends here */
  pv_domain_xml_reload (self);
  return TRUE;
}

gboolean
pv_domain_xml_set_stop_on_error (PvDomainXml *self, const char *target, GError **error)
{
  xmlNode *driver = pv_xml_child (pv_domain_xml_disk_node (self, target), "driver");

  if (driver == NULL)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "domain %s has no disk %s with an image", self->name, target);
  pv_xml_set_attr (driver, "error_policy", "stop");
  pv_xml_set_attr (driver, "rerror_policy", "stop");
  return TRUE;
}

gboolean
pv_domain_xml_copy_disk_source (PvDomainXml *self, const char *target, PvDomainXml *from, GError **error)
{
  xmlNode *disk = pv_domain_xml_disk_node (self, target);
  xmlNode *other = pv_domain_xml_disk_node (from, target);
  xmlNode *source = pv_xml_child (other, "source");
  xmlNode *old = pv_xml_child (disk, "source");
  g_autofree char *type = pv_xml_attr (other, "type");
  g_autofree char *format = pv_xml_attr (pv_xml_child (other, "driver"), "type");

  if (disk == NULL || source == NULL)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "domain %s has no disk %s with an image", self->name, target);
  source = xmlDocCopyNode (source, self->document, 1);
  xmlUnsetProp (source, BAD_CAST "index");
  if (old != NULL)
    {
      xmlReplaceNode (old, source);
      xmlFreeNode (old);
    }
  else
    xmlAddChild (disk, source);
  pv_xml_set_attr (disk, "type", type != NULL ? type : "file");
  set_format (disk, format != NULL ? format : "raw");
  drop_chain (disk);
  pv_domain_xml_reload (self);
  return TRUE;
}

/* TRUE when the domain's firmware is UEFI, with a variable store of its own. */
static gboolean
has_uefi (xmlNode *os)
{
  return pv_xml_child (os, "nvram") != NULL || pv_xml_attr_is (os, "firmware", "efi")
         || pv_xml_attr_is (pv_xml_child (os, "loader"), "type", "pflash");
}

gboolean
pv_domain_xml_set_nvram (PvDomainXml *self, const char *path, GError **error)
{
  xmlNode *os = pv_xml_child (pv_domain_xml_root (self), "os");
  xmlNode *nvram;

  if (!has_uefi (os))
    return pv_throw (error, PV_ERROR_NOT_FOUND, "domain %s has no UEFI variable store (nvram)", self->name);
  nvram = pv_xml_child (os, "nvram");
  if (nvram == NULL)
    nvram = pv_xml_add (os, "nvram", NULL);
  /* the plain form is understood by every libvirt; it means type='file' */
  xmlUnsetProp (nvram, BAD_CAST "type");
  pv_xml_set_text (nvram, path);
  pv_domain_xml_reload (self);
  return TRUE;
}

static gboolean
is_incoming (const char *argument)
{
  return strcmp (argument, "-incoming") == 0 || strcmp (argument, "--incoming") == 0;
}

void
pv_domain_xml_strip_incoming (PvDomainXml *self)
{
  g_autoptr(GPtrArray) nodes = NULL;
  g_autoptr(GPtrArray) arguments = pv_domain_xml_qemu_arguments (self, &nodes);
  xmlNode *commandline = pv_domain_xml_qemu_child (pv_domain_xml_root (self), "commandline");
  gboolean changed = FALSE;

  for (guint i = 0; i < arguments->len; i++)
    {
      if (is_incoming (arguments->pdata[i]))
        {
          changed = TRUE;
          pv_xml_remove (nodes->pdata[i]);
          if (i + 1 < arguments->len)
            pv_xml_remove (nodes->pdata[i + 1]);
          i++;
        }
      else if (pv_qemu_option_has_value (arguments->pdata[i]))
        i++;
    }
  if (changed && xmlChildElementCount (commandline) == 0)
    pv_xml_remove (commandline);
}

/* The index of a layer belongs to the run that gave it. */
static void
strip_disks (PvDomainXml *self)
{
  xmlNode *disk = pv_xml_descend (pv_domain_xml_root (self), "devices", "disk", NULL);

  for (; disk != NULL; disk = pv_xml_next (disk))
    {
      xmlNode *source = pv_xml_child (disk, "source");

      drop_chain (disk);
      if (source != NULL)
        xmlUnsetProp (source, BAD_CAST "index");
    }
}

void
pv_domain_xml_strip_runtime (PvDomainXml *self)
{
  xmlUnsetProp (pv_domain_xml_root (self), BAD_CAST "id");
  pv_domain_xml_strip_incoming (self);
  strip_disks (self);
  pv_domain_xml_reload (self);
}
