/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which snapshots have disks that disks of guests lie over: without those the guests would lose theirs. */
#pragma once

#include "virt/connection.h"

G_BEGIN_DECLS

/* (transfer full) (element-type utf8 utf8): DOMAIN@NAME of each such snapshot, and a guest that needs it. All guests
 * are asked, running or not, as they are now and as they will start; layers are read from the files. */
GHashTable *pv_disk_users_find (PvConnection *connection, GError **error);

G_END_DECLS
