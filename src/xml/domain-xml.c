/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/domain-xml.h"

#include <string.h>

#include "util/error.h"
#include "xml/domain-xml-private.h"

#define WHAT "domain description"

static void
clear_fields (PvDomainXml *self)
{
  g_clear_pointer (&self->name, g_free);
  g_clear_pointer (&self->uuid, g_free);
  g_clear_pointer (&self->machine, g_free);
  g_clear_pointer (&self->emulator, g_free);
  g_clear_pointer (&self->nvram, g_free);
  g_clear_pointer (&self->nvram_format, g_free);
  g_clear_pointer (&self->disks, g_ptr_array_unref);
}

xmlNode *
pv_domain_xml_root (PvDomainXml *self)
{
  return xmlDocGetRootElement (self->document);
}

/* libvirt's units of memory; KiB when none is given. 0 for one that is not known. */
static guint64
memory_unit (const char *unit)
{
  static const struct
  {
    const char *name;
    guint64 bytes;
  } units[] = {
    { "b", 1 },          { "bytes", 1 },        { "byte", 1 },
    { "k", 1ull << 10 }, { "kib", 1ull << 10 }, { "kb", 1000 },
    { "m", 1ull << 20 }, { "mib", 1ull << 20 }, { "mb", 1000000 },
    { "g", 1ull << 30 }, { "gib", 1ull << 30 }, { "gb", 1000000000 },
    { "t", 1ull << 40 }, { "tib", 1ull << 40 }, { "tb", 1000000000000 },
    { "p", 1ull << 50 }, { "pib", 1ull << 50 }, { "pb", 1000000000000000 },
    { "e", 1ull << 60 }, { "eib", 1ull << 60 }, { "eb", 1000000000000000000 },
  };

  if (unit == NULL)
    return 1u << 10;
  for (guint i = 0; i < G_N_ELEMENTS (units); i++)
    if (g_ascii_strcasecmp (units[i].name, unit) == 0)
      return units[i].bytes;
  return 0;
}

static gboolean
load_memory (PvDomainXml *self, xmlNode *root, GError **error)
{
  xmlNode *node = pv_xml_child (root, "memory");
  g_autofree char *text = pv_xml_text (node);
  g_autofree char *unit_name = pv_xml_attr (node, "unit");
  guint64 unit = memory_unit (unit_name);
  guint64 value;

  self->memory = 0;
  if (text == NULL)
    return TRUE;
  if (!g_ascii_string_to_unsigned (text, 10, 0, G_MAXUINT64, &value, NULL) || unit == 0
      || !g_uint64_checked_mul (&self->memory, value, unit))
    return pv_throw (error, PV_ERROR_INVALID, "not a " WHAT ": line %ld: '%s %s' is no amount of memory",
                     xmlGetLineNo (node), text, unit_name != NULL ? unit_name : "KiB");
  return TRUE;
}

static gboolean
load_vcpus (PvDomainXml *self, xmlNode *root, GError **error)
{
  xmlNode *node = pv_xml_child (root, "vcpu");
  g_autofree char *text = pv_xml_attr (node, "current");
  guint64 value = 1;

  if (text == NULL)
    text = pv_xml_text (node);
  if (text != NULL && !g_ascii_string_to_unsigned (text, 10, 1, G_MAXUINT16, &value, NULL))
    return pv_throw (error, PV_ERROR_INVALID, "not a " WHAT ": line %ld: '%s' is no number of virtual CPUs",
                     xmlGetLineNo (node), text);
  self->vcpus = (guint) value;
  return TRUE;
}

static void
load_nvram (PvDomainXml *self, xmlNode *os)
{
  xmlNode *node = pv_xml_child (os, "nvram");
  xmlNode *source = pv_xml_child (node, "source");

  self->nvram_format = pv_xml_attr (node, "format");
  if (self->nvram_format == NULL)
    self->nvram_format = g_strdup ("raw");
  if (source == NULL)
    {
      self->nvram = pv_xml_text (node);
      return;
    }
  self->nvram = pv_xml_attr (source, "file");
  if (self->nvram == NULL)
    self->nvram = pv_xml_attr (source, "dev");
}

gboolean
pv_domain_xml_load (PvDomainXml *self, GError **error)
{
  xmlNode *root = pv_domain_xml_root (self);
  xmlNode *os = pv_xml_child (root, "os");
  xmlNode *devices = pv_xml_child (root, "devices");

  clear_fields (self);
  self->name = pv_xml_text (pv_xml_child (root, "name"));
  if (self->name == NULL)
    return pv_throw (error, PV_ERROR_INVALID, "not a " WHAT ": line %ld: the domain has no name", xmlGetLineNo (root));
  self->uuid = pv_xml_text (pv_xml_child (root, "uuid"));
  self->machine = pv_xml_attr (pv_xml_child (os, "type"), "machine");
  self->emulator = pv_xml_text (pv_xml_child (devices, "emulator"));
  load_nvram (self, os);
  if (!load_memory (self, root, error) || !load_vcpus (self, root, error))
    return FALSE;
  self->disks = pv_domain_disks_load (devices, error);
  return self->disks != NULL;
}

PvDomainXml *
pv_domain_xml_parse (const char *xml, GError **error)
{
  g_autoptr(PvDomainXml) self = g_new0 (PvDomainXml, 1);

  self->document = pv_xml_parse (xml, "domain", WHAT, error);
  if (self->document == NULL || !pv_domain_xml_load (self, error))
    return NULL;
  return g_steal_pointer (&self);
}

PvDomainXml *
pv_domain_xml_copy (PvDomainXml *self)
{
  PvDomainXml *copy = g_new0 (PvDomainXml, 1);
  gboolean loaded;

  copy->document = xmlCopyDoc (self->document, 1);
  loaded = pv_domain_xml_load (copy, NULL);
  g_assert (loaded);
  return copy;
}

void
pv_domain_xml_free (PvDomainXml *self)
{
  if (self == NULL)
    return;
  clear_fields (self);
  g_clear_pointer (&self->document, xmlFreeDoc);
  g_free (self);
}

char *
pv_domain_xml_to_string (PvDomainXml *self)
{
  return pv_xml_print (pv_domain_xml_root (self));
}

const char *
pv_domain_xml_name (PvDomainXml *self)
{
  return self->name;
}

const char *
pv_domain_xml_uuid (PvDomainXml *self)
{
  return self->uuid;
}

const char *
pv_domain_xml_machine (PvDomainXml *self)
{
  return self->machine;
}

const char *
pv_domain_xml_emulator (PvDomainXml *self)
{
  return self->emulator;
}

guint64
pv_domain_xml_memory (PvDomainXml *self)
{
  return self->memory;
}

guint
pv_domain_xml_vcpus (PvDomainXml *self)
{
  return self->vcpus;
}

const char *
pv_domain_xml_nvram (PvDomainXml *self)
{
  return self->nvram;
}

const char *
pv_domain_xml_nvram_format (PvDomainXml *self)
{
  return self->nvram_format;
}

gboolean
pv_domain_xml_agent_connected (PvDomainXml *self)
{
  xmlNode *channel = pv_xml_descend (pv_domain_xml_root (self), "devices", "channel", NULL);

  for (; channel != NULL; channel = pv_xml_next (channel))
    {
      xmlNode *target = pv_xml_child (channel, "target");

      if (pv_xml_attr_is (target, "name", "org.qemu.guest_agent.0") && pv_xml_attr_is (target, "state", "connected"))
        return TRUE;
    }
  return FALSE;
}

gboolean
pv_domain_xml_shared_memory (PvDomainXml *self)
{
  xmlNode *root = pv_domain_xml_root (self);
  xmlNode *backing = pv_xml_child (root, "memoryBacking");
  xmlNode *source = pv_xml_child (backing, "source");
  xmlNode *cell = pv_xml_descend (root, "cpu", "numa", "cell", NULL);

  if (pv_xml_attr_is (pv_xml_child (backing, "access"), "mode", "shared") || pv_xml_attr_is (source, "type", "memfd")
      || pv_xml_attr_is (source, "type", "file"))
    return TRUE;
  for (; cell != NULL; cell = pv_xml_next (cell))
    if (pv_xml_attr_is (cell, "memAccess", "shared"))
      return TRUE;
  return FALSE;
}

gboolean
pv_domain_xml_hugepages (PvDomainXml *self)
{
  return pv_xml_descend (pv_domain_xml_root (self), "memoryBacking", "hugepages", NULL) != NULL;
}

GPtrArray *
pv_domain_xml_disks (PvDomainXml *self)
{
  return self->disks;
}

PvDomainDisk *
pv_domain_xml_find_disk (PvDomainXml *self, const char *name)
{
  for (guint i = 0; i < self->disks->len; i++)
    {
      PvDomainDisk *disk = self->disks->pdata[i];

      if (strcmp (disk->target, name) == 0 || g_strcmp0 (disk->path, name) == 0)
        return disk;
    }
  return NULL;
}

void
pv_domain_xml_reload (PvDomainXml *self)
{
  gboolean loaded = pv_domain_xml_load (self, NULL);

  g_assert (loaded); /* it was valid before, and no change here makes it invalid */
}

/* libvirt notes in a save image that slirp, where the guest has it, runs as a helper outside QEMU, and disables the
 * helper at restore without that note. pagevault's guests have slirp inside QEMU; libvirt writes the note for those
 * without slirp, too. */
static gboolean
has_slirp (xmlNode *devices)
{
  xmlNode *node = pv_xml_child (devices, "interface");

  for (; node != NULL; node = pv_xml_next (node))
    if (pv_xml_attr_is (node, "type", "user") && !pv_xml_attr_is (pv_xml_child (node, "backend"), "type", "passt"))
      return TRUE;
  return FALSE;
}

char *
pv_domain_xml_save_cookie (PvDomainXml *self)
{
  xmlNode *root = pv_domain_xml_root (self);
  xmlNode *cpu = pv_xml_child (root, "cpu");
  g_autofree char *text = NULL;

  if (cpu == NULL)
    return NULL;
  text = pv_xml_print (cpu);
  return g_strdup_printf ("<cookie>\n  %s%s</cookie>\n", text,
                          has_slirp (pv_xml_child (root, "devices")) ? "" : "  <slirpHelper/>\n");
}
