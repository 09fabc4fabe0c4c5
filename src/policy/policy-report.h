/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How a guest's policy is doing, in words. Pure. */
#pragma once

#include "policy/policy-plan.h"

G_BEGIN_DECLS

typedef struct
{
  const char *state; /* "ok", "new" (no run yet), "off" (not enabled), "running", "overdue", "failing", "bad" */
  gboolean healthy;  /* nothing is wrong with it */
  gint64 next;       /* seconds since 1970: when it is due next, maybe in the past; PV_NEVER */
  char *message;     /* (owned) (nullable): what is wrong, or what it waits for */
} PvPolicyReport;
void pv_policy_report_clear (PvPolicyReport *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvPolicyReport, pv_policy_report_clear)

/* @policy: (nullable): NULL: it cannot be read, and @bad says why. @state: as loaded. @guest_runs: the guest does.
 * @locked: a run is under way. @served: pagevaultd is there to run it. */
void pv_policy_report (PvPolicyReport *self, const PvPolicy *policy, const char *bad, const PvPolicyState *state,
                       gboolean guest_runs, gboolean locked, gboolean served, gint64 now);

G_END_DECLS
