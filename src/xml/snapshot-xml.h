/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* domainsnapshot documents: the one we give to libvirt, the ones users give to us. */
#pragma once

#include <glib.h>

#include "xml/domain-xml.h"

G_BEGIN_DECLS

/* What is to happen to one disk in a snapshot. */
typedef struct
{
  char *target;     /* (owned): or the path of its active layer: look it up by pv_domain_xml_find_disk() */
  gboolean exclude; /* snapshot='no' */
  char *file;       /* (owned) (nullable): where the overlay goes; a whole path */
} PvDiskSpec;
void pv_disk_spec_free (PvDiskSpec *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDiskSpec, pv_disk_spec_free)

/* virsh's --diskspec: TARGET[,snapshot=no|external][,driver=qcow2][,file=PATH]; ",," is a comma. PV_ERROR_INVALID names
 * the part. */
PvDiskSpec *pv_disk_spec_parse (const char *text, GError **error);

/* virsh's --memspec: [file=]PATH[,snapshot=no|external]; ",," is a comma. @file: (out) (transfer full) (nullable): a
 * whole path; NULL: no memory (snapshot=no). PV_ERROR_INVALID names the part. */
gboolean pv_memory_spec_parse (const char *text, char **file, GError **error);

/* A user's <domainsnapshot> (--xmlfile). PV_ERROR_INVALID with line number; what pagevault cannot do (internal
 * snapshots …) is refused. */
typedef struct
{
  char *name;         /* (owned) (nullable) */
  char *description;  /* (owned) (nullable) */
  gboolean disk_only; /* <memory snapshot='no'/> */
  char *memory_file;  /* (owned) (nullable): see pv_snapshot_request_parse_libvirt() */
  GPtrArray *disks;   /* (owned) (element-type PvDiskSpec) */
} PvSnapshotRequest;
PvSnapshotRequest *pv_snapshot_request_parse (const char *xml, GError **error);
/* Likewise, one that was meant for libvirt: external, its memory in .memory_file, a whole path. PV_ERROR_UNSUPPORTED
 * for any that asks for something else, or has an element or attribute that is not known here. */
PvSnapshotRequest *pv_snapshot_request_parse_libvirt (const char *xml, GError **error);
void pv_snapshot_request_free (PvSnapshotRequest *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvSnapshotRequest, pv_snapshot_request_free)

typedef struct
{
  const char *target;
  const char *overlay; /* path of the new qcow2 layer; NULL: this disk takes no part (snapshot='no') */
} PvOverlay;

/* (transfer full): the <domainsnapshot> for virDomainSnapshotCreateXML with DISK_ONLY | REUSE_EXT | NO_METADATA.
 * @overlays must name every disk of the domain: one left out would get an overlay of libvirt's own making. */
char *pv_snapshot_xml_disks (const char *name, const PvOverlay *overlays, guint n);

/* (transfer full): the <domainsnapshot> for --redefine of a kept chain. @state: "running" or "paused" with
 * @memory_file, "disk-snapshot" without, "shutoff" of a domain that was off. @description, @parent, @memory_file,
 * @inactive: (nullable). @domain: as it was in the pause, before the disks got their overlays. @overlays: as above. */
char *pv_snapshot_xml_redefine (const char *name, const char *description, gint64 time_seconds, const char *state,
                                const char *parent, const char *memory_file, const PvOverlay *overlays, guint n,
                                PvDomainXml *domain, PvDomainXml *inactive);

/* Of libvirt's description @xml of a snapshot: TRUE when it is external with memory; @time_seconds (out): when it was
 * taken. */
gboolean pv_snapshot_xml_has_memory (const char *xml, gint64 *time_seconds);

/* (transfer full): the same description, the overlays of its external disks being @overlays now; NULL with
 * PV_ERROR_INVALID when it is none, or one of its disks is missing there. */
char *pv_snapshot_xml_replace_overlays (const char *xml, const PvOverlay *overlays, guint n, GError **error);

G_END_DECLS
