/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/store-key.h"

#include <string.h>

/* The expected values were computed by another implementation of RFC 5869 (Python's hmac). */
static PvStoreKey *
counting_key (void)
{
  guint8 bytes[PV_STORE_KEY_SIZE];

  for (guint i = 0; i < sizeof bytes; i++)
    bytes[i] = (guint8) i;
  return pv_store_key_new (bytes);
}

static void
assert_hex (const guint8 *bytes, const char *expected)
{
  g_autoptr(GString) hex = g_string_new (NULL);

  for (guint i = 0; i < PV_STORE_KEY_SIZE; i++)
    g_string_append_printf (hex, "%02x", bytes[i]);
  g_assert_cmpstr (hex->str, ==, expected);
}

static void
test_derivation (void)
{
  g_autoptr(PvStoreKey) key = counting_key ();
  guint8 salt[PV_SALT_SIZE], derived[PV_STORE_KEY_SIZE];
  g_autofree char *hidden = pv_store_key_hide (key, "domain", "web1");

  for (guint i = 0; i < sizeof salt; i++)
    salt[i] = (guint8) (100 + i);
  assert_hex (pv_store_key_for_names (key), "b7ff9c69607de5d0adfb7aafc66454a582858432ee63d8d7a8a83bbcb0807752");
  g_assert_null (pv_store_key_for_names (NULL));
  pv_derive_key (pv_store_key_bytes (key), PV_STORE_KEY_SIZE, salt, "pagevault pack", derived);
  assert_hex (derived, "76a5d0be78ded33342d8b9194eac0f9a7eb754afd1464507555c3a6876331a6b");
  g_assert_cmpstr (hidden, ==, "88d0de4f2aa483ccac3f1db5392caf6d82936089912d07126498f3a16ca7788e");
}

static void
test_random (void)
{
  g_autoptr(PvStoreKey) one = pv_store_key_new_random (NULL);
  g_autoptr(PvStoreKey) other = pv_store_key_new_random (NULL);
  g_autofree char *hidden = NULL, *hidden_elsewhere = NULL, *hidden_kind = NULL;

  g_assert_true (one != NULL && other != NULL);
  g_assert_cmpint (memcmp (pv_store_key_bytes (one), pv_store_key_bytes (other), PV_STORE_KEY_SIZE), !=, 0);
  hidden = pv_store_key_hide (one, "domain", "a");
  hidden_elsewhere = pv_store_key_hide (other, "domain", "a");
  hidden_kind = pv_store_key_hide (one, "name", "a");
  g_assert_cmpstr (hidden, !=, hidden_elsewhere);
  g_assert_cmpstr (hidden, !=, hidden_kind);
}

static void
test_wipe (void)
{
  guint8 bytes[16] = "secret";
  guint8 zeros[16] = { 0 };

  pv_wipe (bytes, sizeof bytes);
  g_assert_cmpmem (bytes, sizeof bytes, zeros, sizeof zeros);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/store-key/derivation", test_derivation);
  g_test_add_func ("/store-key/random", test_random);
  g_test_add_func ("/store-key/wipe", test_wipe);
  return g_test_run ();
}
