/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/schedule.h"

#define DAYS_AHEAD 9 /* a week, the day before (the zone's day may have begun already), and the day that we are in */

static GTimeZone *
zone_of (const PvSchedule *self)
{
  GTimeZone *zone = self->zone != NULL ? g_time_zone_new_identifier (self->zone) : NULL;

  return zone != NULL ? zone : g_time_zone_new_local (); /* it was known when the policy was read */
}

/* When the day of @midday has the schedule's time. GLib moves a time that there is not behind the gap. */
static gint64
time_on (const PvSchedule *self, GTimeZone *zone, GDateTime *midday)
{
  g_autoptr(GDateTime) time
    = g_date_time_new (zone, g_date_time_get_year (midday), g_date_time_get_month (midday),
                       g_date_time_get_day_of_month (midday), (gint) self->minute / 60, (gint) self->minute % 60, 0);

  return time != NULL ? g_date_time_to_unix (time) : PV_NEVER;
}

static gint64
next_time_of_day (const PvSchedule *self, gint64 after)
{
  g_autoptr(GTimeZone) zone = zone_of (self);
  g_autoptr(GDateTime) now = g_date_time_new_from_unix_utc (after);
  g_autoptr(GDateTime) local = now != NULL ? g_date_time_to_timezone (now, zone) : NULL;
  g_autoptr(GDateTime) midday
    = local != NULL ? g_date_time_new_utc (g_date_time_get_year (local), g_date_time_get_month (local),
                                           g_date_time_get_day_of_month (local), 12, 0, 0)
                    : NULL;

  for (gint i = -1; midday != NULL && i < DAYS_AHEAD; i++)
    {
      g_autoptr(GDateTime) day = g_date_time_add_days (midday, i);
      gint64 time;

      if (day == NULL || (self->days & 1u << (g_date_time_get_day_of_week (day) - 1)) == 0)
        continue;
      time = time_on (self, zone, day);
      if (time > after)
        return time;
    }
  return PV_NEVER;
}

gint64
pv_schedule_next (const PvSchedule *self, gint64 after)
{
  gint64 every = self->every;

  if (every == 0)
    return next_time_of_day (self, after);
  if (after > PV_NEVER - 2 * every)
    return PV_NEVER;
  return after >= 0 ? (after / every + 1) * every : -((-after - 1) / every) * every;
}

gint64
pv_schedules_next (const PvPolicy *policy, gint64 after)
{
  gint64 first = PV_NEVER;

  for (guint i = 0; i < policy->schedules->len; i++)
    first = MIN (first, pv_schedule_next (&g_array_index (policy->schedules, PvSchedule, i), after));
  return first;
}
