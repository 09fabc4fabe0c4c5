/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvSeal: AES-256-GCM of one thing of an encrypted store: a frame, the table of a pack, a snapshot object.
 *
 * The key is derived from the store key, the purpose and a random salt that nothing else has; the IV is the number of
 * the thing among those with that salt. So a pair of key and IV is used once, in whatever order processes write, crash
 * and begin anew, as long as nobody seals two things under one salt and number (docs/format-store.md, "Encryption").
 *
 * Plain data and pure functions: any thread. A few microseconds each, more with the data.
 */
#pragma once

#include <glib.h>

#include "chunk/store-key.h"

G_BEGIN_DECLS

#define PV_SEAL_TAG_SIZE 16u /* bytes */

typedef struct
{
  const PvStoreKey *key; /* (not owned) */
  const char *purpose;   /* (not owned): PV_SEAL_PACK, PV_SEAL_SNAPSHOT */
  const guint8 *salt;    /* (not owned): PV_SALT_SIZE random bytes */
  guint64 number;        /* of a frame in its pack; PV_SEAL_TABLE for its table; 0 for a snapshot object */
} PvSeal;

#define PV_SEAL_PACK "pagevault pack"
#define PV_SEAL_SNAPSHOT "pagevault snapshot"
#define PV_SEAL_TABLE G_MAXUINT64

/* Encrypts the @size bytes at @data in place; @tag gets PV_SEAL_TAG_SIZE bytes, which also cover the @aad_size bytes at
 * @aad. */
void pv_seal_close (const PvSeal *self, const guint8 *aad, gsize aad_size, guint8 *data, gsize size, guint8 *tag);
/* Decrypts the @size bytes at @from to @to (may be the same). FALSE when data, @aad, tag, key, salt or number are not
 * those of pv_seal_close(); @to then holds nothing of use. */
gboolean pv_seal_open (const PvSeal *self, const guint8 *aad, gsize aad_size, const guint8 *from, gsize size,
                       const guint8 *tag, guint8 *to);

G_END_DECLS
