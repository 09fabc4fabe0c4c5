/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvCaptureRecord: how a snapshot was taken, written into it as capture.json, and what a later capture wants to know of
 * it. docs/capture.md lists the keys.
 */
#pragma once

#include "capture/disk-plan.h"
#include "store/txn.h"
#include "virt/guest.h"

G_BEGIN_DECLS

typedef struct
{
  const char *engine;           /* (nullable): of disks alone */
  gboolean tracked;
  double pause_ms;
  gboolean quiesced;            /* the guest's memory says so as well: after a restore somebody must thaw it */
  const GPtrArray *passed_over; /* (element-type utf8): "engine: reason" */
  const PvDiskPlan *plan;
} PvCaptureRecord;

gboolean pv_capture_record_attach (const PvCaptureRecord *self, PvTxn *txn, PvGuest *guest, PvDomainXml *domain,
                                   GError **error);

/* (transfer full) (nullable): the layers that disk @target of @snapshot was read from. NULL when it does not say so. */
PvLayers *pv_capture_record_layers (PvSnapshot *snapshot, const char *target);

G_END_DECLS
