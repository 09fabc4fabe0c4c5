/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "oracle.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "disk-rule.h"

enum { PAGE_SIZE = 4096, PAGE_WORDS = PAGE_SIZE / 8 };

#define PAGE_MAGIC UINT64_C (0x4547415052494f52)

enum { W_MAGIC, W_INDEX, W_GENERATION, W_TICK, W_SEED, W_CHECKSUM, W_PAYLOAD };

typedef struct
{
  unsigned cpu;
  uint64_t sum;               /* of mix () over this writer's pages */
  uint64_t random;
  uint64_t dirty_cursor;      /* next page to be dirtied on demand, counted within this writer's share */
  uint64_t sweep_cursor;      /* next page of the background sweep */
  atomic_ulong dirty_wanted;  /* pages */
  atomic_uint sweep_wanted, sweep_done;
} Writer;

atomic_ulong rate_kib, sweep_kib;
uint64_t n_pages;

static uint64_t (*pages)[PAGE_WORDS];
static uint64_t *generations;   /* one per page: what the page must say */
static uint64_t boot_seed;
static unsigned random_percent;
static Writer writers[MAX_CPUS];

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

/* Fills the region, and starts the writers. */
void
memory_start (uint64_t mib)
{
  syscall (SYS_getrandom, &boot_seed, sizeof boot_seed, 1 /* GRND_NONBLOCK */);
  boot_seed = (boot_seed ^ now_us ()) >> 1;
  random_percent = parameter ("random", 50) % 101;
  rate_kib = parameter ("rate", 4096);
  sweep_kib = parameter ("sweep", 1024);
  n_pages = mib * (1 << 20) / PAGE_SIZE;
  if (n_pages < n_cpus)
    die ("oracle.mem: too little");
  pages = zero_pages (n_pages * PAGE_SIZE);
  generations = zero_pages (n_pages * sizeof *generations);
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

void
memory_check (void)
{
  static unsigned wanted;

  wanted++;
  for (unsigned i = 0; i < n_cpus; i++)
    writers[i].sweep_wanted = wanted;
  for (unsigned i = 0; i < n_cpus; i++)
    while (writers[i].sweep_done != wanted)
      sleep_us (1000);
}

void
memory_dirty (uint64_t n)
{
  for (unsigned i = 0; i < n_cpus; i++)
    writers[i].dirty_wanted += n / n_cpus + (i < n % n_cpus);
  for (unsigned i = 0; i < n_cpus; i++)
    while (writers[i].dirty_wanted > 0)
      sleep_us (1000);
}
