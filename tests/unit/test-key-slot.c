/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/key-slot.h"

#include <string.h>

#include "util/error.h"

#define PASS "pass phrase"
#define SECRET_SIZE 40u

/* Both made by another implementation (Python's hashlib and cryptography): key 0 … 31, salt 100 …, store UUID 200 …. */
static const char vector_passphrase[]
  = "010a00000800000001000000000102030405060708090a0b6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d"
    "7e7f808182830000000000000000000000000000000000401e18240a0600d9d745023bc33539252d7d35f40882b55118f276"
    "caf0dcda13e6802363e47bbb8dd5cef8a6d0017211ba6232e2e443e9";
static const char vector_secret[]
  = "020000000000000000000000000102030405060708090a0b6465666768696a6b6c6d6e6f707172737475767778797a7b7c7d"
    "7e7f808182831111111111111111111111111111111100401e18240a06006e40f8ee5f026f4b485f7a6a43ef9d09903f50d0"
    "f79ebfa2a28aacef5a4b925c143507036e9cde3e24c4b30019c7a649";

static void
fill (guint8 *bytes, guint size, guint8 first)
{
  for (guint i = 0; i < size; i++)
    bytes[i] = (guint8) (first + i);
}

static void
from_hex (PvKeySlot *slot, const char *hex)
{
  memset (slot, 0, sizeof *slot);
  for (guint i = 0; hex[2 * i] != '\0'; i++)
    slot->bytes[i] = (guint8) (g_ascii_xdigit_value (hex[2 * i]) << 4 | g_ascii_xdigit_value (hex[2 * i + 1]));
}

static gboolean
opens (const PvKeySlot *slot, gconstpointer secret, gsize size, guint8 first_of_uuid)
{
  guint8 uuid[PV_KEY_UUID_SIZE], expected[PV_STORE_KEY_SIZE];
  g_autoptr(PvStoreKey) key = NULL;
  g_autoptr(GError) error = NULL;

  fill (uuid, sizeof uuid, first_of_uuid);
  fill (expected, sizeof expected, 0);
  key = pv_key_slot_unwrap (slot, secret, size, uuid, &error);
  if (key == NULL)
    g_assert_error (error, PV_ERROR, PV_ERROR_DENIED);
  else
    g_assert_cmpmem (pv_store_key_bytes (key), PV_STORE_KEY_SIZE, expected, sizeof expected);
  return key != NULL;
}

static void
test_vectors (void)
{
  guint8 secret[SECRET_SIZE];
  PvKeySlot slot;

  from_hex (&slot, vector_passphrase);
  g_assert_true (pv_key_slot_check (&slot, NULL));
  g_assert_cmpint (pv_key_slot_kind (&slot), ==, PV_KEY_SLOT_PASSPHRASE);
  g_assert_cmpuint (pv_key_slot_cost (&slot), ==, 10);
  g_assert_cmpint (pv_key_slot_time (&slot), ==, 1700000000000000);
  g_assert_true (opens (&slot, PASS, strlen (PASS), 200));
  g_assert_false (opens (&slot, "pass phrasf", strlen (PASS), 200));
  g_assert_false (opens (&slot, PASS, strlen (PASS) - 1, 200));
  g_assert_false (opens (&slot, PASS, strlen (PASS), 201)); /* taken into another store */

  from_hex (&slot, vector_secret);
  fill (secret, sizeof secret, 50);
  g_assert_true (pv_key_slot_check (&slot, NULL));
  g_assert_cmpint (pv_key_slot_kind (&slot), ==, PV_KEY_SLOT_SECRET);
  g_assert_cmpint (pv_key_slot_secret_uuid (&slot)[15], ==, 0x11);
  g_assert_true (opens (&slot, secret, sizeof secret, 200));
  secret[39] ^= 1;
  g_assert_false (opens (&slot, secret, sizeof secret, 200));
}

/* A slot whose bits were flipped is refused, or does not open: never another key. Of the slot of a secret, which opens
 * quickly, each bit; of that of a pass phrase one in each byte. */
static void
test_flipped_bits (void)
{
  guint8 secret[SECRET_SIZE];
  PvKeySlot slot;

  fill (secret, sizeof secret, 50);
  for (guint bit = 0; bit < 8 * PV_KEY_SLOT_SIZE; bit++)
    {
      from_hex (&slot, vector_secret);
      slot.bytes[bit / 8] ^= (guint8) (1u << bit % 8);
      g_assert_false (pv_key_slot_check (&slot, NULL) && opens (&slot, secret, sizeof secret, 200));
    }
  for (guint i = 0; i < PV_KEY_SLOT_SIZE; i++)
    {
      from_hex (&slot, vector_passphrase);
      slot.bytes[i] ^= (guint8) (i == 1 ? 1 : 0x80);
      g_assert_false (pv_key_slot_check (&slot, NULL) && opens (&slot, PASS, strlen (PASS), 200));
    }
}

static void
assert_refused (guint offset, guint8 value, int code)
{
  g_autoptr(GError) error = NULL;
  PvKeySlot slot;

  from_hex (&slot, vector_passphrase);
  slot.bytes[offset] = value;
  g_assert_false (pv_key_slot_check (&slot, &error));
  g_assert_error (error, PV_ERROR, code);
}

/* Parameters that would take the memory or the hours of whoever opens the store are refused before they are used. */
static void
test_hostile (void)
{
  assert_refused (0, 3, PV_ERROR_UNSUPPORTED);
  assert_refused (2, 1, PV_ERROR_UNSUPPORTED);
  assert_refused (150, 1, PV_ERROR_UNSUPPORTED);
  assert_refused (1, 9, PV_ERROR_CORRUPT);
  assert_refused (1, 21, PV_ERROR_CORRUPT);
  assert_refused (1, 63, PV_ERROR_CORRUPT);
  assert_refused (1, 64, PV_ERROR_CORRUPT);
  assert_refused (1, 255, PV_ERROR_CORRUPT);
  assert_refused (4, 0, PV_ERROR_CORRUPT);
  assert_refused (4, 65, PV_ERROR_CORRUPT);
  assert_refused (7, 0x80, PV_ERROR_CORRUPT);
  assert_refused (8, 0, PV_ERROR_CORRUPT);
  assert_refused (8, 17, PV_ERROR_CORRUPT);
  assert_refused (60, 1, PV_ERROR_CORRUPT);
  assert_refused (0, 0, PV_ERROR_CORRUPT); /* "empty", with a key in it */
  {
    g_autoptr(GError) error = NULL;
    PvKeySlot slot;

    from_hex (&slot, vector_passphrase); /* each within its bounds, together 2 GiB */
    slot.bytes[1] = 20;
    slot.bytes[4] = 16;
    g_assert_false (pv_key_slot_check (&slot, &error));
    g_assert_error (error, PV_ERROR, PV_ERROR_CORRUPT);
  }
}

static void
test_wrap (void)
{
  g_autoptr(PvStoreKey) key = pv_store_key_new_random (NULL);
  g_autoptr(PvStoreKey) again = NULL, from_secret = NULL;
  g_autoptr(GError) error = NULL;
  guint8 uuid[PV_KEY_UUID_SIZE] = { 1 }, secret_uuid[PV_KEY_UUID_SIZE] = { 2 }, secret[SECRET_SIZE] = { 3 };
  PvKeySlot slot, other;

  g_assert_true (pv_key_slot_wrap_passphrase (&slot, key, (const guint8 *) PASS, strlen (PASS), PV_KEY_COST_MIN, uuid,
                                              NULL));
  g_assert_true (pv_key_slot_check (&slot, NULL));
  again = pv_key_slot_unwrap (&slot, (const guint8 *) PASS, strlen (PASS), uuid, NULL);
  g_assert_cmpmem (pv_store_key_bytes (key), PV_STORE_KEY_SIZE, pv_store_key_bytes (again), PV_STORE_KEY_SIZE);
  g_assert_true (pv_key_slot_wrap_passphrase (&other, key, (const guint8 *) PASS, strlen (PASS), PV_KEY_COST_MIN, uuid,
                                              NULL));
  g_assert_cmpint (memcmp (slot.bytes + 12, other.bytes + 12, 44), !=, 0); /* nonce and salt are new each time */
  g_assert_cmpint (memcmp (slot.bytes + 80, other.bytes + 80, 32), !=, 0);

  g_assert_true (pv_key_slot_wrap_secret (&slot, key, secret, sizeof secret, secret_uuid, uuid, NULL));
  g_assert_true (pv_key_slot_check (&slot, NULL));
  from_secret = pv_key_slot_unwrap (&slot, secret, sizeof secret, uuid, NULL);
  g_assert_cmpmem (pv_store_key_bytes (key), PV_STORE_KEY_SIZE, pv_store_key_bytes (from_secret), PV_STORE_KEY_SIZE);

  g_assert_false (pv_key_slot_wrap_secret (&slot, key, secret, PV_KEY_SECRET_MIN - 1, secret_uuid, uuid, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
  g_clear_error (&error);
  g_assert_false (pv_key_slot_wrap_passphrase (&slot, key, (const guint8 *) "", 0, PV_KEY_COST_MIN, uuid, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_INVALID);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/key-slot/vectors", test_vectors);
  g_test_add_func ("/key-slot/flipped-bits", test_flipped_bits);
  g_test_add_func ("/key-slot/hostile", test_hostile);
  g_test_add_func ("/key-slot/wrap", test_wrap);
  return g_test_run ();
}
