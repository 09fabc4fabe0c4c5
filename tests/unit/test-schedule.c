/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/schedule.h"

#include "policy-time.h"

#define CHATHAM "<+1245>-12:45<+1345>,M9.5.0/2:45,M4.1.0/3:45"

enum
{
  ALL_DAYS = 0x7f,
  HOUR = 3600,
  DAY = 24 * HOUR,
};

static void
assert_next (const PvSchedule *schedule, const char *after, const char *wanted)
{
  g_autoptr(GDateTime) found = g_date_time_new_from_unix_utc (pv_schedule_next (schedule, utc (after)));
  g_autofree char *text = g_date_time_format (found, "%Y-%m-%dT%H:%M:%SZ");

  g_assert_cmpstr (text, ==, wanted);
}

static void
test_every (void)
{
  PvSchedule schedule = { .every = 6 * HOUR };
  PvSchedule odd = { .every = 7 };

  assert_next (&schedule, "2026-11-21T20:15:00Z", "2026-11-22T00:00:00Z");
  assert_next (&schedule, "2026-11-22T00:00:00Z", "2026-11-22T06:00:00Z");
  assert_next (&schedule, "2026-11-21T23:59:59Z", "2026-11-22T00:00:00Z");
  for (gint64 after = -30; after < 30; after++)
    {
      gint64 next = pv_schedule_next (&odd, after);

      g_assert_cmpint (next, >, after);
      g_assert_cmpint (next, <=, after + 7);
      g_assert_cmpint (next % 7, ==, 0);
    }
  g_assert_cmpint (pv_schedule_next (&odd, PV_NEVER), ==, PV_NEVER);
  g_assert_cmpint (pv_schedule_next (&odd, PV_NEVER - 1), ==, PV_NEVER);
}

static void
test_time_of_day (void)
{
  PvSchedule daily = { .minute = 2 * 60 + 30, .days = ALL_DAYS, .zone = (char *) "UTC" };
  PvSchedule weekend = { .minute = 0, .days = 1u << 5 | 1u << 6, .zone = (char *) "UTC" };
  PvSchedule sunday = { .minute = 23 * 60 + 59, .days = 1u << 6, .zone = (char *) "UTC" };

  assert_next (&daily, "2026-11-21T02:29:59Z", "2026-11-21T02:30:00Z");
  assert_next (&daily, "2026-11-21T02:30:00Z", "2026-11-22T02:30:00Z");
  assert_next (&daily, "2026-12-31T20:00:00Z", "2027-01-01T02:30:00Z");
  assert_next (&daily, "2028-02-28T20:00:00Z", "2028-02-29T02:30:00Z");
  assert_next (&weekend, "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
  assert_next (&weekend, "2026-11-22T00:00:00Z", "2026-11-28T00:00:00Z");
  assert_next (&sunday, "2026-11-22T23:59:00Z", "2026-11-29T23:59:00Z");
  g_assert_cmpint (pv_schedule_next (&daily, PV_NEVER), ==, PV_NEVER);
}

static void
test_zone (void)
{
  PvSchedule schedule = { .minute = 30, .days = 1u << 0, .zone = (char *) CENTRAL_EUROPE };
  PvSchedule far = { .minute = 30, .days = 1u << 0, .zone = (char *) CHATHAM };

  /* half past midnight on Monday there is still Sunday in Greenwich */
  assert_next (&schedule, "2026-11-21T12:00:00Z", "2026-11-22T23:30:00Z");
  assert_next (&schedule, "2026-07-10T12:00:00Z", "2026-07-12T22:30:00Z");
  assert_next (&far, "2026-07-10T12:00:00Z", "2026-07-12T11:45:00Z");
  assert_next (&far, "2026-11-21T12:00:00Z", "2026-11-22T10:45:00Z");
}

/* In spring, 02:30 does not exist; the first moment behind the gap is 03:00 there. */
static void
test_gap (void)
{
  PvSchedule schedule = { .minute = 2 * 60 + 30, .days = ALL_DAYS, .zone = (char *) CENTRAL_EUROPE };
  gint64 next = pv_schedule_next (&schedule, utc ("2026-03-28T12:00:00Z"));

  g_assert_cmpint (next, >=, utc ("2026-03-29T01:00:00Z"));
  g_assert_cmpint (next, <=, utc ("2026-03-29T01:30:00Z"));
  assert_next (&schedule, "2026-03-29T02:00:00Z", "2026-03-30T00:30:00Z");
  assert_next (&schedule, "2026-03-27T12:00:00Z", "2026-03-28T01:30:00Z");
}

/* In autumn, 02:30 comes twice: it is due once. */
static void
test_repeated_hour (void)
{
  PvSchedule schedule = { .minute = 2 * 60 + 30, .days = ALL_DAYS, .zone = (char *) CENTRAL_EUROPE };
  gint64 first = pv_schedule_next (&schedule, utc ("2026-10-24T12:00:00Z"));

  g_assert_true (first == utc ("2026-10-25T00:30:00Z") || first == utc ("2026-10-25T01:30:00Z"));
  g_assert_cmpint (pv_schedule_next (&schedule, first), ==, utc ("2026-10-26T01:30:00Z"));
}

static void
test_several (void)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvPolicy) none = pv_policy_parse ("<policy/>", &error);
  g_autoptr(PvPolicy) two
    = pv_policy_parse ("<policy><schedule every='1d'/><schedule at='02:30' zone='UTC'/></policy>", &error);

  g_assert_no_error (error);
  g_assert_cmpint (pv_schedules_next (none, 0), ==, PV_NEVER);
  g_assert_cmpint (pv_schedules_next (two, utc ("2026-11-21T00:00:00Z")), ==, utc ("2026-11-21T02:30:00Z"));
  g_assert_cmpint (pv_schedules_next (two, utc ("2026-11-21T02:30:00Z")), ==, utc ("2026-11-22T00:00:00Z"));
}

static PvSchedule
random_schedule (void)
{
  static const char *const zones[] = { "UTC", CENTRAL_EUROPE, CHATHAM, "<-03>3", "EST5EDT,M3.2.0,M11.1.0" };

  if (g_test_rand_bit ())
    return (PvSchedule){ .every = (guint) g_test_rand_int_range (1, 10 * DAY) };
  return (PvSchedule){ .minute = (guint) g_test_rand_int_range (0, 24 * 60),
                       .days = (guint) g_test_rand_int_range (1, 128),
                       .zone = (char *) zones[g_test_rand_int_range (0, G_N_ELEMENTS (zones))] };
}

/* What is next stays next until it is there, and comes neither earlier nor later than the schedule allows. */
static void
test_random (void)
{
  gint64 from = utc ("2025-01-01T00:00:00Z"), range = utc ("2032-01-01T00:00:00Z") - from;

  for (guint i = 0; i < 3000; i++)
    {
      PvSchedule schedule = random_schedule ();
      gint64 after = from + (gint64) (g_test_rand_double () * (double) range);
      gint64 next = pv_schedule_next (&schedule, after);
      gint64 between = after + (gint64) (g_test_rand_double () * (double) (next - after - 1));

      g_assert_cmpint (next, >, after);
      g_assert_cmpint (next, <=, after + (schedule.every > 0 ? (gint64) schedule.every : 8 * DAY));
      g_assert_cmpint (pv_schedule_next (&schedule, between), ==, next);
      g_assert_cmpint (pv_schedule_next (&schedule, next - 1), ==, next);
      if (schedule.every == 0)
        {
          g_autoptr(GTimeZone) zone = g_time_zone_new_identifier (schedule.zone);
          g_autoptr(GDateTime) there_utc = g_date_time_new_from_unix_utc (next);
          g_autoptr(GDateTime) there = g_date_time_to_timezone (there_utc, zone);
          gint minute = g_date_time_get_hour (there) * 60 + g_date_time_get_minute (there);

          g_assert_cmpuint (schedule.days & 1u << (g_date_time_get_day_of_week (there) - 1), !=, 0);
          g_assert_cmpint (minute, >=, (gint) schedule.minute);
          g_assert_cmpint (minute, <=, (gint) schedule.minute + 60); /* later only behind a gap */
        }
    }
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/schedule/every", test_every);
  g_test_add_func ("/schedule/time-of-day", test_time_of_day);
  g_test_add_func ("/schedule/zone", test_zone);
  g_test_add_func ("/schedule/gap", test_gap);
  g_test_add_func ("/schedule/repeated-hour", test_repeated_hour);
  g_test_add_func ("/schedule/several", test_several);
  g_test_add_func ("/schedule/random", test_random);
  return g_test_run ();
}
