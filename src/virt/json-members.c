/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/json-members.h"

#include <string.h>

void
pv_json_string (JsonBuilder *builder, const char *member, const char *value)
{
  json_builder_set_member_name (builder, member);
  if (value != NULL)
    json_builder_add_string_value (builder, value);
  else
    json_builder_add_null_value (builder);
}

void
pv_json_size (JsonBuilder *builder, const char *member, guint64 value)
{
  json_builder_set_member_name (builder, member);
  json_builder_add_int_value (builder, (gint64) MIN (value, (guint64) G_MAXINT64));
}

void
pv_json_number (JsonBuilder *builder, const char *member, double value)
{
  json_builder_set_member_name (builder, member);
  /* A sixty-fourth can be written exactly: no tail of digits. */
  json_builder_add_double_value (builder, (double) (gint64) (value * 64 + 0.5) / 64);
}

void
pv_json_boolean (JsonBuilder *builder, const char *member, gboolean value)
{
  json_builder_set_member_name (builder, member);
  json_builder_add_boolean_value (builder, value);
}

void
pv_json_strings (JsonBuilder *builder, const char *member, const GPtrArray *strings)
{
  json_builder_set_member_name (builder, member);
  json_builder_begin_array (builder);
  for (guint i = 0; strings != NULL && i < strings->len; i++)
    json_builder_add_string_value (builder, strings->pdata[i]);
  json_builder_end_array (builder);
}

void
pv_json_time (JsonBuilder *builder, const char *member, gint64 time)
{
  g_autoptr(GDateTime) seconds = g_date_time_new_from_unix_utc (time / G_USEC_PER_SEC);
  g_autoptr(GDateTime) utc = seconds != NULL ? g_date_time_add (seconds, time % G_USEC_PER_SEC) : NULL;
  g_autofree char *text = utc != NULL ? g_date_time_format_iso8601 (utc) : NULL;

  pv_json_string (builder, member, text);
}

char *
pv_json_text (JsonBuilder *builder, gboolean pretty)
{
  g_autoptr(JsonNode) root = json_builder_get_root (builder);

  return json_to_string (root, pretty);
}

GBytes *
pv_json_bytes (JsonBuilder *builder)
{
  char *text = pv_json_text (builder, FALSE);

  return g_bytes_new_take (text, strlen (text));
}
