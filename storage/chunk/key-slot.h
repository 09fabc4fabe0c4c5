/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvKeySlot: the store key, wrapped: under a pass phrase (scrypt), or under a secret that is kept elsewhere
 * (docs/format-store.md, "Key slot").
 *
 * A slot is the bytes that lie in the format marker. Foreign bytes are checked by pv_key_slot_check() before anything
 * is computed with them. Pure functions: any thread.
 */
#pragma once

#include "chunk/store-key.h"

G_BEGIN_DECLS

#define PV_KEY_SLOT_SIZE 192u
#define PV_KEY_UUID_SIZE 16u
#define PV_KEY_COST_MIN 10u             /* log2 of scrypt's N */
#define PV_KEY_COST_MAX 20u
#define PV_KEY_COST_DEFAULT 16u         /* with r = 8: 64 MiB, about a fifth of a second */
#define PV_KEY_MEMORY_MAX (1ull << 30)  /* bytes that scrypt may take: 128 * N * r */
#define PV_KEY_SECRET_MIN 32u           /* bytes of a secret that scrypt does not strengthen */
#define PV_KEY_PASSPHRASE_MAX 4096u     /* bytes */

typedef struct
{
  guint8 bytes[PV_KEY_SLOT_SIZE];
} PvKeySlot;

typedef enum
{
  PV_KEY_SLOT_EMPTY = 0,
  PV_KEY_SLOT_PASSPHRASE = 1,
  PV_KEY_SLOT_SECRET = 2,
} PvKeySlotKind;

/* CORRUPT for impossible values, UNSUPPORTED for those of a later version. An empty slot is all zero. */
gboolean pv_key_slot_check (const PvKeySlot *self, GError **error);

/* Of a checked slot: */
PvKeySlotKind pv_key_slot_kind (const PvKeySlot *self);
guint pv_key_slot_cost (const PvKeySlot *self);               /* log2 of N; 0 for a secret */
gint64 pv_key_slot_time (const PvKeySlot *self);              /* microseconds since 1970 when it was made */
const guint8 *pv_key_slot_secret_uuid (const PvKeySlot *self); /* PV_KEY_UUID_SIZE bytes; zero for a pass phrase */

/* Wraps @key for the store @store_uuid (PV_KEY_UUID_SIZE bytes). @passphrase: @size bytes, 1 to PV_KEY_PASSPHRASE_MAX;
 * @cost: PV_KEY_COST_MIN to PV_KEY_COST_MAX. */
gboolean pv_key_slot_wrap_passphrase (PvKeySlot *self, const PvStoreKey *key, const guint8 *passphrase, gsize size,
                                      guint cost, const guint8 *store_uuid, GError **error);
/* Likewise under the secret @secret_uuid, which is PV_KEY_SECRET_MIN bytes or more that nobody can guess. */
gboolean pv_key_slot_wrap_secret (PvKeySlot *self, const PvStoreKey *key, const guint8 *secret, gsize size,
                                  const guint8 *secret_uuid, const guint8 *store_uuid, GError **error);

/* The key in a checked slot that is not empty, opened with a pass phrase or secret. PV_ERROR_DENIED: it is another one,
 * or the slot was tampered with, which nobody can tell apart. Takes as long, and as much memory, as the slot says. */
PvStoreKey *pv_key_slot_unwrap (const PvKeySlot *self, const guint8 *secret, gsize size, const guint8 *store_uuid,
                                GError **error);

G_END_DECLS
