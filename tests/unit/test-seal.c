/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/seal.h"

#include <string.h>

#define TEXT "some plain text"
#define SIZE (sizeof TEXT - 1)
#define AAD "aad"

typedef struct
{
  PvStoreKey *key;
  guint8 salt[PV_SALT_SIZE];
  PvSeal seal;
  guint8 data[SIZE + PV_SEAL_TAG_SIZE]; /* sealed */
} Fixture;

static void
set_up (Fixture *self, gconstpointer unused)
{
  guint8 bytes[PV_STORE_KEY_SIZE];

  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = (guint8) i;
  for (guint i = 0; i < sizeof self->salt; i++)
    self->salt[i] = (guint8) (100 + i);
  self->key = pv_store_key_new (bytes);
  self->seal = (PvSeal){ self->key, PV_SEAL_PACK, self->salt, 7 };
  memcpy (self->data, TEXT, SIZE);
  pv_seal_close (&self->seal, (const guint8 *) AAD, strlen (AAD), self->data, SIZE, self->data + SIZE);
}

static void
tear_down (Fixture *self, gconstpointer unused)
{
  pv_store_key_unref (self->key);
}

static gboolean
opens (const PvSeal *seal, const char *aad, const guint8 *data)
{
  guint8 plain[SIZE];

  return pv_seal_open (seal, (const guint8 *) aad, strlen (aad), data, SIZE, data + SIZE, plain)
         && memcmp (plain, TEXT, SIZE) == 0;
}

/* The sealed bytes were computed by another implementation (Python's cryptography). */
static void
test_vector (Fixture *self, gconstpointer unused)
{
  static const char expected[] = "618ab2830932510e8708757275d811d1dc4af0320058f2222e41783f3e8243";
  g_autoptr(GString) hex = g_string_new (NULL);

  for (guint i = 0; i < sizeof self->data; i++)
    g_string_append_printf (hex, "%02x", self->data[i]);
  g_assert_cmpstr (hex->str, ==, expected);
  g_assert_true (opens (&self->seal, AAD, self->data));
}

static void
test_every_flipped_bit (Fixture *self, gconstpointer unused)
{
  for (guint bit = 0; bit < 8 * sizeof self->data; bit++)
    {
      self->data[bit / 8] ^= (guint8) (1u << bit % 8);
      g_assert_false (opens (&self->seal, AAD, self->data));
      self->data[bit / 8] ^= (guint8) (1u << bit % 8);
    }
  g_assert_true (opens (&self->seal, AAD, self->data));
}

/* What was sealed for one place opens at no other. */
static void
test_bound_to_place (Fixture *self, gconstpointer unused)
{
  g_autoptr(PvStoreKey) key = pv_store_key_new_random (NULL);
  guint8 salt[PV_SALT_SIZE] = { 1 };
  const PvSeal others[] = {
    { key, PV_SEAL_PACK, self->salt, 7 },
    { self->key, PV_SEAL_SNAPSHOT, self->salt, 7 },
    { self->key, PV_SEAL_PACK, salt, 7 },
    { self->key, PV_SEAL_PACK, self->salt, 8 },
    { self->key, PV_SEAL_PACK, self->salt, PV_SEAL_TABLE },
  };

  for (guint i = 0; i < G_N_ELEMENTS (others); i++)
    g_assert_false (opens (&others[i], AAD, self->data));
  g_assert_false (opens (&self->seal, "aae", self->data));
  g_assert_false (opens (&self->seal, "", self->data));
}

/* A tag alone: of a table, which is authentic but not secret. */
static void
test_nothing_secret (Fixture *self, gconstpointer unused)
{
  guint8 tag[PV_SEAL_TAG_SIZE];

  pv_seal_close (&self->seal, (const guint8 *) AAD, strlen (AAD), NULL, 0, tag);
  g_assert_true (pv_seal_open (&self->seal, (const guint8 *) AAD, strlen (AAD), NULL, 0, tag, NULL));
  g_assert_false (pv_seal_open (&self->seal, (const guint8 *) "aae", strlen (AAD), NULL, 0, tag, NULL));
  tag[0] ^= 1;
  g_assert_false (pv_seal_open (&self->seal, (const guint8 *) AAD, strlen (AAD), NULL, 0, tag, NULL));
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add ("/seal/vector", Fixture, NULL, set_up, test_vector, tear_down);
  g_test_add ("/seal/every-flipped-bit", Fixture, NULL, set_up, test_every_flipped_bit, tear_down);
  g_test_add ("/seal/bound-to-place", Fixture, NULL, set_up, test_bound_to_place, tear_down);
  g_test_add ("/seal/nothing-secret", Fixture, NULL, set_up, test_nothing_secret, tear_down);
  return g_test_run ();
}
