/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/scratch-cipher.h"

#include <string.h>

#include <openssl/evp.h>

#include "chunk/store-key.h"

enum
{
  BLOCK = 16,        /* bytes */
  STEP_MAX = 1 << 30, /* bytes at once: libcrypto counts in int */
};

struct _PvScratchCipher
{
  guint8 *key; /* (owned): PV_STORE_KEY_SIZE */
};

PvScratchCipher *
pv_scratch_cipher_new (GError **error)
{
  g_autoptr(PvScratchCipher) self = g_new0 (PvScratchCipher, 1);

  self->key = pv_secret_new (PV_STORE_KEY_SIZE);
  return pv_random_bytes (self->key, PV_STORE_KEY_SIZE, error) ? g_steal_pointer (&self) : NULL;
}

void
pv_scratch_cipher_free (PvScratchCipher *self)
{
  if (self == NULL)
    return;
  pv_secret_free (self->key, PV_STORE_KEY_SIZE);
  g_free (self);
}

static void
check_libcrypto (gboolean done)
{
  if (!done)
    g_error ("libcrypto cannot compute AES-256-CTR");
}

void
pv_scratch_cipher_apply (const PvScratchCipher *self, guint64 offset, const guint8 *from, gsize size, guint8 *to)
{
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  guint64 block = GUINT64_TO_BE (offset / BLOCK);
  guint8 iv[BLOCK] = { 0 }, skipped[BLOCK] = { 0 };
  int n;

  memcpy (iv + BLOCK - sizeof block, &block, sizeof block);
  check_libcrypto (context != NULL && EVP_EncryptInit_ex2 (context, EVP_aes_256_ctr (), self->key, iv, NULL)
                   && EVP_EncryptUpdate (context, skipped, &n, skipped, (int) (offset % BLOCK)));
  while (size > 0)
    {
      gsize step = MIN (size, STEP_MAX);

      check_libcrypto (EVP_EncryptUpdate (context, to, &n, from, (int) step));
      from += step;
      to += step;
      size -= step;
    }
  EVP_CIPHER_CTX_free (context);
}
