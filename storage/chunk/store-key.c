/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/store-key.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>

#include "util/error.h"

enum
{
  SECRETS_HEAP = 64 << 10, /* bytes: keys, pass phrases */
  SECRET_MIN = 32,
  DIGEST_SIZE = 32,
};

#define PURPOSE_NAMES "pagevault names"
#define PURPOSE_INDEX "pagevault index"

struct _PvStoreKey
{
  gatomicrefcount ref_count;
  guint8 *secret;  /* (owned): the key, then the key of names */
};

/* --- memory ------------------------------------------------------------------------------------------------------- */

/* Where memory cannot be locked (RLIMIT_MEMLOCK), libcrypto's heap is used all the same: it is left out of dumps. */
gpointer
pv_secret_new (gsize size)
{
  static gsize ready;
  gpointer data;

  if (g_once_init_enter (&ready))
    {
      if (CRYPTO_secure_malloc_init (SECRETS_HEAP, SECRET_MIN) != 1)
        g_debug ("memory of keys cannot be locked");
      g_once_init_leave (&ready, 1);
    }
  data = OPENSSL_secure_zalloc (size);
  if (data == NULL)
    g_error ("no memory for a key");
  return data;
}

void
pv_secret_free (gpointer data, gsize size)
{
  OPENSSL_secure_clear_free (data, size);
}

void
pv_wipe (gpointer data, gsize size)
{
  OPENSSL_cleanse (data, size);
}

gboolean
pv_random_bytes (guint8 *out, gsize size, GError **error)
{
  while (size > 0)
    {
      ssize_t n = getrandom (out, size, 0);

      if (n < 0 && errno == EINTR)
        continue;
      if (n <= 0)
        return pv_throw_errno (error, errno, "the kernel gives no random bytes");
      out += n;
      size -= (gsize) n;
    }
  return TRUE;
}

/* --- derivation --------------------------------------------------------------------------------------------------- */

/* libcrypto's HKDF fails only without memory, where GLib aborts too, or when it was built without it. */
static void
check_libcrypto (gboolean done)
{
  if (!done)
    g_error ("libcrypto cannot compute HKDF with SHA-256");
}

static EVP_KDF *
hkdf (void)
{
  static EVP_KDF *kdf;
  static gsize fetched;

  if (g_once_init_enter (&fetched))
    {
      kdf = EVP_KDF_fetch (NULL, "HKDF", NULL);
      check_libcrypto (kdf != NULL);
      g_once_init_leave (&fetched, 1);
    }
  return kdf;
}

void
pv_derive_key (const guint8 *secret, gsize size, const guint8 *salt, const char *purpose, guint8 *out)
{
  EVP_KDF_CTX *context = EVP_KDF_CTX_new (hkdf ());
  OSSL_PARAM params[] = {
    OSSL_PARAM_construct_utf8_string (OSSL_KDF_PARAM_DIGEST, (char *) "SHA256", 0),
    OSSL_PARAM_construct_octet_string (OSSL_KDF_PARAM_KEY, (guint8 *) secret, size),
    OSSL_PARAM_construct_octet_string (OSSL_KDF_PARAM_INFO, (char *) purpose, strlen (purpose)),
    OSSL_PARAM_construct_end (),
    OSSL_PARAM_construct_end (),
  };

  if (salt != NULL)
    params[3] = OSSL_PARAM_construct_octet_string (OSSL_KDF_PARAM_SALT, (guint8 *) salt, PV_SALT_SIZE);
  check_libcrypto (context != NULL && EVP_KDF_derive (context, out, PV_STORE_KEY_SIZE, params) > 0);
  EVP_KDF_CTX_free (context);
}

/* --- the key ------------------------------------------------------------------------------------------------------ */

PvStoreKey *
pv_store_key_new (const guint8 *bytes)
{
  PvStoreKey *self = g_new0 (PvStoreKey, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->secret = pv_secret_new (2 * PV_STORE_KEY_SIZE);
  memcpy (self->secret, bytes, PV_STORE_KEY_SIZE);
  pv_derive_key (self->secret, PV_STORE_KEY_SIZE, NULL, PURPOSE_NAMES, self->secret + PV_STORE_KEY_SIZE);
  return self;
}

PvStoreKey *
pv_store_key_new_random (GError **error)
{
  guint8 *bytes = pv_secret_new (PV_STORE_KEY_SIZE);
  PvStoreKey *self = pv_random_bytes (bytes, PV_STORE_KEY_SIZE, error) ? pv_store_key_new (bytes) : NULL;

  pv_secret_free (bytes, PV_STORE_KEY_SIZE);
  return self;
}

PvStoreKey *
pv_store_key_ref (PvStoreKey *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
pv_store_key_unref (PvStoreKey *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->ref_count))
    return;
  pv_secret_free (self->secret, 2 * PV_STORE_KEY_SIZE);
  g_free (self);
}

const guint8 *
pv_store_key_bytes (const PvStoreKey *self)
{
  return self->secret;
}

const guint8 *
pv_store_key_for_names (const PvStoreKey *self)
{
  return self != NULL ? self->secret + PV_STORE_KEY_SIZE : NULL;
}

char *
pv_store_key_hide (const PvStoreKey *self, const char *kind, const char *text)
{
  g_autofree char *both = g_strconcat (kind, ":", text, NULL);
  guint8 key[PV_STORE_KEY_SIZE];
  char *hex;

  pv_derive_key (self->secret, PV_STORE_KEY_SIZE, NULL, PURPOSE_INDEX, key);
  hex = g_compute_hmac_for_string (G_CHECKSUM_SHA256, key, sizeof key, both, -1);
  pv_wipe (key, sizeof key);
  return hex;
}
