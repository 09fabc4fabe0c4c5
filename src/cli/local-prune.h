/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Retention in the store: of a domain's snapshots that policies took, those go that the retention does not keep. */
#pragma once

#include "cli/cli.h"
#include "policy/retention.h"

G_BEGIN_DECLS

typedef struct
{
  PvSnapshot *snapshot; /* (owned) */
  char *kept;           /* (owned) (nullable): why it stays: a word of policy/retention.h, or a sentence when somebody
                           needs it; NULL: it goes */
} PvPruned;

/* @connection: (nullable): to libvirt, whose guests may need a snapshot's disks; NULL: nobody is asked.
 * Adds to @results (element-type PvPruned, which must free its elements with pv_pruned_free()) what becomes of each
 * snapshot of @domain, oldest first; nothing is deleted with @dry_run. Without @domain's snapshots nothing happens. */
gboolean pv_local_prune (PvCli *cli, PvStore *store, PvConnection *connection, const char *domain,
                         const PvRetention *retention, gboolean dry_run, GPtrArray *results, GError **error);
void pv_pruned_free (gpointer pruned);

G_END_DECLS
