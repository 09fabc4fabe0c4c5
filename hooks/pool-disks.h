/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Whether the disks of a guest that lie in a pool, or over a file in one, are there. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* FALSE with PV_ERROR_NOT_FOUND, a sentence, when description @xml has a disk that is served from a store (a file
 * called DOMAIN@NAME.TARGET.raw), or a qcow2 overlay over one, and it is not served now; also when whoever should serve
 * it does not answer within @timeout_ms. What cannot be understood is no reason: libvirt will say what is wrong. Files
 * of other disks are opened for their first bytes, those that may be served by a child process only. */
gboolean pv_pool_disks_check (const char *xml, guint timeout_ms, GError **error);

G_END_DECLS
