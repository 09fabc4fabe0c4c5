/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/name.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "util/error.h"

#define NODE_PREFIX "pagevault-node" /* its NUL and the level byte follow */

enum
{
  NODE_PREFIX_LEVEL = sizeof NODE_PREFIX,
  NODE_PREFIX_SIZE,
};
G_STATIC_ASSERT (NODE_PREFIX_SIZE == 16);
G_STATIC_ASSERT (sizeof (PvName) == PV_NAME_SIZE);

struct _PvNamer
{
  EVP_MD_CTX *digest; /* (owned) (nullable): of a plain namer */
  EVP_MAC_CTX *mac;   /* (owned) (nullable): of a keyed namer; holds the key */
};

guint
pv_name_hash (gconstpointer name)
{
  guint hash;

  memcpy (&hash, ((const PvName *) name)->bytes, sizeof hash);
  return hash;
}

gboolean
pv_name_equal_func (gconstpointer a, gconstpointer b)
{
  return pv_name_equal (a, b);
}

gboolean
pv_name_is_zero (const PvName *name)
{
  return pv_is_zero (name->bytes, PV_NAME_SIZE);
}

char *
pv_name_to_hex (const PvName *name)
{
  static const char digits[] = "0123456789abcdef";
  char *hex = g_malloc (2 * PV_NAME_SIZE + 1);

  for (guint i = 0; i < PV_NAME_SIZE; i++)
    {
      hex[2 * i] = digits[name->bytes[i] >> 4];
      hex[2 * i + 1] = digits[name->bytes[i] & 15];
    }
  hex[2 * PV_NAME_SIZE] = '\0';
  return hex;
}

gboolean
pv_name_from_hex (const char *hex, PvName *name, GError **error)
{
  PvName result;

  for (guint i = 0; i < 2 * PV_NAME_SIZE; i++)
    {
      int digit = g_ascii_xdigit_value (hex[i]);

      if (digit < 0)
        return pv_throw (error, PV_ERROR_INVALID, "not a name of 64 hexadecimal digits");
      result.bytes[i / 2] = (guint8) (i % 2 == 0 ? digit << 4 : result.bytes[i / 2] | digit);
    }
  if (hex[2 * PV_NAME_SIZE] != '\0')
    return pv_throw (error, PV_ERROR_INVALID, "not a name of 64 hexadecimal digits");
  *name = result;
  return TRUE;
}

/* Sixteen bytes at any address: two of them are one register of every x86-64 and arm64. */
typedef guint64 Lane __attribute__ ((vector_size (16), aligned (1), may_alias));

gboolean
pv_is_zero (gconstpointer data, gsize size)
{
  const Lane *lane = data;
  const guint8 *rest;

  /* Memory that holds something mostly shows it at once: leave early, block by block. */
  for (; size >= 8 * sizeof *lane; size -= 8 * sizeof *lane, lane += 8)
    {
      Lane any = (lane[0] | lane[1]) | (lane[2] | lane[3]) | (lane[4] | lane[5]) | (lane[6] | lane[7]);

      if ((any[0] | any[1]) != 0)
        return FALSE;
    }
  for (; size >= sizeof *lane; size -= sizeof *lane, lane++)
    if (((*lane)[0] | (*lane)[1]) != 0)
      return FALSE;
  for (rest = (const guint8 *) lane; size > 0; size--, rest++)
    if (*rest != 0)
      return FALSE;
  return TRUE;
}

/* Looked up once: a fetch by name costs more than the digest of a chunk. */
static const EVP_MD *
sha256 (void)
{
  static EVP_MD *md;
  static gsize fetched;

  if (g_once_init_enter (&fetched))
    {
      md = EVP_MD_fetch (NULL, "SHA256", NULL);
      if (md == NULL)
        g_error ("libcrypto offers no SHA-256: check the OpenSSL configuration");
      g_once_init_leave (&fetched, 1);
    }
  return md;
}

/* libcrypto's digests of memory fail only when memory is exhausted, where GLib aborts too. */
static void
check_libcrypto (gboolean done)
{
  if (!done)
    g_error ("libcrypto cannot compute SHA-256");
}

static EVP_MAC_CTX *
new_mac (const guint8 *key)
{
  EVP_MAC *mac = EVP_MAC_fetch (NULL, "HMAC", NULL);
  EVP_MAC_CTX *context = mac != NULL ? EVP_MAC_CTX_new (mac) : NULL;
  char digest_name[] = "SHA256";
  OSSL_PARAM params[] = {
    OSSL_PARAM_construct_utf8_string (OSSL_MAC_PARAM_DIGEST, digest_name, 0),
    OSSL_PARAM_construct_end (),
  };

  check_libcrypto (context != NULL && EVP_MAC_init (context, key, PV_NAME_KEY_SIZE, params));
  EVP_MAC_free (mac);
  return context;
}

PvNamer *
pv_namer_new (const guint8 *key)
{
  PvNamer *self = g_new0 (PvNamer, 1);

  if (key != NULL)
    self->mac = new_mac (key);
  else
    {
      self->digest = EVP_MD_CTX_new ();
      check_libcrypto (self->digest != NULL && EVP_DigestInit_ex2 (self->digest, sha256 (), NULL));
    }
  return self;
}

void
pv_namer_free (PvNamer *self)
{
  if (self == NULL)
    return;
  EVP_MD_CTX_free (self->digest);
  EVP_MAC_CTX_free (self->mac);
  g_free (self);
}

static void
name_bytes (PvNamer *self, gconstpointer prefix, gsize prefix_size, gconstpointer data, gsize size, PvName *name)
{
  if (self->digest != NULL)
    check_libcrypto (EVP_DigestInit_ex2 (self->digest, NULL, NULL)
                     && (prefix_size == 0 || EVP_DigestUpdate (self->digest, prefix, prefix_size))
                     && EVP_DigestUpdate (self->digest, data, size)
                     && EVP_DigestFinal_ex (self->digest, name->bytes, NULL));
  else
    check_libcrypto (EVP_MAC_init (self->mac, NULL, 0, NULL)
                     && (prefix_size == 0 || EVP_MAC_update (self->mac, prefix, prefix_size))
                     && EVP_MAC_update (self->mac, data, size)
                     && EVP_MAC_final (self->mac, name->bytes, NULL, PV_NAME_SIZE));
}

void
pv_digest (gconstpointer data, gsize size, PvName *name)
{
  check_libcrypto (EVP_Digest (data, size, name->bytes, NULL, sha256 (), NULL));
}

void
pv_namer_chunk (PvNamer *self, gconstpointer data, PvName *name)
{
  g_return_if_fail (self != NULL);

  if (pv_is_zero (data, PV_CHUNK_SIZE))
    memset (name, 0, sizeof *name);
  else
    name_bytes (self, NULL, 0, data, PV_CHUNK_SIZE, name);
}

void
pv_namer_node (PvNamer *self, guint level, const PvName *entries, guint n_entries, PvName *name)
{
  guint8 prefix[NODE_PREFIX_SIZE] = NODE_PREFIX;

  g_return_if_fail (self != NULL);
  g_return_if_fail (level <= PV_NODE_LEVEL_MAX);
  g_return_if_fail (n_entries >= 1 && n_entries <= PV_NODE_FANOUT);

  if (pv_is_zero (entries, n_entries * sizeof *entries))
    {
      memset (name, 0, sizeof *name);
      return;
    }
  prefix[NODE_PREFIX_LEVEL] = (guint8) level;
  name_bytes (self, prefix, sizeof prefix, entries, n_entries * sizeof *entries, name);
}
