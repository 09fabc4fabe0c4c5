/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Removing from a remote: snapshots at once, packs in two phases that are a grace period apart (docs/format-remote.md,
 * "Removing"), beside pushes and prunes of other hosts.
 */
#pragma once

#include "store/mirror.h"

G_BEGIN_DECLS

#define PV_PRUNE_GRACE_DEFAULT (7u * 24u * 3600u) /* seconds */
#define PV_PRUNE_GRACE_MIN 3600u                  /* seconds: pushes rely on it */

/* Unlists the snapshot in the remote; its packs are for pv_mirror_prune(). PV_ERROR_NOT_FOUND. */
gboolean pv_mirror_delete (PvMirror *self, const char *domain, const char *name, GCancellable *cancellable,
                           GError **error);

typedef struct
{
  guint64 condemned_packs; /* that no snapshot needs since now */
  guint64 condemned_bytes;
  guint64 waiting_packs;   /* condemned before, less than the grace period ago */
  guint64 removed_packs;
  guint64 removed_bytes;
} PvPruneResult;

/* @grace: seconds, at least PV_PRUNE_GRACE_MIN. @now: microseconds since 1970. @dry_run: only counts. PV_ERROR_CORRUPT,
 * and nothing is removed, when it cannot be told what a snapshot needs. */
gboolean pv_mirror_prune (PvMirror *self, guint64 grace, gint64 now, gboolean dry_run, PvPruneResult *result,
                          GCancellable *cancellable, GError **error);

G_END_DECLS
