/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvStoreFormat: the format marker, STORE/format: what kind of store this is (docs/format-store.md, "Format marker").
 *
 * Written as the last step of making a store: a directory without it is not a store yet. Of an encrypted store it holds
 * the store key, wrapped, in up to PV_STORE_KEY_SLOTS key slots; it is written anew when these change.
 */
#pragma once

#include <glib.h>

#include "chunk/key-slot.h"

G_BEGIN_DECLS

#define PV_STORE_FORMAT_VERSION 1u
#define PV_STORE_FORMAT_SIZE 1632 /* bytes of the file */
#define PV_STORE_FORMAT_MAX 65536 /* bytes of it in any version to come */

#define PV_STORE_KEY_SLOTS 8u

typedef struct
{
  char uuid[37]; /* of the store, lower case */
  gint64 time;   /* microseconds since 1970 when it was made */
  guint n_key_slots;                         /* 0: the store is not encrypted */
  PvKeySlot key_slots[PV_STORE_KEY_SLOTS];   /* checked; all zero beyond n_key_slots */
} PvStoreFormat;

/* A new marker with a random UUID and the time of now. */
void pv_store_format_init (PvStoreFormat *self);
/* The UUID of the store as bytes: PV_KEY_UUID_SIZE to @uuid. */
void pv_store_format_uuid (const PvStoreFormat *self, guint8 *uuid);
/* (transfer full): the bytes of the file. */
GBytes *pv_store_format_serialize (const PvStoreFormat *self);
/* PV_ERROR_INVALID when @bytes are not a marker at all, CORRUPT for a damaged one, UNSUPPORTED for one made by
 * something newer. */
gboolean pv_store_format_parse (GBytes *bytes, PvStoreFormat *self, GError **error);

G_END_DECLS
