/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Members of the JSON objects that we write: for programs, for QEMU, and for what is kept in files and snapshots. */
#pragma once

#include <json-glib/json-glib.h>

G_BEGIN_DECLS

void pv_json_string (JsonBuilder *builder, const char *member, const char *value); /* @value NULL: null */
/* Above G_MAXINT64, which JSON's readers do not take: G_MAXINT64. */
void pv_json_size (JsonBuilder *builder, const char *member, guint64 value);
void pv_json_number (JsonBuilder *builder, const char *member, double value);
void pv_json_boolean (JsonBuilder *builder, const char *member, gboolean value);
/* An array of strings. @strings: (nullable) (element-type utf8). */
void pv_json_strings (JsonBuilder *builder, const char *member, const GPtrArray *strings);
/* ISO 8601, UTC: "2026-11-21T07:51:22.123456Z". @time: microseconds since 1970. */
void pv_json_time (JsonBuilder *builder, const char *member, gint64 time);

/* (transfer full): the finished document. */
char *pv_json_text (JsonBuilder *builder, gboolean pretty);
/* (transfer full): likewise, in one line, without a NUL at its end: to be attached to a snapshot. */
GBytes *pv_json_bytes (JsonBuilder *builder);

G_END_DECLS
