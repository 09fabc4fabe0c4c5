/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/policy-plan.h"

guint
pv_policy_retry_first (void)
{
  const char *told = g_getenv ("PAGEVAULT_POLICY_RETRY");
  guint64 seconds = 0;

  if (told != NULL && g_ascii_string_to_unsigned (told, 10, 1, PV_POLICY_RETRY_MOST, &seconds, NULL))
    return (guint) seconds;
  return PV_POLICY_RETRY_FIRST;
}

gint64
pv_policy_backoff (guint failures, guint first)
{
  guint shift = MIN (failures > 0 ? failures - 1 : 0, 16);

  return failures == 0 ? 0 : MIN ((gint64) first << shift, MAX ((gint64) first, PV_POLICY_RETRY_MOST));
}

gint64
pv_policy_due (const PvPolicy *policy, const PvPolicyState *state, gint64 now, guint retry_first)
{
  gint64 due;

  if (!policy->enabled)
    return PV_NEVER;
  due = pv_schedules_next (policy, MIN (state->anchor, now));
  if (state->failures == 0 || due == PV_NEVER)
    return due;
  /* what failed may have been asked for by hand, before it was due */
  return MAX (due, MIN (state->attempt, now) + pv_policy_backoff (state->failures, retry_first));
}

/* What was pushed in vain is tried again whatever becomes of new snapshots. */
static gint64
push_due (const PvPolicy *policy, const PvPolicyState *state, gint64 now, guint retry_first)
{
  if (!policy->enabled || policy->push == NULL || state->unpushed == NULL || *state->unpushed == NULL)
    return PV_NEVER;
  return MIN (state->push_attempt, now) + pv_policy_backoff (state->push_failures, retry_first);
}

PvPlan
pv_policy_plan (const PvPolicy *policy, const PvPolicyState *state, gint64 now, guint retry_first)
{
  gint64 due = pv_policy_due (policy, state, now, retry_first);
  gint64 push = push_due (policy, state, now, retry_first);

  if (due <= now)
    return (PvPlan){ PV_PLAN_CAPTURE, due };
  if (push <= now)
    return (PvPlan){ PV_PLAN_PUSH, push };
  return (PvPlan){ PV_PLAN_WAIT, MIN (due, push) };
}
