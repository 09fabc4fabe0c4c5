/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDiskPlan: which disks of a guest take part in a capture, and where their overlays go.
 *
 * A disk takes part unless it is read-only, empty, removable, excluded by the user, or marked snapshot='no' in its
 * description. One that should take part and cannot (a network disk, a shared one …) is refused with a sentence that
 * says how to leave it out.
 */
#pragma once

#include "capture/capture-options.h"
#include "capture/journal.h"
#include "capture/layers.h"
#include "xml/domain-xml.h"

G_BEGIN_DECLS

typedef struct
{
  char *target;       /* (owned): "vda" */
  gboolean taken;
  char *path;         /* (owned) (nullable): the layer that is read: the active one before the capture */
  char *format;       /* (owned): of that layer */
  gboolean block;     /* it is a block device */
  GPtrArray *backing; /* (owned) (element-type utf8): layers below it, nearest first */
  char *overlay;      /* (owned) (nullable): the new active layer, in a live capture */
  guint64 size;       /* bytes, virtual; see pv_disk_plan_measure() */
  PvLayers *layers;   /* (owned) (nullable): from .path down, when all of them had been read: of whoever reads them */
} PvDiskPlanEntry;

typedef struct
{
  GPtrArray *entries; /* (owned) (element-type PvDiskPlanEntry): every disk of the domain */
} PvDiskPlan;

/* @tag: the end of the overlays' names. @overlays: FALSE for a domain that is off. PV_ERROR_INVALID for what
 * contradicts the domain, UNSUPPORTED for a disk that cannot take part. Nothing is created. */
PvDiskPlan *pv_disk_plan_new (PvDomainXml *domain, const PvCaptureOptions *options, const char *tag, gboolean overlays,
                              GError **error);
void pv_disk_plan_free (PvDiskPlan *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDiskPlan, pv_disk_plan_free)

guint pv_disk_plan_n_taken (const PvDiskPlan *self);

/* Finds the sizes of all disks that take part. @total: (out): bytes. UNSUPPORTED when the images of a disk that is to
 * get an overlay name other layers than the domain's description. */
gboolean pv_disk_plan_measure (PvDiskPlan *self, guint64 *total, GError **error);

/* Makes the overlays: qcow2 files over the active layers, mode 0600, owned like those (libvirt labels them when it
 * opens them). Each is written into @journal, durably, before it exists. */
gboolean pv_disk_plan_create_overlays (PvDiskPlan *self, PvJournal *journal, GError **error);

/* (transfer full): the document that freezes the disks. */
char *pv_disk_plan_snapshot_xml (const PvDiskPlan *self, const char *name);
/* (transfer full) (array length=n) (nullable): every disk and its overlay; strings belong to the plan. */
PvOverlay *pv_disk_plan_overlays (const PvDiskPlan *self, guint *n);

G_END_DECLS
