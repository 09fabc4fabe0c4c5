/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of PvDomainXml share. */
#pragma once

#include "xml/domain-xml.h"
#include "xml/xml-node.h"

G_BEGIN_DECLS

struct _PvDomainXml
{
  xmlDoc *document;   /* (owned) */
  char *name;         /* (owned) */
  char *uuid;         /* (owned) (nullable) */
  char *machine;      /* (owned) (nullable) */
  char *emulator;     /* (owned) (nullable) */
  char *nvram;        /* (owned) (nullable) */
  char *nvram_format; /* (owned) */
  guint64 memory;     /* bytes */
  guint vcpus;
  GPtrArray *disks; /* (owned) (element-type PvDomainDisk) */
};

xmlNode *pv_domain_xml_root (PvDomainXml *self);
/* The <disk> whose target is @target; NULL when there is none. */
xmlNode *pv_domain_xml_disk_node (PvDomainXml *self, const char *target);
/* Reads all fields again from the document. */
gboolean pv_domain_xml_load (PvDomainXml *self, GError **error);
/* Likewise after a change, which never makes a valid document invalid. */
void pv_domain_xml_reload (PvDomainXml *self);
/* (transfer container) (element-type PvDomainDisk) */
GPtrArray *pv_domain_disks_load (xmlNode *devices, GError **error);

#define PV_QEMU_NAMESPACE "http://libvirt.org/schemas/domain/qemu/1.0"
/* The <qemu:NAME> child element; NULL when there is none. */
xmlNode *pv_domain_xml_qemu_child (xmlNode *parent, const char *name);
/* (element-type utf8) (transfer full): the arguments of <qemu:commandline>, in order. @nodes: (out) (optional)
 * (element-type xmlNode) (transfer container): their elements. */
GPtrArray *pv_domain_xml_qemu_arguments (PvDomainXml *self, GPtrArray **nodes);
/* TRUE when @argument is an option of QEMU's command line that takes the argument behind it as its value. */
gboolean pv_qemu_option_has_value (const char *argument);

G_END_DECLS
