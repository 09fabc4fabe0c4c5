/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/policy-report.h"

#define OVERDUE 300 /* seconds: other guests' runs come first */

void
pv_policy_report_clear (PvPolicyReport *self)
{
  g_clear_pointer (&self->message, g_free);
}

/* (transfer full) (nullable): what the last run left undone. */
static char *
what_failed (const PvPolicyState *state)
{
  if (state->failures > 0)
    return g_strdup_printf ("%s (%u in a row)", state->message != NULL ? state->message : "?", state->failures);
  if (state->push_failures > 0)
    return g_strdup_printf ("not pushed: %s (%u in a row)", state->push_message != NULL ? state->push_message : "?",
                            state->push_failures);
  if (state->prune_message != NULL)
    return g_strdup_printf ("not pruned: %s", state->prune_message);
  return NULL;
}

void
pv_policy_report (PvPolicyReport *self, const PvPolicy *policy, const char *bad, const PvPolicyState *state,
                  gboolean guest_runs, gboolean locked, gboolean served, gint64 now)
{
  *self = (PvPolicyReport){ .state = "ok", .healthy = TRUE, .next = PV_NEVER };
  if (policy == NULL)
    {
      *self = (PvPolicyReport){ .state = "bad", .next = PV_NEVER, .message = g_strdup (bad) };
      return;
    }
  self->next = state->anchor == 0 ? (policy->enabled ? pv_schedules_next (policy, now) : PV_NEVER)
                                  : pv_policy_due (policy, state, now, pv_policy_retry_first ());
  self->message = what_failed (state);
  self->healthy = self->message == NULL;
  if (locked)
    self->state = "running";
  else if (!self->healthy)
    self->state = "failing";
  else if (!policy->enabled)
    self->state = "off";
  else if (self->next != PV_NEVER && !served)
    {
      self->state = "overdue";
      self->healthy = FALSE;
      self->message = g_strdup ("pagevaultd does not run: nobody takes the snapshots");
    }
  else if (self->next <= now && !guest_runs)
    self->message = g_strdup ("due when the guest runs again");
  else if (self->next < now - OVERDUE)
    {
      self->state = "overdue";
      self->healthy = FALSE;
    }
  else if (state->success == 0)
    self->state = "new";
}
