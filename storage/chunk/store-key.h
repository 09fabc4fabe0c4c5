/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvStoreKey: the secret of an encrypted store: 32 random bytes, from which every other key is derived by HKDF-SHA-256
 * (docs/format-store.md, "Encryption").
 *
 * The bytes lie in memory that is locked and left out of core dumps where the system allows it, and are wiped when the
 * last reference goes. Immutable: any thread.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_STORE_KEY_SIZE 32u /* bytes of a store key, and of every key derived from it */
#define PV_SALT_SIZE 32u      /* bytes of the random salt of a pack or a snapshot object */

typedef struct _PvStoreKey PvStoreKey; /* reference counted */

/* A new random key. Fails when the kernel gives no random bytes. */
PvStoreKey *pv_store_key_new_random (GError **error);
/* @bytes: PV_STORE_KEY_SIZE of them; copied: the caller wipes its own (pv_wipe). */
PvStoreKey *pv_store_key_new (const guint8 *bytes);
PvStoreKey *pv_store_key_ref (PvStoreKey *self);
void pv_store_key_unref (PvStoreKey *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvStoreKey, pv_store_key_unref)

/* The secret itself, PV_STORE_KEY_SIZE bytes: to be wrapped, or handed to a process of ours. */
const guint8 *pv_store_key_bytes (const PvStoreKey *self);
/* (nullable): the key for pv_namer_new(); NULL for @self NULL: the store is not encrypted. */
const guint8 *pv_store_key_for_names (const PvStoreKey *self);

/* HKDF-SHA-256 of the @size bytes at @secret, @salt (PV_SALT_SIZE bytes; NULL: none) and @purpose: PV_STORE_KEY_SIZE
 * bytes to @out. */
void pv_derive_key (const guint8 *secret, gsize size, const guint8 *salt, const char *purpose, guint8 *out);

/* (transfer full): 64 hexadecimal digits that stand for @text where it is not to be read: a keyed digest. The same
 * @text and @kind give the same digits in one store. */
char *pv_store_key_hide (const PvStoreKey *self, const char *kind, const char *text);

/* @size bytes from the kernel's generator: no copy of this process, and no state kept in it, can repeat them. */
gboolean pv_random_bytes (guint8 *out, gsize size, GError **error);

/* Overwrites a secret; not optimized away. */
void pv_wipe (gpointer data, gsize size);

/* (transfer full): @size bytes, zeroed, in memory as that of keys; to be freed with pv_secret_free(). */
gpointer pv_secret_new (gsize size);
/* Wipes and frees. NULL is fine. */
void pv_secret_free (gpointer data, gsize size);

G_END_DECLS
