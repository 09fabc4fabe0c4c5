/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRestoreJob: a guest from a snapshot (eager: all memory is loaded before it runs).
 *
 * The old guest is never harmed: a domain of that name that runs is refused; files that exist are never overwritten;
 * when anything fails, what was made is removed and nothing else.
 */
#pragma once

#include "store/volume-reader.h"
#include "virt/guest.h"

G_BEGIN_DECLS

typedef enum
{
  PV_RESTORE_DISKS_COPY,    /* plain full copies: qcow2 files */
  PV_RESTORE_DISKS_OVERLAY, /* qcow2 overlays over raw images served from the store */
} PvRestoreDisks;

typedef struct
{
  const char *name;      /* (nullable): another domain name: gets a new UUID */
  gboolean paused;       /* leave it paused */
  PvRestoreDisks disks;
  const char *pool_dir;  /* for overlays: the directory in which the store's disks are served (pool/mount.h) */
  const char *disks_dir; /* (nullable): directory of the new disks; the directory of the original disk */
} PvRestoreOptions;

typedef struct
{
  char *domain;              /* (owned) */
  gboolean lazy;
  double running_ms;         /* command to guest running */
  double total_ms;
  guint64 pages_on_demand;
} PvRestoreResult;
void pv_restore_result_clear (PvRestoreResult *self);

typedef void (*PvRestoreProgressFunc) (const char *phase, guint64 done, guint64 total, gpointer data);

gboolean pv_restore_run (PvStore *store, PvConnection *connection, PvSnapshot *snapshot,
                         const PvRestoreOptions *options, PvRestoreResult *result,
                         PvRestoreProgressFunc progress, gpointer data,
                         GCancellable *cancellable, GError **error);

G_END_DECLS
