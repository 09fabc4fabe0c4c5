/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Disk files that a domain had before it was reverted. */
#pragma once

#include "virt/connection.h"

G_BEGIN_DECLS

/* Removes those of @paths (element-type utf8) that are regular files and that no domain of the host, nor a backing
 * chain that libvirt knows of, names. (transfer full) (element-type utf8): those that are still there. */
GPtrArray *pv_replaced_disks_remove (PvConnection *connection, GPtrArray *paths);

G_END_DECLS
