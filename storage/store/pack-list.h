/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackList: a list of packs of a remote, as an object of its own: what a snapshot needs, or what is to be removed.
 *
 * new -> add (any order) -> serialize; or parse -> look. One thread while it is filled, any thread afterwards. Format
 * and caps: docs/format-remote.md, "Pack list".
 */
#pragma once

#include <gio/gio.h>

#include "chunk/name.h"

G_BEGIN_DECLS

#define PV_PACK_LIST_MAX (1u << 20)         /* packs in a list */
#define PV_REMOTE_PACK_SIZE_MIN 97u         /* bytes: a header, a footer, and something in between */
#define PV_PACK_LIST_SIZE_MAX (64u << 20)   /* bytes of the object */

typedef enum
{
  PV_PACK_LIST_NEEDS = 1,
  PV_PACK_LIST_CONDEMNED = 2,
} PvPackListKind;

/* A pack as a remote has it. */
typedef struct
{
  PvName name;
  guint64 size;       /* bytes */
  guint32 generation; /* of its key; 0: the key without suffix */
} PvRemotePack;

typedef struct
{
  PvPackListKind kind;
  PvName snapshot; /* zero for CONDEMNED */
  gint64 time;     /* microseconds since 1970 when it was written */
  GArray *packs;   /* (owned) (element-type PvRemotePack): sorted once serialized or parsed */
} PvPackList;

/* @snapshot: (nullable): NULL for CONDEMNED. The time is 0. */
PvPackList *pv_pack_list_new (PvPackListKind kind, const PvName *snapshot);
void pv_pack_list_free (PvPackList *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackList, pv_pack_list_free)

void pv_pack_list_add (PvPackList *self, const PvName *name, guint64 size, guint32 generation);

/* (transfer full): the object. A pack that is there twice is written once. */
GBytes *pv_pack_list_serialize (PvPackList *self);
/* PV_ERROR_CORRUPT for anything not exactly well-formed (fuzzed), or of another kind or snapshot than these: @snapshot
 * as for new. UNSUPPORTED for a later version. */
PvPackList *pv_pack_list_parse (GBytes *bytes, PvPackListKind kind, const PvName *snapshot, GError **error);

/* By name, then generation: GCompareFunc over PvRemotePack. */
gint pv_remote_pack_compare (gconstpointer a, gconstpointer b);
/* For a GHashTable, of what pv_remote_pack_compare() looks at. */
guint pv_remote_pack_hash (gconstpointer pack);
gboolean pv_remote_pack_equal (gconstpointer a, gconstpointer b);

/* (transfer full): "packs/XX/NAME" or "packs/XX/NAME.G". */
char *pv_remote_pack_key (const PvName *name, guint32 generation);
/* FALSE when @key is not exactly such a key. */
gboolean pv_remote_pack_parse_key (const char *key, PvName *name, guint32 *generation);

G_END_DECLS
