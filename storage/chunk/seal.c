/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/seal.h"

#include <string.h>

#include <openssl/evp.h>

#define IV_SIZE 12 /* bytes: the number, le64, and four zeros */

static const EVP_CIPHER *
aes_gcm (void)
{
  static EVP_CIPHER *cipher;
  static gsize fetched;

  if (g_once_init_enter (&fetched))
    {
      cipher = EVP_CIPHER_fetch (NULL, "AES-256-GCM", NULL);
      if (cipher == NULL)
        g_error ("libcrypto offers no AES-256-GCM: check the OpenSSL configuration");
      g_once_init_leave (&fetched, 1);
    }
  return cipher;
}

/* Fails only without memory, where GLib aborts too. */
static void
check_libcrypto (gboolean done)
{
  if (!done)
    g_error ("libcrypto cannot compute AES-256-GCM");
}

static EVP_CIPHER_CTX *
begin (const PvSeal *self, gboolean encrypt, const guint8 *aad, gsize aad_size)
{
  EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new ();
  guint64 number = GUINT64_TO_LE (self->number);
  guint8 key[PV_STORE_KEY_SIZE], iv[IV_SIZE] = { 0 };
  int n;

  memcpy (iv, &number, sizeof number);
  pv_derive_key (pv_store_key_bytes (self->key), PV_STORE_KEY_SIZE, self->salt, self->purpose, key);
  check_libcrypto (context != NULL && EVP_CipherInit_ex2 (context, aes_gcm (), key, iv, encrypt, NULL));
  pv_wipe (key, sizeof key);
  /* libcrypto counts in int; tables have at most 256 MiB */
  check_libcrypto (aad_size == 0 || EVP_CipherUpdate (context, NULL, &n, aad, (int) aad_size));
  return context;
}

void
pv_seal_close (const PvSeal *self, const guint8 *aad, gsize aad_size, guint8 *data, gsize size, guint8 *tag)
{
  EVP_CIPHER_CTX *context;
  guint8 rest[PV_SEAL_TAG_SIZE];
  int n;

  g_return_if_fail (aad_size <= G_MAXINT && size <= G_MAXINT);

  context = begin (self, TRUE, aad, aad_size);
  check_libcrypto ((size == 0 || EVP_CipherUpdate (context, data, &n, data, (int) size))
                   && EVP_CipherFinal_ex (context, rest, &n)
                   && EVP_CIPHER_CTX_ctrl (context, EVP_CTRL_AEAD_GET_TAG, PV_SEAL_TAG_SIZE, tag));
  EVP_CIPHER_CTX_free (context);
}

gboolean
pv_seal_open (const PvSeal *self, const guint8 *aad, gsize aad_size, const guint8 *from, gsize size,
              const guint8 *tag, guint8 *to)
{
  EVP_CIPHER_CTX *context;
  guint8 rest[PV_SEAL_TAG_SIZE];
  gboolean genuine;
  int n;

  g_return_val_if_fail (aad_size <= G_MAXINT && size <= G_MAXINT, FALSE);

  context = begin (self, FALSE, aad, aad_size);
  check_libcrypto ((size == 0 || EVP_CipherUpdate (context, to, &n, from, (int) size))
                   && EVP_CIPHER_CTX_ctrl (context, EVP_CTRL_AEAD_SET_TAG, PV_SEAL_TAG_SIZE, (guint8 *) tag));
  genuine = EVP_CipherFinal_ex (context, rest, &n) > 0;
  EVP_CIPHER_CTX_free (context);
  return genuine;
}
