/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which snapshots a retention keeps, and how those are called that it is about. Pure.
 *
 * Hours, days and weeks without a snapshot do not count: when nothing new is taken, nothing is lost of the old. What
 * every retention keeps, whatever it says: the newest snapshot that is good, all that are damaged (they are for 'verify
 * --repair', or for a person, to decide on), and those whose time is in the future.
 */
#pragma once

#include "xml/policy-xml.h"

G_BEGIN_DECLS

typedef struct
{
  gint64 time;      /* seconds since 1970 */
  gboolean good;    /* all of it is there */
  const char *kept; /* (out) (nullable): why: "last", "hourly", "daily", "weekly", "newest", "damaged", "future",
                       "everything"; NULL: it goes */
} PvRetentionItem;

/* Sets .kept of all @items, which may come in any order. @zone: what hours, days and weeks (from Monday) are. @now:
 * seconds since 1970. */
void pv_retention_apply (const PvRetention *self, GTimeZone *zone, gint64 now, PvRetentionItem *items, guint n);

/* (transfer full): the name of a snapshot that a policy takes at @time, seconds since 1970: "auto-20261121T020000Z". */
char *pv_auto_name (gint64 time);
/* TRUE when @name is such a name. @time: (out) (optional). */
gboolean pv_auto_name_parse (const char *name, gint64 *time);

G_END_DECLS
