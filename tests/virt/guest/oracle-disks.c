/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oracle.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "disk-rule.h"

enum { MAX_DISKS = 4, CHUNK = 1 << 20 /* bytes read at once in a full check */ };

typedef struct
{
  int fd;
  char name[8];
  uint64_t n_blocks;        /* power of two */
  _Atomic uint64_t tick;    /* newest tick written */
} Disk;

atomic_ulong tick_ms;
atomic_bool ticks_held;
_Atomic uint64_t counter, committed;
unsigned n_disks;

static Disk disks[MAX_DISKS];
/* What others ask of the disk thread, and what it has done: equal when there is nothing to do. */
static atomic_uint check_wanted, check_done, steps_wanted, steps_done, settle_wanted, settled;

static bool
read_disk (Disk *d, void *buffer, size_t size, uint64_t offset)
{
  if (pread (d->fd, buffer, size, offset) == (ssize_t) size)
    return true;
  wrong ("disk %s: cannot read at %lu: %s", d->name, offset, strerror (errno));
  return false;
}

static void
write_disk (Disk *d, const void *buffer, size_t size, uint64_t offset)
{
  if (pwrite (d->fd, buffer, size, offset) != (ssize_t) size)
    wrong ("disk %s: cannot write at %lu: %s", d->name, offset, strerror (errno));
}

static void
check_ring (Disk *d, void *ring)
{
  unsigned bad;

  if (read_disk (d, ring, RING_SIZE, 0) && !ring_is_of (ring, d->tick, &bad))
    wrong ("disk %s: of another instant: holds tick %lu, memory knows tick %lu (slot %u)", d->name, ring_newest (ring),
           d->tick, bad);
}

/* Records tick @n on @d; looks first at what it is about to overwrite. */
static void
write_tick (Disk *d, uint64_t n)
{
  static void *buffer;
  uint64_t block = tick_block (n, d->n_blocks);
  uint64_t offset = DATA_START + block * DATA_BLOCK_SIZE;

  if (buffer == NULL)
    buffer = zero_pages (RING_SIZE);
  if (read_disk (d, buffer, DATA_BLOCK_SIZE, offset) && !block_is_of (buffer, block, n - 1, d->n_blocks))
    wrong ("disk %s: block %lu is not that of tick %lu", d->name, block, n - 1);
  fill_record (buffer, DATA_BLOCK_SIZE, BLOCK_MAGIC, block, n);
  write_disk (d, buffer, DATA_BLOCK_SIZE, offset);
  check_ring (d, buffer);
  fill_record (buffer, SLOT_SIZE, SLOT_MAGIC, n % RING_SLOTS, n);
  write_disk (d, buffer, SLOT_SIZE, n % RING_SLOTS * SLOT_SIZE);
  d->tick = n;
}

static void
do_tick (void)
{
  uint64_t n = committed + 1;

  counter = n;
  for (unsigned i = 0; i < n_disks; i++)
    write_tick (&disks[i], n);
  committed = n;
  for (unsigned i = 0; i < n_disks && n % 64 == 0; i++)
    fdatasync (disks[i].fd);
}

/* Compares all of @d with tick @n. After a crash the block of the tick to come may be written already. */
static void
check_blocks (Disk *d, uint64_t n, bool after_crash)
{
  static char *buffer;
  uint64_t next = tick_block (n + 1, d->n_blocks);
  uint64_t size = d->n_blocks * DATA_BLOCK_SIZE;

  if (buffer == NULL)
    buffer = zero_pages (CHUNK);
  for (uint64_t at = 0; at < size; at += CHUNK)
    {
      uint64_t length = size - at < CHUNK ? size - at : CHUNK;

      if (!read_disk (d, buffer, length, DATA_START + at))
        return;
      for (uint64_t i = 0; i < length; i += DATA_BLOCK_SIZE)
        {
          uint64_t block = (at + i) / DATA_BLOCK_SIZE;

          if (!block_is_of (buffer + i, block, n, d->n_blocks)
              && !(after_crash && block == next && block_is_of (buffer + i, block, n + 1, d->n_blocks)))
            wrong ("disk %s: block %lu is not that of tick %lu", d->name, block, n);
        }
    }
}

static void
check_all (void)
{
  void *ring = zero_pages (RING_SIZE);

  for (unsigned i = 0; i < n_disks; i++)
    {
      check_ring (&disks[i], ring);
      check_blocks (&disks[i], disks[i].tick, false);
    }
  munmap (ring, RING_SIZE);
}

static void *
run_disks (void *data)
{
  uint64_t next = now_us ();

  for (;;)
    {
      unsigned wanted = check_wanted;
      uint64_t now = now_us ();

      settled = settle_wanted;
      if (check_done != wanted)
        {
          check_all ();
          check_done = wanted;
        }
      for (; steps_done != steps_wanted; steps_done++)
        do_tick ();
      if (tick_ms != 0 && !ticks_held && now >= next)
        {
          do_tick ();
          next = now + tick_ms * 1000;
        }
      now = now_us ();
      if (tick_ms == 0 || ticks_held || next > now + LOOP_US)
        sleep_us (LOOP_US);
      else if (next > now)
        sleep_us (next - now);
    }
  return NULL;
}

/* What a disk says of itself at boot: its newest tick, after it was found to hold that tick and nothing else. */
static void
open_disk (const char *name, uint64_t max_blocks)
{
  Disk *d = &disks[n_disks];
  char path[32];
  uint64_t size = 0;
  void *ring;
  unsigned bad;

  snprintf (path, sizeof path, "/dev/%s", name);
  snprintf (d->name, sizeof d->name, "%s", name);
  d->fd = open (path, O_RDWR | O_DIRECT | O_CLOEXEC);
  if (d->fd < 0)
    return;
  if (ioctl (d->fd, BLKGETSIZE64, &size) < 0 || size < DATA_START + DATA_BLOCK_SIZE)
    {
      wrong ("disk %s: too small", name);
      return;
    }
  for (d->n_blocks = 1; d->n_blocks * 2 <= (size - DATA_START) / DATA_BLOCK_SIZE && d->n_blocks * 2 <= max_blocks;)
    d->n_blocks *= 2;
  ring = zero_pages (RING_SIZE);
  if (read_disk (d, ring, RING_SIZE, 0))
    {
      d->tick = ring_newest (ring);
      if (!ring_is_of (ring, d->tick, &bad))
        wrong ("disk %s: slot %u is not that of tick %lu", name, bad, d->tick);
      check_blocks (d, d->tick, true);
    }
  munmap (ring, RING_SIZE);
  n_disks++;
}

/* Brings @d, found whole at tick @first or the one before it, to exactly tick @first. */
static void
catch_up (Disk *d, uint64_t first)
{
  void *buffer = zero_pages (DATA_BLOCK_SIZE);
  uint64_t block = tick_block (first, d->n_blocks), next = tick_block (first + 1, d->n_blocks);

  if (d->tick < first)   /* a crash came between the disks */
    {
      fill_record (buffer, DATA_BLOCK_SIZE, BLOCK_MAGIC, block, first);
      write_disk (d, buffer, DATA_BLOCK_SIZE, DATA_START + block * DATA_BLOCK_SIZE);
      fill_record (buffer, SLOT_SIZE, SLOT_MAGIC, first % RING_SLOTS, first);
      write_disk (d, buffer, SLOT_SIZE, first % RING_SLOTS * SLOT_SIZE);
      d->tick = first;
    }
  fill_record (buffer, DATA_BLOCK_SIZE, BLOCK_MAGIC, next, block_tick (next, first, d->n_blocks));
  write_disk (d, buffer, DATA_BLOCK_SIZE, DATA_START + next * DATA_BLOCK_SIZE);
  munmap (buffer, DATA_BLOCK_SIZE);
}

/* Opens the disks, looks whether they are of one instant among themselves, brings the later ones up to the first. */
void
disks_start (uint64_t max_blocks)
{
  uint64_t first;

  for (int i = 0; i < 100 && access ("/dev/vda", F_OK) != 0; i++)
    sleep_us (20000);
  for (char c = 'a'; c < 'a' + MAX_DISKS; c++)
    open_disk ((char[]) { 'v', 'd', c, '\0' }, max_blocks);
  first = n_disks > 0 ? disks[0].tick : 0;
  for (unsigned i = 1; i < n_disks; i++)
    if (disks[i].tick > disks[i - 1].tick || disks[i].tick + 1 < first)
      wrong ("disks of several instants: %s holds tick %lu, %s tick %lu", disks[0].name, first, disks[i].name,
             disks[i].tick);
  for (unsigned i = 0; i < n_disks && all_right (); i++)
    catch_up (&disks[i], first);
  counter = committed = first;
}

void
disks_run (void)
{
  tick_ms = parameter ("tick", 10);
  start_thread (run_disks, NULL);
}

static void
wait_for (atomic_uint *done, unsigned wanted)
{
  while ((int) (*done - wanted) < 0)
    sleep_us (1000);
}

void
disks_check (void)
{
  wait_for (&check_done, ++check_wanted);
}

void
disks_step (void)
{
  wait_for (&steps_done, ++steps_wanted);
}

void
disks_settle (void)
{
  wait_for (&settled, ++settle_wanted);
}

void
disks_describe (char *text, size_t size)
{
  uint64_t n = committed;
  int at = snprintf (text, size, "n=%lu counter=%lu committed=%lu", n, counter, n);

  for (unsigned i = 0; i < n_disks; i++)
    at += snprintf (text + at, size - at, " %s=%lu", disks[i].name, disks[i].tick);
}
