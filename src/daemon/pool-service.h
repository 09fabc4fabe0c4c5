/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPoolService: what pagevaultd adds to the files of a mount (pool/mount-files.h):
 *
 *   DOMAIN@NAME.save   the memory of a snapshot as a libvirt save image: `virsh restore` takes it; one that is
 *                      written becomes a snapshot (incoming.h)
 *
 * Removing a file deletes the snapshot that it is a part of, unless somebody needs it.
 *
 * None of it calls libvirt: libvirtd may be the one that waits for the answer. Any thread.
 */
#pragma once

#include "daemon/fresh-disks.h"
#include "daemon/libvirt-link.h"
#include "daemon/served-image.h"
#include "pool/mount.h"

G_BEGIN_DECLS

typedef struct _PvPoolService PvPoolService;

extern const PvMountFiles pv_pool_service_files; /* their data is a PvPoolService */

/* @disks and @link outlive it. Needs the default main context to run. */
PvPoolService *pv_pool_service_new (PvStore *store, PvFreshDisks *disks, PvLibvirtLink *link);
/* Once, before the mount serves. */
void pv_pool_service_set_mount (PvPoolService *self, PvMount *mount);
void pv_pool_service_free (PvPoolService *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPoolService, pv_pool_service_free)

/* Description @xml, which names no disk of a snapshot, is about to be restored: FALSE, with a sentence, when the memory
 * may be one that is read here just now, and would meet a disk of its guest that has gone on. */
gboolean pv_pool_service_check_restore (PvPoolService *self, const char *xml, GError **error);

/* FALSE, with a sentence, when somebody needs @snapshot. */
gboolean pv_pool_service_check_unused (PvPoolService *self, PvSnapshot *snapshot, GError **error);
/* Deletes it from the store, if nobody needs it; that it is not there any more is fine. */
gboolean pv_pool_service_delete (PvPoolService *self, PvSnapshot *snapshot, GError **error);

G_END_DECLS
