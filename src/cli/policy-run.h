/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* One run of a guest's policy: take a snapshot, push what is to be pushed, remove what is not kept; and write down how
 * that went (policy/policy-state.h).
 *
 * Taking and pushing are done by commands of their own, children of this process: whatever becomes of them is noticed.
 */
#pragma once

#include "cli/cli.h"
#include "virt/guest-policy.h"

G_BEGIN_DECLS

typedef struct
{
  char *snapshot;   /* (owned) (nullable): what was taken; NULL: nothing was due */
  guint n_pushed;   /* snapshots */
  guint n_removed;
} PvPolicyRun;
void pv_policy_run_clear (PvPolicyRun *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvPolicyRun, pv_policy_run_clear)

/* @due_only: does what is due and nothing else; of a guest that is off, nothing is. Else a snapshot is taken, also when
 * the policy is not enabled. PV_ERROR_BUSY: a run of it is under way. PV_ERROR_CANCELLED counts as no failure. Of what
 * fails, all the rest is done; the error is the first. @run: (out). */
gboolean pv_policy_run (PvCli *cli, const PvGuestPolicy *guest, gboolean due_only, PvPolicyRun *run, GError **error);

G_END_DECLS
