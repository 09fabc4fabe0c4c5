/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What an oracle disk holds after tick n, as a pure function of n: so that whoever reads the disk, the guest itself or
 * a host program, can tell the exact tick it stems from.
 *
 *   0 … 64 KiB       the ring: 128 slots of 512 bytes; slot s tells of the newest tick m <= n with m % 128 == s
 *   64 … 1024 KiB    unused, zeros
 *   from 1 MiB on    the data: n_blocks blocks of 4 KiB; tick m fills block (m * 40503) % n_blocks
 *
 * Tick m writes its data block first and its slot second. What no tick has reached is zeros. Ticks count from 1. All
 * words are little-endian.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum
{
  RING_SLOTS = 128,
  SLOT_SIZE = 512,                      /* bytes */
  RING_SIZE = RING_SLOTS * SLOT_SIZE,   /* bytes */
  DATA_BLOCK_SIZE = 4096,                /* bytes */
  DATA_START = 1 << 20,                 /* bytes */
};

#define SLOT_MAGIC UINT64_C (0x314b5349444c524f)
#define BLOCK_MAGIC UINT64_C (0x314b434f4c42524f)
#define BLOCK_STRIDE UINT64_C (40503)   /* odd: reaches every block of a power of two */

/* One step of a 64-bit generator; @x must not be 0. */
static inline uint64_t
next_random (uint64_t x)
{
  x ^= x << 13;
  x ^= x >> 7;
  return x ^ (x << 17);
}

/* Fills @size bytes (a multiple of 8) at @buffer with the record of tick @m; tick 0 is zeros. */
static inline void
fill_record (void *buffer, unsigned size, uint64_t magic, uint64_t place, uint64_t m)
{
  uint64_t *words = buffer;
  uint64_t x = (m ^ (place << 40) ^ magic) | 1;

  memset (buffer, 0, size);
  if (m == 0)
    return;
  words[0] = magic;
  words[1] = place;
  words[2] = m;
  for (unsigned i = 3; i < size / 8; i++)
    words[i] = i % 2 != 0 ? (x = next_random (x)) : m;
}

/* The newest tick <= @n that wrote slot @slot; 0: none has. */
static inline uint64_t
slot_tick (unsigned slot, uint64_t n)
{
  uint64_t back = (n - slot) % RING_SLOTS;

  return back < n ? n - back : 0;
}

/* The block of tick @m. @n_blocks is a power of two. */
static inline uint64_t
tick_block (uint64_t m, uint64_t n_blocks)
{
  return (m * BLOCK_STRIDE) & (n_blocks - 1);
}

/* The newest tick <= @n that wrote block @block; 0: none has. */
static inline uint64_t
block_tick (uint64_t block, uint64_t n, uint64_t n_blocks)
{
  uint64_t inverse = BLOCK_STRIDE;   /* of BLOCK_STRIDE modulo 2^64, by Newton's iteration */
  uint64_t back;

  for (int i = 0; i < 6; i++)
    inverse *= 2 - BLOCK_STRIDE * inverse;
  back = (n - block * inverse) & (n_blocks - 1);
  return back < n ? n - back : 0;
}

/* TRUE when the ring at @ring is that of tick @n; otherwise @bad is the first slot that is not. */
static inline bool
ring_is_of (const void *ring, uint64_t n, unsigned *bad)
{
  uint64_t want[SLOT_SIZE / 8];

  for (unsigned s = 0; s < RING_SLOTS; s++)
    {
      fill_record (want, SLOT_SIZE, SLOT_MAGIC, s, slot_tick (s, n));
      if (memcmp ((const char *) ring + s * SLOT_SIZE, want, SLOT_SIZE) != 0)
        {
          *bad = s;
          return false;
        }
    }
  return true;
}

/* The newest tick that a slot of @ring tells of, whatever else is in it. */
static inline uint64_t
ring_newest (const void *ring)
{
  uint64_t newest = 0;

  for (unsigned s = 0; s < RING_SLOTS; s++)
    {
      uint64_t slot[3];

      memcpy (slot, (const char *) ring + s * SLOT_SIZE, sizeof slot);
      if (slot[0] == SLOT_MAGIC && slot[2] > newest)
        newest = slot[2];
    }
  return newest;
}

/* TRUE when @data is what block @block holds after tick @n. */
static inline bool
block_is_of (const void *data, uint64_t block, uint64_t n, uint64_t n_blocks)
{
  uint64_t want[DATA_BLOCK_SIZE / 8];

  fill_record (want, DATA_BLOCK_SIZE, BLOCK_MAGIC, block, block_tick (block, n, n_blocks));
  return memcmp (data, want, DATA_BLOCK_SIZE) == 0;
}
