/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPoolService: what pagevaultd adds to the files of a mount (pool/mount-files.h):
 *
 *   DOMAIN@NAME.save   the memory of a snapshot as a libvirt save image: `virsh restore` takes it
 *
 * None of it calls libvirt: libvirtd may be the one that waits for the answer. Any thread.
 */
#pragma once

#include "daemon/served-image.h"
#include "pool/mount-files.h"

G_BEGIN_DECLS

typedef struct _PvPoolService PvPoolService;

extern const PvMountFiles pv_pool_service_files; /* their data is a PvPoolService */

PvPoolService *pv_pool_service_new (PvStore *store);
void pv_pool_service_free (PvPoolService *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPoolService, pv_pool_service_free)

G_END_DECLS
