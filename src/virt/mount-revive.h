/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Guests whose disks were served by a process that is gone. */
#pragma once

#include "virt/connection.h"

G_BEGIN_DECLS

/* Has guests read their disks again that lie over files in @directory, which is served again, and resumes those that
 * had stopped for that. (element-type utf8) (transfer full): what was done, or could not be, a sentence each. */
GPtrArray *pv_mount_revive (PvConnection *connection, const char *directory);

G_END_DECLS
