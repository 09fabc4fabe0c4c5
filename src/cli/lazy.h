/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What commands say and do about guests whose memory is still coming from the store (restore/lazy-restore.h). */
#pragma once

#include "cli/cli.h"

G_BEGIN_DECLS

/* Waits until all memory of the guest @uuid is there, showing progress; at once when it is. @hurry: without the limit
 * that the restore has. */
gboolean pv_lazy_finish (PvCli *cli, PvStore *store, const char *uuid, gboolean hurry, GError **error);

/* One sentence on standard output for each guest that @snapshot (nullable: any) is restored to just now. */
void pv_lazy_print (PvStore *store, const char *snapshot);
/* Likewise, as the array "restores": domain, snapshot, phase, sent_bytes, memory_bytes, pages_on_demand, message. */
void pv_lazy_add_json (JsonBuilder *builder, PvStore *store, const char *snapshot);
/* FALSE with PV_ERROR_BUSY when a guest still needs @snapshot. */
gboolean pv_lazy_check_unused (PvStore *store, const char *snapshot, GError **error);

G_END_DECLS
