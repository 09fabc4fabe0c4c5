/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvName: what every object of the store is called: a digest of its plain bytes.
 *
 *   chunk   SHA-256 (the 4096 bytes)
 *   node    SHA-256 ("pagevault-node" NUL level, then the entries); level 0 is a leaf
 *
 * The prefix of a node is 16 bytes long and an entry 32, so no node has the length of a chunk: a guest, which chooses
 * its own bytes, cannot make a page that is taken for a node. When the store is encrypted, SHA-256 becomes HMAC-SHA-256
 * with the store's naming key. All-zero bytes name the all-zero chunk, and a node below which all chunks are zero:
 * neither is ever stored.
 *
 * A PvNamer belongs to one thread; making one is cheap.
 */
#pragma once

#include <glib.h>
#include <string.h>

G_BEGIN_DECLS

#define PV_CHUNK_SIZE 4096u    /* bytes of plaintext in a chunk */
#define PV_NAME_SIZE 32u       /* bytes of a name */
#define PV_NODE_FANOUT 512u    /* names in a full node: a leaf covers 2 MiB */
#define PV_NODE_LEVEL_MAX 3u   /* leaves are level 0; a full node of level 3 covers 256 TiB */
#define PV_NAME_KEY_SIZE 32u   /* bytes of the naming key of an encrypted store */

typedef struct
{
  guint8 bytes[PV_NAME_SIZE];
} PvName;

static inline gboolean
pv_name_equal (const PvName *a, const PvName *b)
{
  return memcmp (a->bytes, b->bytes, PV_NAME_SIZE) == 0;
}

/* GHashFunc / GEqualFunc over PvName: names are digests already, so any eight bytes will do. */
guint pv_name_hash (gconstpointer name);
gboolean pv_name_equal_func (gconstpointer a, gconstpointer b);

/* TRUE for the name of nothing but zeros. */
gboolean pv_name_is_zero (const PvName *name);

/* (transfer full): 64 hexadecimal digits. */
char *pv_name_to_hex (const PvName *name);
/* FALSE with PV_ERROR_INVALID unless @hex is exactly 64 hexadecimal digits. */
gboolean pv_name_from_hex (const char *hex, PvName *name, GError **error);

/* TRUE when the @size bytes at @data are all zero (any alignment). As fast as memory. */
gboolean pv_is_zero (gconstpointer data, gsize size);

typedef struct _PvNamer PvNamer;

/* @key: (nullable): PV_NAME_KEY_SIZE bytes, for an encrypted store; copied. */
PvNamer *pv_namer_new (const guint8 *key);
void pv_namer_free (PvNamer *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvNamer, pv_namer_free)

/* SHA-256 of the @size bytes at @data, never keyed: names of packs and of snapshot objects. Any thread. */
void pv_digest (gconstpointer data, gsize size, PvName *name);

/* Names PV_CHUNK_SIZE bytes. All-zero bytes get the zero name. */
void pv_namer_chunk (PvNamer *self, gconstpointer data, PvName *name);
/* Names the node of @level with @n_entries (1 to PV_NODE_FANOUT) entries. All-zero entries get the zero name. */
void pv_namer_node (PvNamer *self, guint level, const PvName *entries, guint n_entries, PvName *name);

G_END_DECLS
