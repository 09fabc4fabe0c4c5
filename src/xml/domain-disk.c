/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The <disk> elements of a domain: what lies behind each drive. */
#include "config.h"

#include <string.h>

#include "util/error.h"
#include "xml/domain-xml-private.h"

static void
disk_free (PvDomainDisk *self)
{
  g_free (self->target);
  g_free (self->device);
  g_free (self->source_type);
  g_free (self->path);
  g_free (self->format);
  g_free (self->snapshot);
  g_free (self->mirror);
  g_free (self->obstacle);
  g_clear_pointer (&self->backing, g_ptr_array_unref);
  g_free (self);
}

/* What the image of a <disk> or <backingStore> is, by its type attribute. @path: (out) (nullable). */
static PvDiskSourceKind
read_source (xmlNode *node, const char *type, char **path)
{
  xmlNode *source = pv_xml_child (node, "source");

  *path = NULL;
  if (strcmp (type, "file") == 0)
    {
      *path = pv_xml_attr (source, "file");
      return PV_DISK_FILE;
    }
  if (strcmp (type, "block") == 0)
    {
      *path = pv_xml_attr (source, "dev");
      return PV_DISK_BLOCK;
    }
  return PV_DISK_OTHER;
}

/* (transfer full) (nullable): why the layer in @node cannot be read as the plain image that its path names. */
static char *
layer_obstacle (xmlNode *node, PvDomainDisk *disk)
{
  xmlNode *source = pv_xml_child (node, "source");

  if (pv_xml_child (source, "encryption") != NULL || pv_xml_child (node, "encryption") != NULL)
    return g_strdup_printf ("disk %s is encrypted by QEMU: its content cannot be read from outside", disk->target);
  if (pv_xml_child (source, "slices") != NULL)
    return g_strdup_printf ("disk %s is a slice of its image: its content cannot be read by path", disk->target);
  if (pv_xml_child (source, "dataStore") != NULL || pv_xml_child (node, "dataStore") != NULL)
    return g_strdup_printf ("disk %s keeps its data in a second file (dataStore): its image cannot be read alone",
                            disk->target);
  return NULL;
}

static void
read_backing (PvDomainDisk *disk, xmlNode *disk_node)
{
  xmlNode *node = pv_xml_child (disk_node, "backingStore");

  for (; node != NULL; node = pv_xml_child (node, "backingStore"))
    {
      g_autofree char *type = pv_xml_attr (node, "type");
      char *path;

      if (pv_xml_child (node, "source") == NULL)
        return; /* <backingStore/>: the end of the chain */
      if (read_source (node, type != NULL ? type : "file", &path) == PV_DISK_OTHER || path == NULL)
        {
          if (disk->obstacle == NULL)
            disk->obstacle = g_strdup_printf ("disk %s has a layer of type '%s', which is neither a file nor a block "
                                              "device",
                                              disk->target, type != NULL ? type : "file");
          return;
        }
      g_ptr_array_add (disk->backing, path);
      if (disk->obstacle == NULL)
        disk->obstacle = layer_obstacle (node, disk);
    }
}

static void
read_mirror (PvDomainDisk *disk, xmlNode *disk_node)
{
  xmlNode *node = pv_xml_child (disk_node, "mirror");
  g_autofree char *type = pv_xml_attr (node, "type");

  if (node != NULL)
    read_source (node, type != NULL ? type : "file", &disk->mirror);
}

static PvDomainDisk *
disk_load (xmlNode *node, GError **error)
{
  PvDomainDisk *disk = g_new0 (PvDomainDisk, 1);

  disk->backing = g_ptr_array_new_with_free_func (g_free);
  disk->target = pv_xml_attr (pv_xml_child (node, "target"), "dev");
  if (disk->target == NULL || *disk->target == '\0')
    {
      pv_throw (error, PV_ERROR_INVALID, "not a domain description: line %ld: a disk has no target",
                xmlGetLineNo (node));
      disk_free (disk);
      return NULL;
    }
  disk->device = pv_xml_attr (node, "device");
  if (disk->device == NULL)
    disk->device = g_strdup ("disk");
  disk->source_type = pv_xml_attr (node, "type");
  if (disk->source_type == NULL)
    disk->source_type = g_strdup ("file");
  disk->kind = read_source (node, disk->source_type, &disk->path);
  disk->format = pv_xml_attr (pv_xml_child (node, "driver"), "type");
  if (disk->format == NULL)
    disk->format = g_strdup ("raw");
  disk->readonly = pv_xml_child (node, "readonly") != NULL || strcmp (disk->device, "cdrom") == 0;
  disk->shareable = pv_xml_child (node, "shareable") != NULL;
  disk->transient = pv_xml_child (node, "transient") != NULL;
  disk->snapshot = pv_xml_attr (node, "snapshot");
  if (strcmp (disk->device, "lun") == 0)
    disk->obstacle = g_strdup_printf ("disk %s is a SCSI LUN passed through (device='lun'): it cannot have an overlay",
                                      disk->target);
  else if (disk->kind == PV_DISK_OTHER)
    disk->obstacle = g_strdup_printf ("disk %s is of type '%s', which is neither a file nor a block device",
                                      disk->target, disk->source_type);
  else
    disk->obstacle = layer_obstacle (node, disk);
  read_backing (disk, node);
  read_mirror (disk, node);
  return disk;
}

GPtrArray *
pv_domain_disks_load (xmlNode *devices, GError **error)
{
  g_autoptr(GPtrArray) disks = g_ptr_array_new_with_free_func ((GDestroyNotify) disk_free);
  g_autoptr(GHashTable) seen = g_hash_table_new (g_str_hash, g_str_equal);

  for (xmlNode *node = pv_xml_child (devices, "disk"); node != NULL; node = pv_xml_next (node))
    {
      PvDomainDisk *disk = disk_load (node, error);

      if (disk == NULL)
        return NULL;
      g_ptr_array_add (disks, disk);
      if (!g_hash_table_add (seen, disk->target))
        {
          pv_throw (error, PV_ERROR_INVALID, "not a domain description: line %ld: two disks have the target '%s'",
                    xmlGetLineNo (node), disk->target);
          return NULL;
        }
    }
  return g_steal_pointer (&disks);
}

xmlNode *
pv_domain_xml_disk_node (PvDomainXml *self, const char *target)
{
  xmlNode *node = pv_xml_descend (pv_domain_xml_root (self), "devices", "disk", NULL);

  for (; node != NULL; node = pv_xml_next (node))
    if (pv_xml_attr_is (pv_xml_child (node, "target"), "dev", target))
      return node;
  return NULL;
}
