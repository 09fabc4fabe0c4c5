/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma once

#include <glib.h>

/* Central European time in words that need no data base of zones: changes on 2026-03-29 and 2026-10-25, 01:00 UTC. */
#define CENTRAL_EUROPE "CET-1CEST,M3.5.0,M10.5.0/3"

/* Seconds since 1970 of @text in ISO 8601. */
static inline gint64
utc (const char *text)
{
  g_autoptr(GDateTime) time = g_date_time_new_from_iso8601 (text, NULL);

  g_assert_nonnull (time);
  return g_date_time_to_unix (time);
}
