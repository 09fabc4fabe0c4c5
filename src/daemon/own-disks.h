/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a guest's own disks looked like when it was saved: a document of a snapshot that `virsh save` has made.
 *
 * After a save the guest is off and its disks are at rest. As long as nobody writes to them they are the disks of that
 * very instant, and a restore goes on with them, as it does without any pool. Of any other snapshot this cannot be
 * told: an overlay may lie over a disk that itself was not written to.
 */
#pragma once

#include "capture/layers.h"
#include "store/txn.h"
#include "xml/domain-xml.h"

G_BEGIN_DECLS

#define PV_ATTACH_OWN_DISKS "own-disks.json"

/* Writes down @layers (element-type utf8 PvLayers): by target. */
gboolean pv_own_disks_attach (PvTxn *txn, GHashTable *layers, GError **error);

/* TRUE when @disk, of the description of @snapshot, is known to be what it was at the snapshot's instant, and to be the
 * guest's still: an overlay that was put over it meanwhile would be destroyed by whoever writes to it. That is read
 * from libvirt's file of the guest's definition, if there is one, for libvirt itself must not be asked. */
gboolean pv_own_disks_untouched (PvSnapshot *snapshot, const PvDomainDisk *disk);

G_END_DECLS
