/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of a snapshot share: snapshot.c (what it is), snapshot-format.c (its bytes). */
#pragma once

#include "store/snapshot.h"

G_BEGIN_DECLS

struct _PvSnapshot
{
  gint ref_count; /* atomic */
  PvName id;
  char *full_name;         /* DOMAIN@NAME */
  char *domain;
  char *name;
  char *parent;            /* (nullable) */
  char *description;       /* (nullable) */
  gint64 time;
  PvGuestState state;
  guint64 stored_size;
  GArray *volumes;         /* of PvVolume (names owned), by kind and name */
  GHashTable *attachments; /* of char* (owned) -> GBytes (owned) */
  GBytes *bytes;           /* the object */
};

/* Order of volumes in the object: by kind, then name. Equal: the same volume. */
gint pv_snapshot_compare_volumes (gconstpointer a, gconstpointer b);

/* --- snapshot-format.c -------------------------------------------------------------------------------------------- */

/* (transfer full): the object. */
GBytes *pv_snapshot_encode (PvSnapshot *self);
/* Fills @self, which is empty, from the object; @key: (nullable): it is encrypted with it. What the layout alone does
 * not tell is not checked. PV_ERROR_CORRUPT, UNSUPPORTED, DENIED without the key. */
gboolean pv_snapshot_decode (PvSnapshot *self, GBytes *bytes, PvStoreKey *key, GError **error);

G_END_DECLS
