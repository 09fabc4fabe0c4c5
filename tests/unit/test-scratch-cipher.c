/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "chunk/scratch-cipher.h"

#include <string.h>

#define SIZE 1000u

static void
test_round_trip (void)
{
  g_autoptr(PvScratchCipher) cipher = pv_scratch_cipher_new (NULL);
  g_autoptr(PvScratchCipher) other = pv_scratch_cipher_new (NULL);
  guint8 plain[SIZE], written[SIZE], read_back[SIZE];

  for (guint i = 0; i < SIZE; i++)
    plain[i] = (guint8) (i / 3);
  pv_scratch_cipher_apply (cipher, 0, plain, SIZE, written);
  g_assert_cmpint (memcmp (plain, written, SIZE), !=, 0);
  pv_scratch_cipher_apply (other, 0, written, SIZE, read_back);
  g_assert_cmpint (memcmp (plain, read_back, SIZE), !=, 0);
  pv_scratch_cipher_apply (cipher, 0, written, SIZE, read_back);
  g_assert_cmpmem (plain, SIZE, read_back, SIZE);
}

/* Written in pieces of any size, read in others. */
static void
test_pieces (void)
{
  g_autoptr(PvScratchCipher) cipher = pv_scratch_cipher_new (NULL);
  const guint64 base = (1ull << 40) + 5;
  guint8 plain[SIZE], written[SIZE], read_back[SIZE];

  memset (plain, 0x5a, SIZE);
  for (guint at = 0, step = 1; at < SIZE; at += step, step = step % 37 + 1)
    {
      step = MIN (step, SIZE - at);
      pv_scratch_cipher_apply (cipher, base + at, plain + at, step, written + at);
    }
  for (guint at = 0, step = 1; at < SIZE; at += step, step = step % 64 + 1)
    {
      step = MIN (step, SIZE - at);
      pv_scratch_cipher_apply (cipher, base + at, written + at, step, read_back + at);
    }
  g_assert_cmpmem (plain, SIZE, read_back, SIZE);
  /* no two blocks of the key stream are alike */
  for (guint at = 16; at + 32 <= SIZE; at += 16)
    g_assert_cmpint (memcmp (written + at, written, 16), !=, 0);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/scratch-cipher/round-trip", test_round_trip);
  g_test_add_func ("/scratch-cipher/pieces", test_pieces);
  return g_test_run ();
}
