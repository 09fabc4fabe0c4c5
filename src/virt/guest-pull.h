/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Making a disk that is an overlay independent of the layers below it, while its guest runs (libvirt's block pull). */
#pragma once

#include "virt/guest.h"

G_BEGIN_DECLS

/* Has QEMU copy all that lies below the active layer of @target into it, behind the running guest. It goes on when we
 * are gone. PV_ERROR_BUSY when a block job runs on the disk already. */
gboolean pv_guest_pull_start (PvGuest *self, const char *target, GError **error);

/* How far the job is, in bytes; both 0 when there is none (any more). */
gboolean pv_guest_pull_progress (PvGuest *self, const char *target, guint64 *done, guint64 *total, GError **error);

/* TRUE when the active layer of @target has no layer below it, in the live and in the persistent description. */
gboolean pv_guest_pull_is_done (PvGuest *self, const char *target, gboolean *done, GError **error);

G_END_DECLS
