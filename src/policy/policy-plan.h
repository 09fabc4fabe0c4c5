/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What is to be done for a policy now, or when. Pure: state and time come from the caller.
 *
 * However many runs were missed, one makes up for them. A run that failed is tried again after a while, which doubles
 * with every failure in a row. When the clock was set back nothing waits until it has caught up.
 */
#pragma once

#include "policy/policy-state.h"
#include "policy/schedule.h"

G_BEGIN_DECLS

#define PV_POLICY_RETRY_FIRST 60  /* seconds behind the first failure */
#define PV_POLICY_RETRY_MOST 3600

typedef enum
{
  PV_PLAN_WAIT,    /* until .time; PV_NEVER: for nothing */
  PV_PLAN_CAPTURE, /* now */
  PV_PLAN_PUSH,    /* now: what is there already */
} PvPlanStep;

typedef struct
{
  PvPlanStep step;
  gint64 time; /* seconds since 1970: when that is, or was, due */
} PvPlan;

/* PV_POLICY_RETRY_FIRST, or what PAGEVAULT_POLICY_RETRY says: tests do not want to wait. */
guint pv_policy_retry_first (void);
/* Seconds to wait behind the @failures-th failure in a row. @first: behind the first. */
gint64 pv_policy_backoff (guint failures, guint first);

/* When the next snapshot is due: possibly in the past. PV_NEVER. */
gint64 pv_policy_due (const PvPolicy *policy, const PvPolicyState *state, gint64 now, guint retry_first);
PvPlan pv_policy_plan (const PvPolicy *policy, const PvPolicyState *state, gint64 now, guint retry_first);

G_END_DECLS
