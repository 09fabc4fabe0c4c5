/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* oracle: the whole user space of a test guest. It runs as /init and can tell, at any time and of itself, whether its
 * memory and all its disks are of one instant.
 *
 * Memory: a region of pages that say which page they are, which generation, and a checksum over all of it; one thread
 * per vCPU keeps rewriting its share. The generation that each page must have and a sum over all of them are kept
 * elsewhere in RAM, so that an older page is noticed, however valid. A page is verified before it is rewritten.
 *
 * Disks: a counter n in RAM, and per tick, in this order: counter = n; record of n to vda; record of n to vdb (…);
 * committed = n. At every instant committed <= vdb <= vda <= counter <= committed + 1. What a disk holds after tick n
 * is a function of n alone (disk-rule.h), compared before it is overwritten: one tick too old or too new shows.
 *
 * What was once found wrong stays wrong: the verdict is sticky. Answers come on the serial line, see run_command().
 * Parameters from the kernel command line: oracle.mem (MiB), .rate (KiB/s), .random (% of incompressible bytes),
 * .tick (milliseconds, 0: none), .blocks (data blocks per disk, a power of two), .sweep (KiB/s verified all the time).
 */
#include "disk-rule.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <linux/fs.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

enum
{
  PAGE_SIZE = 4096,
  PAGE_WORDS = PAGE_SIZE / 8,
  MAX_CPUS = 16,
  MAX_DISKS = 4,
  LOOP_US = 5000,        /* a writer's period */
  STALL_PERIOD_US = 2000,
  CHUNK = 1 << 20,       /* bytes read at once in a full disk check */
};

#define PAGE_MAGIC UINT64_C (0x4547415052494f52)

enum { W_MAGIC, W_INDEX, W_GENERATION, W_TICK, W_SEED, W_CHECKSUM, W_PAYLOAD };

typedef struct
{
  unsigned cpu;
  uint64_t sum;             /* of mix () over this writer's pages */
  uint64_t random;
  uint64_t dirty_cursor;    /* next page of "dirty", counted within this writer's share */
  uint64_t sweep_cursor;    /* next page of the background sweep */
  atomic_ulong dirty_wanted;     /* pages */
  atomic_uint sweep_wanted;
  atomic_uint sweep_done;
} Writer;

typedef struct
{
  int fd;
  char name[8];
  uint64_t n_blocks;        /* power of two */
  _Atomic uint64_t tick;    /* newest tick written */
} Disk;

static uint64_t (*pages)[PAGE_WORDS];
static uint64_t *generations;   /* one per page: what the page must say */
static uint64_t n_pages, boot_seed;
static unsigned n_cpus, n_disks;
static Writer writers[MAX_CPUS];
static Disk disks[MAX_DISKS];
static _Atomic uint64_t counter, committed;
static atomic_ulong rate_kib, sweep_kib, tick_ms;
static unsigned random_percent;
static atomic_uint disk_check_wanted, disk_check_done, steps_wanted, steps_done;
static _Atomic uint64_t stall_asked_us, stall_ticked_us;   /* longest since last asked, since last tick line */
static int console = 1;

static pthread_mutex_t verdict_lock = PTHREAD_MUTEX_INITIALIZER;
static char verdict[200];   /* the first thing found wrong; under verdict_lock */
static unsigned n_wrong;    /* under verdict_lock */

/* --- small things --- */

static void __attribute__ ((format (printf, 1, 2)))
say (const char *format, ...)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  char line[512] = "ORACLE ";
  va_list args;
  int length;

  va_start (args, format);
  length = 7 + vsnprintf (line + 7, sizeof line - 9, format, args);
  va_end (args);
  if (length > (int) sizeof line - 3)
    length = sizeof line - 3;
  line[length++] = '\n';
  pthread_mutex_lock (&lock);
  for (int done = 0; done < length;)
    {
      ssize_t n = write (console, line + done, length - done);

      if (n < 0 && errno != EINTR)
        break;
      done += n > 0 ? n : 0;
    }
  pthread_mutex_unlock (&lock);
}

static void __attribute__ ((format (printf, 1, 2)))
wrong (const char *format, ...)
{
  char text[sizeof verdict];
  bool first;
  va_list args;

  va_start (args, format);
  vsnprintf (text, sizeof text, format, args);
  va_end (args);
  pthread_mutex_lock (&verdict_lock);
  first = n_wrong++ == 0;
  if (first)
    memcpy (verdict, text, sizeof verdict);
  pthread_mutex_unlock (&verdict_lock);
  if (first)
    say ("found BAD %s", text);
}

static void
die (const char *what)
{
  say ("died: %s: %s", what, strerror (errno));
  sync ();
  reboot (RB_POWER_OFF);
  _exit (1);
}

static uint64_t
now_us (void)
{
  struct timespec t;

  clock_gettime (CLOCK_MONOTONIC, &t);
  return t.tv_sec * UINT64_C (1000000) + t.tv_nsec / 1000;
}

static void
sleep_us (uint64_t us)
{
  nanosleep (&(struct timespec) { us / 1000000, us % 1000000 * 1000 }, NULL);
}

static uint64_t
parameter (const char *name, uint64_t otherwise)
{
  static char line[4096];
  char key[64];
  const char *found;

  if (line[0] == '\0')
    {
      int fd = open ("/proc/cmdline", O_RDONLY);
      ssize_t n = read (fd, line + 1, sizeof line - 2);

      line[0] = ' ';
      line[n > 0 ? n + 1 : 1] = '\0';
      close (fd);
    }
  snprintf (key, sizeof key, " oracle.%s=", name);
  found = strstr (line, key);
  return found != NULL ? strtoull (found + strlen (key), NULL, 10) : otherwise;
}

static void
pin_to (unsigned cpu, bool urgent)
{
  cpu_set_t set;

  CPU_ZERO (&set);
  CPU_SET (cpu, &set);
  sched_setaffinity (0, sizeof set, &set);
  if (urgent)
    sched_setscheduler (0, SCHED_FIFO, &(struct sched_param) { .sched_priority = 1 });
}

static void
start_thread (void *(*run) (void *), void *data)
{
  pthread_t thread;

  if ((errno = pthread_create (&thread, NULL, run, data)) != 0)
    die ("pthread_create");
  pthread_detach (thread);
}

/* --- memory --- */

static uint64_t
mix (uint64_t index, uint64_t generation)
{
  return next_random ((index + 1) * UINT64_C (0x9e3779b97f4a7c15) ^ (generation << 1 | 1));
}

static uint64_t
checksum_of (const uint64_t *page)
{
  uint64_t h = UINT64_C (0xcbf29ce484222325);

  for (unsigned i = 0; i < PAGE_WORDS; i++)
    if (i != W_CHECKSUM)
      h = (h ^ page[i]) * UINT64_C (0x9e3779b97f4a7c15) + (h >> 29);
  return h;
}

static void
fill_page (uint64_t index, uint64_t generation)
{
  uint64_t *page = pages[index];
  uint64_t x = mix (index, generation) ^ boot_seed;
  unsigned n_random = (PAGE_WORDS - W_PAYLOAD) * random_percent / 100;

  x += x == 0;
  page[W_MAGIC] = PAGE_MAGIC;
  page[W_INDEX] = index;
  page[W_GENERATION] = generation;
  page[W_TICK] = counter;
  page[W_SEED] = boot_seed;
  for (unsigned i = W_PAYLOAD; i < W_PAYLOAD + n_random; i++)
    page[i] = x = next_random (x);
  for (unsigned i = W_PAYLOAD + n_random; i < PAGE_WORDS; i++)
    page[i] = (index & 7) * UINT64_C (0x0101010101010101) + i;
  page[W_CHECKSUM] = checksum_of (page);
}

static bool
page_is_right (uint64_t index)
{
  const uint64_t *page = pages[index];

  if (page[W_MAGIC] != PAGE_MAGIC)
    wrong ("page %lu: no page of ours, begins with %016lx", index, page[W_MAGIC]);
  else if (page[W_CHECKSUM] != checksum_of (page))
    wrong ("page %lu: checksum", index);
  else if (page[W_INDEX] != index)
    wrong ("page %lu: holds page %lu", index, page[W_INDEX]);
  else if (page[W_SEED] != boot_seed)
    wrong ("page %lu: of another boot", index);
  else if (page[W_GENERATION] != generations[index])
    wrong ("page %lu: of another instant, generation %lu instead of %lu", index, page[W_GENERATION],
           generations[index]);
  else if (page[W_TICK] > counter)
    wrong ("page %lu: of a later instant, tick %lu while the counter is %lu", index, page[W_TICK], counter);
  else
    return true;
  return false;
}

static uint64_t
share_size (const Writer *w)
{
  return (n_pages - w->cpu + n_cpus - 1) / n_cpus;
}

static void
rewrite_page (Writer *w, uint64_t position)
{
  uint64_t index = position * n_cpus + w->cpu;
  uint64_t generation = generations[index];

  page_is_right (index);
  w->sum += mix (index, generation + 1) - mix (index, generation);
  generations[index] = generation + 1;
  fill_page (index, generation + 1);
}

static void
sweep_share (Writer *w)
{
  uint64_t sum = 0;

  for (uint64_t index = w->cpu; index < n_pages; index += n_cpus)
    {
      page_is_right (index);
      sum += mix (index, generations[index]);
    }
  if (sum != w->sum)
    wrong ("memory of vCPU %u: pages of several instants", w->cpu);
}

static void
serve_writer (Writer *w)
{
  unsigned wanted = w->sweep_wanted;
  uint64_t n = w->dirty_wanted;

  for (uint64_t i = 0; i < n; i++)
    rewrite_page (w, w->dirty_cursor++ % share_size (w));
  w->dirty_wanted -= n;
  if (w->sweep_done != wanted)
    {
      sweep_share (w);
      w->sweep_done = wanted;
    }
}

static void *
run_writer (void *data)
{
  Writer *w = data;
  uint64_t last = now_us ();
  double due = 0, due_sweep = 0;   /* pages */

  pin_to (w->cpu, false);
  for (;;)
    {
      uint64_t now = now_us ();
      double share = (now - last > 100000 ? 100000 : now - last) / 1e6 / n_cpus / 4;

      last = now;
      for (due += rate_kib * share; due >= 1; due--)
        rewrite_page (w, (w->random = next_random (w->random)) % share_size (w));
      for (due_sweep += sweep_kib * share; due_sweep >= 1; due_sweep--)
        page_is_right (w->sweep_cursor++ % share_size (w) * n_cpus + w->cpu);
      serve_writer (w);
      sleep_us (LOOP_US);
    }
  return NULL;
}

/* Fills the region, one writer's share after the other, and starts the writers. */
static void
start_memory (uint64_t mib)
{
  n_pages = mib * (1 << 20) / PAGE_SIZE;
  pages = mmap (NULL, n_pages * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  generations = mmap (NULL, n_pages * sizeof *generations, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (pages == MAP_FAILED || generations == MAP_FAILED || n_pages < n_cpus)
    die ("memory region");
  for (uint64_t i = 0; i < n_pages; i++)
    {
      generations[i] = 1;
      fill_page (i, 1);
      writers[i % n_cpus].sum += mix (i, 1);
    }
  for (unsigned i = 0; i < n_cpus; i++)
    {
      writers[i].cpu = i;
      writers[i].random = boot_seed + i + 1;
      start_thread (run_writer, &writers[i]);
    }
}

/* --- disks --- */

static void *
direct_buffer (size_t size)
{
  void *buffer = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (buffer == MAP_FAILED)
    die ("buffer");
  return buffer;
}

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
    buffer = direct_buffer (RING_SIZE);
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
    buffer = direct_buffer (CHUNK);
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
check_disks (void)
{
  void *ring = direct_buffer (RING_SIZE);

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
      unsigned wanted = disk_check_wanted;
      uint64_t now = now_us ();

      if (disk_check_done != wanted)
        {
          check_disks ();
          disk_check_done = wanted;
        }
      for (; steps_done != steps_wanted; steps_done++)
        do_tick ();
      if (tick_ms != 0 && now >= next)
        {
          do_tick ();
          next = now + tick_ms * 1000;
        }
      now = now_us ();
      if (tick_ms == 0 || next > now + LOOP_US)
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
  ring = direct_buffer (RING_SIZE);
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

/* Opens the disks, looks whether they are of one instant among themselves, brings the later ones up to the first. */
static void
start_disks (uint64_t max_blocks)
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
  for (unsigned i = 0; i < n_disks && n_wrong == 0; i++)
    {
      static void *buffer;
      uint64_t block = tick_block (first, disks[i].n_blocks), next = tick_block (first + 1, disks[i].n_blocks);

      buffer = buffer != NULL ? buffer : direct_buffer (DATA_BLOCK_SIZE);
      if (disks[i].tick < first)   /* a crash came between the disks */
        {
          fill_record (buffer, DATA_BLOCK_SIZE, BLOCK_MAGIC, block, first);
          write_disk (&disks[i], buffer, DATA_BLOCK_SIZE, DATA_START + block * DATA_BLOCK_SIZE);
          fill_record (buffer, SLOT_SIZE, SLOT_MAGIC, first % RING_SLOTS, first);
          write_disk (&disks[i], buffer, SLOT_SIZE, first % RING_SLOTS * SLOT_SIZE);
          disks[i].tick = first;
        }
      fill_record (buffer, DATA_BLOCK_SIZE, BLOCK_MAGIC, next, block_tick (next, first, disks[i].n_blocks));
      write_disk (&disks[i], buffer, DATA_BLOCK_SIZE, DATA_START + next * DATA_BLOCK_SIZE);
    }
  counter = committed = first;
}

/* --- the answers --- */

static void
raise_to (_Atomic uint64_t *longest, uint64_t us)
{
  uint64_t seen = *longest;

  while (us > seen && !atomic_compare_exchange_weak (longest, &seen, us))
    ;
}

/* Notices when this vCPU did not run: wakes up every 2 ms and measures how much later it was. */
static void *
run_stall (void *data)
{
  uint64_t last, now;

  pin_to ((unsigned) (uintptr_t) data, true);
  for (last = now_us ();; last = now)
    {
      sleep_us (STALL_PERIOD_US);
      now = now_us ();
      if (now - last > STALL_PERIOD_US)
        {
          raise_to (&stall_asked_us, now - last - STALL_PERIOD_US);
          raise_to (&stall_ticked_us, now - last - STALL_PERIOD_US);
        }
    }
  return NULL;
}

static void *
run_tick_lines (void *data)
{
  for (;;)
    {
      sleep_us (1000000);
      say ("tick n=%lu stall_max_us=%lu", committed, atomic_exchange (&stall_ticked_us, 0));
    }
  return NULL;
}

/* "n=7 counter=7 committed=7 vda=7 vdb=7" */
static void
describe (char *text, size_t size)
{
  uint64_t n = committed;
  int at = snprintf (text, size, "n=%lu counter=%lu committed=%lu", n, counter, n);

  for (unsigned i = 0; i < n_disks; i++)
    at += snprintf (text + at, size - at, " %s=%lu", disks[i].name, disks[i].tick);
}

static void
answer_verdict (const char *tag, const char *command)
{
  char state[200], found[sizeof verdict];
  unsigned n;

  describe (state, sizeof state);
  pthread_mutex_lock (&verdict_lock);
  n = n_wrong;
  memcpy (found, verdict, sizeof found);
  pthread_mutex_unlock (&verdict_lock);
  if (n == 0)
    say ("%s%s ok pages=%lu %s", tag, command, n_pages, state);
  else
    say ("%s%s BAD pages=%lu %s found=%u first: %s", tag, command, n_pages, state, n, found);
}

static void
answer_check (const char *tag)
{
  unsigned wanted = disk_check_wanted + 1;

  disk_check_wanted = wanted;
  for (unsigned i = 0; i < n_cpus; i++)
    writers[i].sweep_wanted = wanted;
  for (unsigned i = 0; i < n_cpus; i++)
    while (writers[i].sweep_done != wanted)
      sleep_us (1000);
  while (disk_check_done != wanted)
    sleep_us (1000);
  answer_verdict (tag, "check");
}

static void
answer_dirty (const char *tag, uint64_t mib)
{
  uint64_t n = mib * (1 << 20) / PAGE_SIZE;

  for (unsigned i = 0; i < n_cpus; i++)
    writers[i].dirty_wanted += n / n_cpus + (i < n % n_cpus);
  for (unsigned i = 0; i < n_cpus; i++)
    while (writers[i].dirty_wanted > 0)
      sleep_us (1000);
  say ("%sdirty pages=%lu", tag, n);
}

static void
answer_sync (const char *tag)
{
  uint64_t n = committed;

  while (tick_ms != 0 && committed < n + 2)
    sleep_us (1000);
  say ("%ssync n=%lu", tag, committed);
}

static void
answer_step (const char *tag)
{
  unsigned wanted = ++steps_wanted;

  while (steps_done != wanted)
    sleep_us (1000);
  say ("%sstep n=%lu", tag, committed);
}

/* Commands, one a line, "#TAG " before it is repeated in the answer:
 *   check       verify all memory and all disks now    status      what is known without looking
 *   sync        answer after a whole tick from now      stall       longest stall since last asked
 *   rate KIB    dirty so much memory per second         tick MS     one tick every so often; 0: none
 *   dirty MIB   rewrite so much memory, then answer     step        do one tick, then answer
 *   sweep KIB   verify so much memory per second        poweroff */
static void
run_command (char *line)
{
  char tag[40] = "";
  char *command = line, *argument;
  uint64_t value;

  if (line[0] == '#')
    {
      command = line + strcspn (line, " ");
      snprintf (tag, sizeof tag, "%.*s ", (int) (command - line), line);
      command += *command == ' ';
    }
  argument = command + strcspn (command, " ");
  if (*argument == ' ')
    *argument++ = '\0';
  value = strtoull (argument, NULL, 10);
  if (strcmp (command, "check") == 0)
    answer_check (tag);
  else if (strcmp (command, "status") == 0)
    answer_verdict (tag, "status");
  else if (strcmp (command, "sync") == 0)
    answer_sync (tag);
  else if (strcmp (command, "step") == 0)
    answer_step (tag);
  else if (strcmp (command, "stall") == 0)
    say ("%sstall max_us=%lu", tag, atomic_exchange (&stall_asked_us, 0));
  else if (strcmp (command, "dirty") == 0)
    answer_dirty (tag, value);
  else if (strcmp (command, "rate") == 0)
    say ("%srate %lu", tag, rate_kib = value);
  else if (strcmp (command, "sweep") == 0)
    say ("%ssweep %lu", tag, sweep_kib = value);
  else if (strcmp (command, "tick") == 0)
    say ("%stick %lu", tag, tick_ms = value);
  else if (strcmp (command, "poweroff") == 0)
    {
      say ("%spoweroff", tag);
      tcdrain (console);
      reboot (RB_POWER_OFF);
    }
  else if (command[0] != '\0')
    say ("%sunknown command '%s'", tag, command);
}

static void
run_console (void)
{
  char line[200];
  size_t length = 0;

  for (;;)
    {
      char c;
      ssize_t n = read (console, &c, 1);

      if (n <= 0)
        {
          sleep_us (10000);
          continue;
        }
      if (c == '\n' || c == '\r')
        {
          line[length] = '\0';
          length = 0;
          run_command (line);
        }
      else if (length < sizeof line - 1)
        line[length++] = c;
    }
}

static void
open_console (void)
{
  struct termios t;
  int fd = open ("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);

  if (fd < 0 || tcgetattr (fd, &t) < 0)
    return;
  cfmakeraw (&t);
  t.c_oflag = OPOST | ONLCR;
  t.c_cflag |= CLOCAL | CREAD;
  cfsetspeed (&t, B115200);
  tcsetattr (fd, TCSANOW, &t);
  console = fd;
}

/* The list names one module a line, in the order in which they need one another. */
static void
load_modules (void)
{
  FILE *list = fopen ("/modules/list", "r");
  char name[200], path[220];

  while (list != NULL && fscanf (list, "%199s", name) == 1)
    {
      int fd;

      snprintf (path, sizeof path, "/modules/%s", name);
      fd = open (path, O_RDONLY | O_CLOEXEC);
      if (fd < 0 || (syscall (SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
        say ("cannot load %s: %s", name, strerror (errno));
      close (fd);
    }
}

int
main (void)
{
  signal (SIGPIPE, SIG_IGN);
  mkdir ("/proc", 0755);
  mkdir ("/sys", 0755);
  mkdir ("/dev", 0755);
  mount ("proc", "/proc", "proc", 0, NULL);
  mount ("sysfs", "/sys", "sysfs", 0, NULL);
  mount ("devtmpfs", "/dev", "devtmpfs", 0, NULL);
  open_console ();
  load_modules ();

  n_cpus = sysconf (_SC_NPROCESSORS_ONLN);
  if (n_cpus > MAX_CPUS)
    n_cpus = MAX_CPUS;
  syscall (SYS_getrandom, &boot_seed, sizeof boot_seed, 1 /* GRND_NONBLOCK */);
  boot_seed ^= now_us ();
  boot_seed >>= 1;
  random_percent = parameter ("random", 50) % 101;
  rate_kib = parameter ("rate", 4096);
  sweep_kib = parameter ("sweep", 1024);
  tick_ms = parameter ("tick", 10);

  start_disks (parameter ("blocks", 2048));
  answer_verdict ("", "boot");
  start_memory (parameter ("mem", 64));
  start_thread (run_disks, NULL);
  for (uintptr_t i = 0; i < n_cpus; i++)
    start_thread (run_stall, (void *) i);
  start_thread (run_tick_lines, NULL);
  say ("ready pages=%lu vcpus=%u disks=%u", n_pages, n_cpus, n_disks);
  run_console ();
  return 0;
}
