/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/key-slot.h"

#include <string.h>

#include <openssl/err.h>
#include <openssl/evp.h>

#include "chunk/name.h"
#include "util/cursor.h"
#include "util/error.h"

/* docs/format-store.md, "Key slot" */
enum
{
  SLOT_KIND = 0,
  SLOT_COST = 1,
  SLOT_RESERVED = 2,
  SLOT_R = 4,
  SLOT_P = 8,
  SLOT_NONCE = 12,
  SLOT_SALT = 24,
  SLOT_UUID = 56,
  SLOT_TIME = 72,
  SLOT_KEY = 80,
  SLOT_TAG = 112,
  SLOT_REST = 128,
  NONCE_SIZE = 12,
  TAG_SIZE = 16,
  R_DEFAULT = 8,
  R_MAX = 64,
  P_MAX = 16,
};
G_STATIC_ASSERT (SLOT_NONCE + NONCE_SIZE == SLOT_SALT && SLOT_SALT + PV_SALT_SIZE == SLOT_UUID);
G_STATIC_ASSERT (SLOT_UUID + PV_KEY_UUID_SIZE == SLOT_TIME && SLOT_TIME + 8 == SLOT_KEY);
G_STATIC_ASSERT (SLOT_KEY + PV_STORE_KEY_SIZE == SLOT_TAG && SLOT_TAG + TAG_SIZE == SLOT_REST);

#define PURPOSE_SECRET "pagevault secret"

static guint32
read_le32 (const PvKeySlot *self, guint offset)
{
  PvCursor cursor = PV_CURSOR_INIT (self->bytes + offset, 4);

  return pv_cursor_le32 (&cursor);
}

static gboolean
check_scrypt (const PvKeySlot *self, GError **error)
{
  guint cost = self->bytes[SLOT_COST];
  guint32 r = read_le32 (self, SLOT_R), p = read_le32 (self, SLOT_P);

  if (cost < PV_KEY_COST_MIN || cost > PV_KEY_COST_MAX || r == 0 || r > R_MAX || p == 0 || p > P_MAX
      || (128ull * r << cost) > PV_KEY_MEMORY_MAX)
    return pv_corrupt (error, "key slot with scrypt parameters out of range: N = 2^%u, r = %u, p = %u", cost, r, p);
  if (!pv_is_zero (self->bytes + SLOT_UUID, PV_KEY_UUID_SIZE))
    return pv_corrupt (error, "key slot of a pass phrase that names a secret");
  return TRUE;
}

gboolean
pv_key_slot_check (const PvKeySlot *self, GError **error)
{
  if (self->bytes[SLOT_KIND] > PV_KEY_SLOT_SECRET || !pv_is_zero (self->bytes + SLOT_RESERVED, SLOT_R - SLOT_RESERVED)
      || !pv_is_zero (self->bytes + SLOT_REST, PV_KEY_SLOT_SIZE - SLOT_REST))
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "key slot of kind %u: made by a newer pagevault",
                     self->bytes[SLOT_KIND]);
  if (self->bytes[SLOT_KIND] == PV_KEY_SLOT_PASSPHRASE)
    return check_scrypt (self, error);
  if (self->bytes[SLOT_KIND] == PV_KEY_SLOT_EMPTY)
    return pv_is_zero (self->bytes, PV_KEY_SLOT_SIZE) || pv_corrupt (error, "empty key slot that is not empty");
  if (!pv_is_zero (self->bytes + SLOT_COST, 1) || !pv_is_zero (self->bytes + SLOT_R, SLOT_NONCE - SLOT_R)
      || pv_is_zero (self->bytes + SLOT_UUID, PV_KEY_UUID_SIZE))
    return pv_corrupt (error, "key slot of a secret with scrypt parameters, or without the secret's UUID");
  return TRUE;
}

PvKeySlotKind
pv_key_slot_kind (const PvKeySlot *self)
{
  return (PvKeySlotKind) self->bytes[SLOT_KIND];
}

guint
pv_key_slot_cost (const PvKeySlot *self)
{
  return self->bytes[SLOT_COST];
}

gint64
pv_key_slot_time (const PvKeySlot *self)
{
  PvCursor cursor = PV_CURSOR_INIT (self->bytes + SLOT_TIME, 8);

  return (gint64) pv_cursor_le64 (&cursor);
}

const guint8 *
pv_key_slot_secret_uuid (const PvKeySlot *self)
{
  return self->bytes + SLOT_UUID;
}

/* --- the key that wraps ------------------------------------------------------------------------------------------- */

static gboolean
run_scrypt (const PvKeySlot *self, const guint8 *passphrase, gsize size, guint8 *out, GError **error)
{
  guint64 n = 1ull << self->bytes[SLOT_COST];
  guint32 r = read_le32 (self, SLOT_R), p = read_le32 (self, SLOT_P);

  /* libcrypto counts its own blocks too */
  if (EVP_PBE_scrypt ((const char *) passphrase, size, self->bytes + SLOT_SALT, PV_SALT_SIZE, n, r, p,
                      PV_KEY_MEMORY_MAX + (64u << 20), out, PV_STORE_KEY_SIZE)
      > 0)
    return TRUE;
  ERR_clear_error ();
  return pv_throw (error, PV_ERROR_FAILED, "scrypt cannot be computed: it takes %" G_GUINT64_FORMAT " MiB of memory",
                   (128 * n * r) >> 20);
}

static gboolean
wrapping_key (const PvKeySlot *self, const guint8 *secret, gsize size, guint8 *out, GError **error)
{
  if (self->bytes[SLOT_KIND] == PV_KEY_SLOT_PASSPHRASE)
    return run_scrypt (self, secret, size, out, error);
  pv_derive_key (secret, size, self->bytes + SLOT_SALT, PURPOSE_SECRET, out);
  return TRUE;
}

/* AES-256-GCM of the key under @key: from @from to @to. */
static gboolean
apply_gcm (const PvKeySlot *self, gboolean encrypt, const guint8 *key, const guint8 *store_uuid, const guint8 *from,
           guint8 *to, guint8 *tag)
{
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  guint8 rest[TAG_SIZE];
  gboolean done;
  int n;

  done = context != NULL
         && EVP_CipherInit_ex2 (context, EVP_aes_256_gcm (), key, self->bytes + SLOT_NONCE, encrypt, NULL)
         && EVP_CipherUpdate (context, NULL, &n, self->bytes, SLOT_KEY)
         && EVP_CipherUpdate (context, NULL, &n, store_uuid, PV_KEY_UUID_SIZE)
         && EVP_CipherUpdate (context, to, &n, from, PV_STORE_KEY_SIZE)
         && (encrypt || EVP_CIPHER_CTX_ctrl (context, EVP_CTRL_AEAD_SET_TAG, TAG_SIZE, tag) > 0)
         && EVP_CipherFinal_ex (context, rest, &n) > 0
         && (!encrypt || EVP_CIPHER_CTX_ctrl (context, EVP_CTRL_AEAD_GET_TAG, TAG_SIZE, tag) > 0);
  EVP_CIPHER_CTX_free (context);
  ERR_clear_error ();
  return done;
}

/* --- wrapping and unwrapping -------------------------------------------------------------------------------------- */

static gboolean
begin_slot (PvKeySlot *self, PvKeySlotKind kind, GError **error)
{
  guint64 now = GUINT64_TO_LE ((guint64) g_get_real_time ());

  memset (self, 0, sizeof *self);
  self->bytes[SLOT_KIND] = (guint8) kind;
  memcpy (self->bytes + SLOT_TIME, &now, sizeof now);
  return pv_random_bytes (self->bytes + SLOT_NONCE, NONCE_SIZE, error)
         && pv_random_bytes (self->bytes + SLOT_SALT, PV_SALT_SIZE, error);
}

static gboolean
finish_slot (PvKeySlot *self, const PvStoreKey *key, const guint8 *secret, gsize size, const guint8 *store_uuid,
             GError **error)
{
  guint8 *wrapping = pv_secret_new (PV_STORE_KEY_SIZE);
  gboolean done = wrapping_key (self, secret, size, wrapping, error);

  if (done && !apply_gcm (self, TRUE, wrapping, store_uuid, pv_store_key_bytes (key), self->bytes + SLOT_KEY,
                          self->bytes + SLOT_TAG))
    done = pv_throw (error, PV_ERROR_FAILED, "libcrypto cannot compute AES-256-GCM");
  pv_secret_free (wrapping, PV_STORE_KEY_SIZE);
  return done;
}

gboolean
pv_key_slot_wrap_passphrase (PvKeySlot *self, const PvStoreKey *key, const guint8 *passphrase, gsize size, guint cost,
                             const guint8 *store_uuid, GError **error)
{
  guint32 r = GUINT32_TO_LE (R_DEFAULT), p = GUINT32_TO_LE (1);

  g_return_val_if_fail (cost >= PV_KEY_COST_MIN && cost <= PV_KEY_COST_MAX, FALSE);

  if (size == 0 || size > PV_KEY_PASSPHRASE_MAX)
    return pv_throw (error, PV_ERROR_INVALID, "a pass phrase has 1 to %u bytes", PV_KEY_PASSPHRASE_MAX);
  if (!begin_slot (self, PV_KEY_SLOT_PASSPHRASE, error))
    return FALSE;
  self->bytes[SLOT_COST] = (guint8) cost;
  memcpy (self->bytes + SLOT_R, &r, sizeof r);
  memcpy (self->bytes + SLOT_P, &p, sizeof p);
  return finish_slot (self, key, passphrase, size, store_uuid, error);
}

gboolean
pv_key_slot_wrap_secret (PvKeySlot *self, const PvStoreKey *key, const guint8 *secret, gsize size,
                         const guint8 *secret_uuid, const guint8 *store_uuid, GError **error)
{
  if (size < PV_KEY_SECRET_MIN)
    return pv_throw (error, PV_ERROR_INVALID, "the secret has %" G_GSIZE_FORMAT " bytes: %u random ones are the least",
                     size, PV_KEY_SECRET_MIN);
  if (!begin_slot (self, PV_KEY_SLOT_SECRET, error))
    return FALSE;
  memcpy (self->bytes + SLOT_UUID, secret_uuid, PV_KEY_UUID_SIZE);
  return finish_slot (self, key, secret, size, store_uuid, error);
}

PvStoreKey *
pv_key_slot_unwrap (const PvKeySlot *self, const guint8 *secret, gsize size, const guint8 *store_uuid, GError **error)
{
  guint8 *wrapping = pv_secret_new (2 * PV_STORE_KEY_SIZE), *bytes = wrapping + PV_STORE_KEY_SIZE;
  guint8 tag[TAG_SIZE];
  PvStoreKey *key = NULL;

  memcpy (tag, self->bytes + SLOT_TAG, sizeof tag);
  if (wrapping_key (self, secret, size, wrapping, error))
    {
      if (apply_gcm (self, FALSE, wrapping, store_uuid, self->bytes + SLOT_KEY, bytes, tag))
        key = pv_store_key_new (bytes);
      else
        pv_throw (error, PV_ERROR_DENIED, "the key slot does not open with it");
    }
  pv_secret_free (wrapping, 2 * PV_STORE_KEY_SIZE);
  return key;
}
