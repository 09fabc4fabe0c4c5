/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/transfer.h"

#include "util/error.h"

void
pv_transfer_report (const PvTransfer *self, guint64 done, guint64 total)
{
  if (self->progress != NULL)
    self->progress (self->phase, done, total, self->data);
}

gboolean
pv_transfer_go_on (const PvTransfer *self, GError **error)
{
  if (g_cancellable_is_cancelled (self->cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "stopped");
  return TRUE;
}
