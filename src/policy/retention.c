/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "policy/retention.h"

#include <string.h>

#define AUTO_FORMAT "auto-%Y%m%dT%H%M%SZ"
#define FUTURE_SLACK 60 /* seconds: clocks of one host are corrected by small steps */

/* The newest first; of one time, the one that came last. */
static gint
compare (gconstpointer a, gconstpointer b)
{
  const PvRetentionItem *left = *(PvRetentionItem *const *) a, *right = *(PvRetentionItem *const *) b;

  if (left->time != right->time)
    return left->time > right->time ? -1 : 1;
  return left > right ? -1 : left < right ? 1 : 0;
}

/* Those among which is chosen, the newest first; the others get their reason. */
static GPtrArray *
candidates (gint64 now, PvRetentionItem *items, guint n)
{
  GPtrArray *found = g_ptr_array_sized_new (n);

  for (guint i = 0; i < n; i++)
    {
      items[i].kept = !items[i].good ? "damaged" : items[i].time > now + FUTURE_SLACK ? "future" : NULL;
      if (items[i].kept == NULL)
        g_ptr_array_add (found, &items[i]);
    }
  g_ptr_array_sort (found, compare);
  return found;
}

/* (transfer full): what all times of one hour, day or week have in common; an hour that comes twice is two. */
static char *
bucket (const PvRetentionItem *item, GTimeZone *zone, const char *format)
{
  g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc (item->time);
  g_autoptr(GDateTime) local = utc != NULL ? g_date_time_to_timezone (utc, zone) : NULL;

  return local != NULL ? g_date_time_format (local, format) : g_strdup ("");
}

/* Keeps the newest one of each of the first @count buckets. */
static void
keep_buckets (GPtrArray *found, GTimeZone *zone, const char *format, guint count, const char *reason)
{
  g_autofree char *before = NULL;

  for (guint i = 0; count > 0 && i < found->len; i++)
    {
      PvRetentionItem *item = found->pdata[i];
      g_autofree char *key = bucket (item, zone, format);

      if (before != NULL && g_str_equal (before, key))
        continue;
      g_free (before);
      before = g_steal_pointer (&key);
      count--;
      if (item->kept == NULL)
        item->kept = reason;
    }
}

void
pv_retention_apply (const PvRetention *self, GTimeZone *zone, gint64 now, PvRetentionItem *items, guint n)
{
  g_autoptr(GPtrArray) found = candidates (now, items, n);

  for (guint i = 0; i < found->len; i++)
    if (pv_retention_keeps_all (self) || i < self->last)
      ((PvRetentionItem *) found->pdata[i])->kept = i < self->last ? "last" : "everything";
  keep_buckets (found, zone, "%Y-%m-%dT%H%z", self->hourly, "hourly");
  keep_buckets (found, zone, "%Y-%m-%d", self->daily, "daily");
  keep_buckets (found, zone, "%G-%V", self->weekly, "weekly");
  if (found->len > 0 && ((PvRetentionItem *) found->pdata[0])->kept == NULL)
    ((PvRetentionItem *) found->pdata[0])->kept = "newest";
}

char *
pv_auto_name (gint64 time)
{
  g_autoptr(GDateTime) utc = g_date_time_new_from_unix_utc (time);

  g_return_val_if_fail (utc != NULL, NULL);
  return g_date_time_format (utc, AUTO_FORMAT);
}

/* Whoever makes a name of a time gets the same name: nothing that merely looks like one is taken. */
gboolean
pv_auto_name_parse (const char *name, gint64 *time)
{
  g_autoptr(GDateTime) utc = NULL;
  g_autofree char *again = NULL;

  if (!g_str_has_prefix (name, "auto-"))
    return FALSE;
  utc = g_date_time_new_from_iso8601 (name + strlen ("auto-"), NULL);
  if (utc == NULL)
    return FALSE;
  again = pv_auto_name (g_date_time_to_unix (utc));
  if (time != NULL)
    *time = g_date_time_to_unix (utc);
  return again != NULL && g_str_equal (again, name);
}
