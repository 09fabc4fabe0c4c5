/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* oracle-disk IMAGE [BLOCKS]: tell from outside which tick a raw image of an oracle guest's disk holds.
 *
 * Prints "n=TICK" when the image is that of one tick and nothing else (the data block of the tick to come may be there
 * already); otherwise says what is wrong and exits 1. BLOCKS is the guest's oracle.blocks.
 */
#include "disk-rule.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static bool
image_is_of_one_tick (int fd, uint64_t n_blocks, uint64_t *n)
{
  static char ring[RING_SIZE], block[DATA_BLOCK_SIZE];
  unsigned bad;
  bool right = true;

  if (pread (fd, ring, RING_SIZE, 0) != RING_SIZE)
    return fprintf (stderr, "cannot read the ring\n"), false;
  *n = ring_newest (ring);
  if (!ring_is_of (ring, *n, &bad))
    {
      fprintf (stderr, "slot %u is not that of tick %lu\n", bad, *n);
      right = false;
    }
  for (uint64_t i = 0; i < n_blocks; i++)
    {
      if (pread (fd, block, DATA_BLOCK_SIZE, DATA_START + i * DATA_BLOCK_SIZE) != DATA_BLOCK_SIZE)
        return fprintf (stderr, "cannot read block %lu\n", i), false;
      if (block_is_of (block, i, *n, n_blocks)
          || (i == tick_block (*n + 1, n_blocks) && block_is_of (block, i, *n + 1, n_blocks)))
        continue;
      if (right)
        fprintf (stderr, "block %lu is not that of tick %lu\n", i, *n);
      right = false;
    }
  return right;
}

int
main (int argc, char **argv)
{
  uint64_t max_blocks = argc > 2 ? strtoull (argv[2], NULL, 10) : 2048, n_blocks = 1, n;
  int fd = argc > 1 ? open (argv[1], O_RDONLY) : -1;
  off_t size = fd >= 0 ? lseek (fd, 0, SEEK_END) : 0;

  if (size < DATA_START + DATA_BLOCK_SIZE || max_blocks == 0)
    {
      fprintf (stderr, "usage: oracle-disk IMAGE [BLOCKS], with a raw image of an oracle guest\n");
      return 2;
    }
  while (n_blocks * 2 <= (uint64_t) (size - DATA_START) / DATA_BLOCK_SIZE && n_blocks * 2 <= max_blocks)
    n_blocks *= 2;
  if (!image_is_of_one_tick (fd, n_blocks, &n))
    return 1;
  printf ("n=%lu\n", n);
  return 0;
}
