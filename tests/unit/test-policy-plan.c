/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/policy-plan.h"

#define START 1795000000 /* seconds since 1970: no multiple of anything */

enum
{
  RETRY = PV_POLICY_RETRY_FIRST,
  HOUR = 3600,
};

/* A guest with a policy, and the clock of its host. */
typedef struct
{
  PvPolicy *policy;
  PvPolicyState state;
  gint64 now;
} Fixture;

static void
start (Fixture *f, const char *xml)
{
  g_autoptr(GError) error = NULL;

  f->policy = pv_policy_parse (xml, &error);
  g_assert_no_error (error);
  f->state = (PvPolicyState){ 0 };
  f->now = START;
  pv_policy_state_see (&f->state, "web1", "first", f->now);
}

static void
stop (Fixture *f)
{
  pv_policy_free (f->policy);
  pv_policy_state_clear (&f->state);
}

static PvPlanStep
step (Fixture *f)
{
  pv_policy_state_see (&f->state, "web1", "first", f->now);
  return pv_policy_plan (f->policy, &f->state, f->now, RETRY).step;
}

/* Lets the time pass until something is to be done. */
static void
wait_for (Fixture *f, PvPlanStep wanted)
{
  PvPlan plan = pv_policy_plan (f->policy, &f->state, f->now, RETRY);

  if (plan.step == PV_PLAN_WAIT)
    {
      g_assert_cmpint (plan.time, <, PV_NEVER);
      f->now = plan.time;
    }
  g_assert_cmpint (step (f), ==, wanted);
}

static void
test_quiet (void)
{
  Fixture f;

  start (&f, "<policy/>");
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).time, ==, PV_NEVER);
  stop (&f);
  start (&f, "<policy enabled='no'><schedule every='1h'/></policy>");
  f.now += 100 * HOUR;
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).time, ==, PV_NEVER);
  stop (&f);
}

static void
test_missed_runs_are_one (void)
{
  Fixture f;

  start (&f, "<policy><schedule every='1h'/></policy>");
  g_assert_cmpint (step (&f), ==, PV_PLAN_WAIT);
  f.now += 50 * HOUR;
  g_assert_cmpint (step (&f), ==, PV_PLAN_CAPTURE);
  pv_policy_state_succeeded (&f.state, "web1@a", f.now);
  g_assert_cmpint (step (&f), ==, PV_PLAN_WAIT);
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).time, <=, f.now + HOUR);
  /* one that took longer than its interval is not followed by all that it missed */
  wait_for (&f, PV_PLAN_CAPTURE);
  f.now += 3 * HOUR;
  pv_policy_state_succeeded (&f.state, "web1@b", f.now);
  g_assert_cmpint (step (&f), ==, PV_PLAN_WAIT);
  stop (&f);
}

static void
test_failures_back_off (void)
{
  Fixture f;
  gint64 before, waited = 0;

  start (&f, "<policy><schedule every='5s'/></policy>");
  wait_for (&f, PV_PLAN_CAPTURE);
  for (guint i = 0; i < 12; i++)
    {
      before = f.now;
      pv_policy_state_failed (&f.state, "no", f.now);
      g_assert_cmpint (step (&f), ==, PV_PLAN_WAIT);
      wait_for (&f, PV_PLAN_CAPTURE);
      g_assert_cmpint (f.now - before, >=, MAX (waited, RETRY));
      g_assert_cmpint (f.now - before, <=, PV_POLICY_RETRY_MOST);
      waited = f.now - before;
    }
  g_assert_cmpint (waited, ==, PV_POLICY_RETRY_MOST);
  g_assert_cmpuint (f.state.failures, ==, 12);
  pv_policy_state_succeeded (&f.state, "web1@a", f.now);
  g_assert_cmpuint (f.state.failures, ==, 0);
  g_assert_null (f.state.message);
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).time, <=, f.now + 5);
  stop (&f);
}

/* A failure by hand, before anything is due, brings nothing forward. */
static void
test_failure_by_hand (void)
{
  Fixture f;

  start (&f, "<policy><schedule every='24h'/></policy>");
  pv_policy_state_failed (&f.state, "no", f.now);
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).time, ==,
                   pv_schedules_next (f.policy, f.now));
  stop (&f);
}

static void
test_clock_set_back (void)
{
  Fixture f;

  start (&f, "<policy><schedule every='1h'/></policy>");
  pv_policy_state_succeeded (&f.state, "web1@a", f.now);
  f.now -= 1000 * HOUR;
  g_assert_cmpint (step (&f), ==, PV_PLAN_WAIT);
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).time, <=, f.now + HOUR);
  wait_for (&f, PV_PLAN_CAPTURE);
  pv_policy_state_failed (&f.state, "no", f.now);
  f.now -= 1000 * HOUR;
  g_assert_cmpint (step (&f), ==, PV_PLAN_WAIT);
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).time, <=, f.now + HOUR + RETRY);
  wait_for (&f, PV_PLAN_CAPTURE);
  stop (&f);
}

static void
test_changed_policy (void)
{
  Fixture f;

  start (&f, "<policy><schedule every='1h'/></policy>");
  f.now += 10 * HOUR;
  g_assert_true (pv_policy_state_see (&f.state, "web1", "second", f.now));
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).step, ==, PV_PLAN_WAIT);
  f.now += HOUR;
  pv_policy_state_failed (&f.state, "no", f.now);
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).step, ==, PV_PLAN_WAIT);
  g_assert_true (pv_policy_state_see (&f.state, "web1", "third", f.now));
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).step, ==, PV_PLAN_CAPTURE);
  g_assert_false (pv_policy_state_see (&f.state, "web1", "third", f.now));
  g_assert_true (pv_policy_state_see (&f.state, "web2", "third", f.now));
  g_assert_cmpstr (f.state.domain, ==, "web2");
  g_assert_cmpint (pv_policy_plan (f.policy, &f.state, f.now, RETRY).step, ==, PV_PLAN_CAPTURE);
  stop (&f);
}

static void
test_push (void)
{
  Fixture f;

  start (&f, "<policy><schedule every='24h'/><push remote='archive'/></policy>");
  pv_policy_state_succeeded (&f.state, "web1@a", f.now);
  pv_policy_state_add_unpushed (&f.state, "web1@a");
  g_assert_cmpint (step (&f), ==, PV_PLAN_PUSH);
  pv_policy_state_push_failed (&f.state, "away", f.now);
  g_assert_cmpint (step (&f), ==, PV_PLAN_WAIT);
  wait_for (&f, PV_PLAN_PUSH);
  g_assert_cmpint (f.now, ==, START + RETRY);
  pv_policy_state_pushed (&f.state, "web1@a");
  g_assert_null (f.state.push_message);
  g_assert_cmpint (step (&f), ==, PV_PLAN_WAIT);
  wait_for (&f, PV_PLAN_CAPTURE);
  stop (&f);
}

/* A long time with a bad host: whatever happens, runs neither pile up nor stop. */
static void
test_random (void)
{
  Fixture f;
  gint64 waited_since;

  start (&f, "<policy><schedule every='10min'/></policy>");
  waited_since = f.now;
  for (guint i = 0; i < 5000; i++)
    {
      gint64 jump = g_test_rand_int_range (0, 20) > 0 ? g_test_rand_int_range (1, 120)
                                                      : g_test_rand_int_range (-40 * HOUR, 40 * HOUR);

      f.now += jump;
      waited_since = MIN (waited_since, f.now);
      if (step (&f) == PV_PLAN_CAPTURE)
        {
          if (g_test_rand_bit ())
            pv_policy_state_succeeded (&f.state, "web1@a", f.now);
          else
            pv_policy_state_failed (&f.state, "no", f.now);
          g_assert_cmpint (step (&f), ==, PV_PLAN_WAIT);
          waited_since = f.now;
        }
      else
        g_assert_cmpint (f.now - waited_since, <=, MAX (600, PV_POLICY_RETRY_MOST));
    }
  stop (&f);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/policy-plan/quiet", test_quiet);
  g_test_add_func ("/policy-plan/missed-runs-are-one", test_missed_runs_are_one);
  g_test_add_func ("/policy-plan/failures-back-off", test_failures_back_off);
  g_test_add_func ("/policy-plan/failure-by-hand", test_failure_by_hand);
  g_test_add_func ("/policy-plan/clock-set-back", test_clock_set_back);
  g_test_add_func ("/policy-plan/changed-policy", test_changed_policy);
  g_test_add_func ("/policy-plan/push", test_push);
  g_test_add_func ("/policy-plan/random", test_random);
  return g_test_run ();
}
