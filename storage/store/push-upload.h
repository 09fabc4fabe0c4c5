/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Uploading packs of a store, several at once. */
#pragma once

#include "store/push-plan.h"
#include "store/transfers.h"

G_BEGIN_DECLS

/* Sends the packs of @plan from @store to @remote. Each is read and its checksums compared before it is sent:
 * PV_ERROR_CORRUPT. PV_ERROR_NOT_FOUND when one is not in the store any more. @sent: (out): how many were sent. */
gboolean pv_push_upload (PvStore *store, PvRemote *remote, PvPushPlan *plan, guint64 *sent, PvTransferTick tick,
                         gpointer data, GCancellable *cancellable, GError **error);

G_END_DECLS
