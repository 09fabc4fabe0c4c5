/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvStoreFormat: the format marker, STORE/format: what kind of store this is (docs/format-store.md, "Format marker").
 *
 * Written once, as the last step of making a store: a directory without it is not a store yet.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_STORE_FORMAT_VERSION 1u
#define PV_STORE_FORMAT_SIZE 1632 /* bytes of the file */
#define PV_STORE_FORMAT_MAX 65536 /* bytes of it in any version to come */

typedef struct
{
  char uuid[37]; /* of the store, lower case */
  gint64 time;   /* microseconds since 1970 when it was made */
} PvStoreFormat;

/* A new marker with a random UUID and the time of now. */
void pv_store_format_init (PvStoreFormat *self);
/* (transfer full): the bytes of the file. */
GBytes *pv_store_format_serialize (const PvStoreFormat *self);
/* PV_ERROR_INVALID when @bytes are not a marker at all, CORRUPT for a damaged one, UNSUPPORTED for one made by
 * something newer. */
gboolean pv_store_format_parse (GBytes *bytes, PvStoreFormat *self, GError **error);

G_END_DECLS
