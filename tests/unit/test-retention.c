/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/retention.h"

#include "policy-time.h"

enum
{
  ITEMS_MAX = 60,
  HOUR = 3600,
  DAY = 24 * HOUR,
};

/* @times: "2026-11-21T10:00 …", oldest first. A '!' behind one: damaged. @wanted: why each is kept, "-": it is not. */
static void
assert_kept (const char *retention, const char *zone_name, const char *times, const char *wanted)
{
  g_auto(GStrv) words = g_strsplit (times, " ", -1);
  g_autoptr(GTimeZone) zone = g_time_zone_new_identifier (zone_name);
  g_autoptr(GString) found = g_string_new (NULL);
  PvRetentionItem items[ITEMS_MAX] = { 0 };
  PvRetention parsed = { 0 };
  guint n = g_strv_length (words);

  if (*retention != '\0')
    g_assert_true (pv_retention_parse (retention, &parsed, NULL));
  for (guint i = 0; i < n; i++)
    {
      g_autofree char *text = g_strdup_printf ("%.16s:00Z", words[i]);

      items[i] = (PvRetentionItem){ .time = utc (text), .good = !g_str_has_suffix (words[i], "!") };
    }
  pv_retention_apply (&parsed, zone, utc ("2026-11-21T12:00:00Z"), items, n);
  for (guint i = 0; i < n; i++)
    g_string_append_printf (found, "%s%s", i > 0 ? " " : "", items[i].kept != NULL ? items[i].kept : "-");
  g_assert_cmpstr (found->str, ==, wanted);
}

static void
test_kinds (void)
{
  const char *hours = "2026-11-21T07:10 2026-11-21T07:50 2026-11-21T09:00 2026-11-21T09:59 2026-11-21T10:00";
  const char *days = "2026-11-15T23:59 2026-11-16T00:00 2026-11-16T12:00 2026-11-20T08:00 2026-11-21T08:00";

  assert_kept ("last=2", "UTC", hours, "- - - last last");
  assert_kept ("hourly=2", "UTC", hours, "- - - hourly hourly");
  assert_kept ("hourly=3", "UTC", hours, "- hourly - hourly hourly");
  assert_kept ("last=1,hourly=9", "UTC", hours, "- hourly - hourly last");
  assert_kept ("daily=3", "UTC", days, "- - daily daily daily");
  /* a week begins on Monday */
  assert_kept ("weekly=2", "UTC", days, "weekly - - - weekly");
  assert_kept ("daily=1,weekly=9", "UTC", days, "weekly - - - daily");
  assert_kept ("", "UTC", days, "everything everything everything everything everything");
  assert_kept ("last=9", "UTC", "2026-11-21T08:00", "last");
}

/* Hours and days are those of the zone; an hour that comes twice is two. */
static void
test_zone (void)
{
  assert_kept ("daily=9", CENTRAL_EUROPE, "2026-11-19T22:30 2026-11-19T23:30 2026-11-20T22:30", "daily - daily");
  assert_kept ("daily=9", "UTC", "2026-11-19T22:30 2026-11-19T23:30 2026-11-20T22:30", "- daily daily");
  assert_kept ("hourly=9", CENTRAL_EUROPE, "2026-10-25T00:10 2026-10-25T00:50 2026-10-25T01:10 2026-10-25T01:50",
               "- hourly - hourly");
}

/* Nothing new for months: nothing is lost. */
static void
test_old (void)
{
  assert_kept ("last=1,daily=2", "UTC", "2025-01-01T08:00 2025-01-02T08:00 2025-02-02T08:00", "- daily last");
}

static void
test_last_good (void)
{
  assert_kept ("hourly=1", "UTC", "2026-11-20T08:00 2026-11-20T09:00 2026-11-21T10:00!", "- hourly damaged");
  assert_kept ("last=1", "UTC", "2026-11-20T08:00! 2026-11-21T10:00!", "damaged damaged");
  assert_kept ("last=1", "UTC", "2026-11-20T08:00 2026-11-21T10:00 2031-01-01T00:00", "- last future");
}

static void
shuffle (PvRetentionItem *items, guint n)
{
  for (guint i = n; i > 1; i--)
    {
      guint j = (guint) g_test_rand_int_range (0, (gint) i);
      PvRetentionItem kept = items[i - 1];

      items[i - 1] = items[j];
      items[j] = kept;
    }
}

static guint
count_kept (const PvRetentionItem *items, guint n)
{
  guint kept = 0;

  for (guint i = 0; i < n; i++)
    kept += items[i].kept != NULL;
  return kept;
}

static gboolean
is_kept (const PvRetentionItem *items, guint n, gint64 time)
{
  for (guint i = 0; i < n; i++)
    if (items[i].time == time)
      return items[i].kept != NULL;
  return FALSE;
}

static PvRetention
random_retention (void)
{
  PvRetention retention = { .last = (guint) g_test_rand_int_range (0, 5),
                            .hourly = (guint) g_test_rand_int_range (0, 5),
                            .daily = (guint) g_test_rand_int_range (0, 5),
                            .weekly = (guint) g_test_rand_int_range (0, 5) };

  if (pv_retention_keeps_all (&retention))
    retention.daily = 1;
  return retention;
}

static guint
random_items (PvRetentionItem *items, gint64 now)
{
  guint n = (guint) g_test_rand_int_range (1, ITEMS_MAX);
  gint64 time = now;

  for (guint i = 0; i < n; i++)
    {
      time -= g_test_rand_int_range (1, g_test_rand_bit () ? 2 * HOUR : 5 * DAY);
      items[i] = (PvRetentionItem){ .time = time, .good = g_test_rand_int_range (0, 8) > 0 };
    }
  return n;
}

static void
assert_promises (const PvRetention *retention, const PvRetentionItem *items, guint n)
{
  gint64 newest_good = G_MININT64, newest = G_MININT64;
  guint damaged = 0;

  for (guint i = 0; i < n; i++)
    {
      newest = MAX (newest, items[i].time);
      if (items[i].good)
        newest_good = MAX (newest_good, items[i].time);
      else
        {
          damaged++;
          g_assert_cmpstr (items[i].kept, ==, "damaged");
        }
    }
  g_assert_true (damaged == n || is_kept (items, n, newest_good));
  g_assert_cmpuint (count_kept (items, n), <=,
                    damaged + MAX (retention->last + retention->hourly + retention->daily + retention->weekly, 1));
  g_assert_cmpuint (count_kept (items, n), >=, MIN (n, damaged + MIN (retention->last, n - damaged)));
}

/* What holds for every retention and any snapshots. */
static void
test_random (void)
{
  g_autoptr(GTimeZone) zone = g_time_zone_new_identifier (CENTRAL_EUROPE);
  gint64 now = utc ("2026-11-21T12:00:00Z");

  for (guint round = 0; round < 400; round++)
    {
      PvRetention retention = random_retention (), more = retention;
      PvRetentionItem items[ITEMS_MAX], again[ITEMS_MAX], wider[ITEMS_MAX], kept[ITEMS_MAX];
      guint n = random_items (items, now), n_kept = 0;

      memcpy (again, items, sizeof items);
      memcpy (wider, items, sizeof items);
      pv_retention_apply (&retention, zone, now, items, n);
      assert_promises (&retention, items, n);
      /* the order in which they come, and the time that passes, change nothing */
      shuffle (again, n);
      pv_retention_apply (&retention, zone, now + g_test_rand_int_range (0, 1000 * DAY), again, n);
      /* keeping more loses nothing */
      more.hourly++;
      more.weekly += 2;
      pv_retention_apply (&more, zone, now, wider, n);
      for (guint i = 0; i < n; i++)
        {
          g_assert_cmpint (items[i].kept != NULL, ==, is_kept (again, n, items[i].time));
          g_assert_true (items[i].kept == NULL || wider[i].kept != NULL);
          if (items[i].kept != NULL)
            kept[n_kept++] = items[i];
        }
      /* pruning twice takes no more than pruning once */
      pv_retention_apply (&retention, zone, now, kept, n_kept);
      g_assert_cmpuint (count_kept (kept, n_kept), ==, n_kept);
    }
}

static void
test_names (void)
{
  static const char *const others[]
    = { "auto-", "auto-2026-11-21T02:00:00Z", "auto-20261121T020000", "auto-20261121T020000+01",
        "Auto-20261121T020000Z",
        "auto-20261321T020000Z", "auto-20261121T020000Zx", "auto-20261121T020000.5Z", "before-upgrade", "" };
  g_autofree char *name = pv_auto_name (utc ("2026-11-21T02:00:01Z"));
  gint64 time = 0;

  g_assert_cmpstr (name, ==, "auto-20261121T020001Z");
  g_assert_true (pv_auto_name_parse (name, &time));
  g_assert_cmpint (time, ==, utc ("2026-11-21T02:00:01Z"));
  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    g_assert_false (pv_auto_name_parse (others[i], NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/retention/kinds", test_kinds);
  g_test_add_func ("/retention/zone", test_zone);
  g_test_add_func ("/retention/old", test_old);
  g_test_add_func ("/retention/last-good", test_last_good);
  g_test_add_func ("/retention/random", test_random);
  g_test_add_func ("/retention/names", test_names);
  return g_test_run ();
}
