/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What restore, clone and revert share: the store, the snapshot and the host opened, what was killed before mended, the
 * store's disks served, the result shown. */
#pragma once

#include "cli/cli.h"
#include "restore/restore-job.h"

G_BEGIN_DECLS

typedef struct
{
  PvStore *store;           /* (owned) */
  PvSnapshot *snapshot;     /* (owned) */
  PvConnection *connection; /* (owned) */
  char *pool_dir;           /* (owned) (nullable) */
} PvRestoreGround;
void pv_restore_ground_clear (PvRestoreGround *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvRestoreGround, pv_restore_ground_clear)

/* Opens all; @snapshot: DOMAIN@NAME. Mends what killed restores left, and what a killed capture left of @domain;
 * says so on standard error. */
gboolean pv_restore_ground_open (PvRestoreGround *self, PvCli *cli, const char *snapshot, const char *domain,
                                 GError **error);

/* --disks: @how: (nullable): "copy" or "overlay"; @disks is left alone without. PV_ERROR_INVALID. */
gboolean pv_restore_parse_disks (const char *how, PvRestoreDisks *disks, GError **error);

/* Runs it, with progress shown; serves the store's disks when they are wanted. */
gboolean pv_restore_ground_run (PvRestoreGround *self, PvCli *cli, PvRestoreOptions *options, PvRestoreResult *result,
                                GError **error);

/* Members of the object that --json prints for a guest that is back. */
void pv_restore_add_json (JsonBuilder *builder, const PvRestoreResult *result);
/* "web1 is back after 1.2 s" */
void pv_restore_print (PvSnapshot *snapshot, const PvRestoreResult *result);

G_END_DECLS
