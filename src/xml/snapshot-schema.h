/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A snapshot description that a person has written, by schemas/snapshot.rng: what is misspelt must not silently mean
 * nothing. xml/snapshot-xml.h reads it, and says in better words what is wrong with what it knows. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* PV_ERROR_INVALID with the line number. */
gboolean pv_snapshot_schema_check (const char *xml, GError **error);

G_END_DECLS
