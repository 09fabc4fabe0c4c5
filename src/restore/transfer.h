/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvTransfer: how long copying tells how far it is, and is stopped. */
#pragma once

#include "restore/export.h"

G_BEGIN_DECLS

typedef struct
{
  const char *phase;               /* (not owned) */
  PvTransferProgressFunc progress; /* (nullable) */
  gpointer data;                   /* (not owned) */
  GCancellable *cancellable;       /* (not owned) (nullable) */
} PvTransfer;

/* @done of @total bytes. */
void pv_transfer_report (const PvTransfer *self, guint64 done, guint64 total);
/* FALSE with PV_ERROR_CANCELLED when the user asked to stop. */
gboolean pv_transfer_go_on (const PvTransfer *self, GError **error);

G_END_DECLS
