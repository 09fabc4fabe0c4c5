/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/ram-watch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "memsnap/userfault.h"
#include "util/error.h"
#include "util/file.h"

enum
{
  PAGE = 4096,
  HUGE_PAGE = 2 << 20,
  RUNS = 512,        /* asked for at a time */
  VECTORS = 1024,    /* in one system call */
};

#define IS_THERE (PV_PAGE_IS_PRESENT | PV_PAGE_IS_SWAPPED)

/* One block. Bit n is page n. */
typedef struct
{
  guint64 address, n_pages;
  guint64 *pending; /* (owned): written since they were read */
  guint64 *there;   /* (owned): as of the last scan; others are zero */
  guint64 *taken;   /* (owned): were there when they were taken */
} Block;

struct _PvRamWatch
{
  pid_t pid;
  PvFd pagemap;
  GArray *blocks;   /* (owned) (element-type Block) */
  guint64 pending;  /* pages, those included that are zero now */
  guint at_block;   /* where take() goes on */
  guint64 at_page;
};

static gsize
n_words (const Block *block)
{
  return (block->n_pages + 63) / 64;
}

static void
mark_run (guint64 *bitmap, guint64 from, guint64 to, gboolean on)
{
  while (from < to)
    {
      guint64 n = MIN (to - from, 64 - from % 64);
      guint64 bits = G_MAXUINT64 >> (64 - n) << (from % 64);

      if (on)
        bitmap[from / 64] |= bits;
      else
        bitmap[from / 64] &= ~bits;
      from += n;
    }
}

static void
clear_block (gpointer data)
{
  Block *block = data;

  g_free (block->pending);
  g_free (block->there);
  g_free (block->taken);
}

/* Of 64 pages: those to be read, and those that are zero now and were there once. */
static guint64
to_read (const Block *block, gsize word)
{
  return block->pending[word] & block->there[word];
}

static guint64
to_zero (const Block *block, gsize word)
{
  return block->taken[word] & ~block->there[word];
}

static void
count_pending (PvRamWatch *self)
{
  self->pending = 0;
  for (guint i = 0; i < self->blocks->len; i++)
    {
      const Block *block = &g_array_index (self->blocks, Block, i);

      for (gsize word = 0; word < n_words (block); word++)
        self->pending += (guint64) __builtin_popcountll (to_read (block, word) | to_zero (block, word));
    }
}

/* --- scanning --- */

static gboolean
throw_scan (int errnum, GError **error)
{
  if (errnum == ENOTTY || errnum == EINVAL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "this kernel has no PAGEMAP_SCAN: Linux 6.7 or newer is needed");
  if (errnum == EPERM)
    return pv_throw (error, PV_ERROR_BUSY, "part of the guest's memory is watched no more");
  return pv_throw_errno (error, errnum, "cannot ask which pages were written to");
}

typedef enum
{
  SCAN_WRITTEN, /* marks them pending, and watches them again */
  SCAN_GONE,    /* those that are not there: marks them so */
  SCAN_PEEK,    /* counts the written ones */
} ScanKind;

static int
scan_some (PvRamWatch *self, ScanKind kind, guint64 *at, guint64 end, PvPageRun *runs, guint *n)
{
  switch (kind)
    {
    case SCAN_WRITTEN:
      return pv_pagemap_scan_written (self->pagemap, IS_THERE, at, end, runs, RUNS, n);
    case SCAN_GONE:
      return pv_pagemap_scan_without (self->pagemap, IS_THERE, at, end, runs, RUNS, n);
    case SCAN_PEEK:
      return pv_pagemap_scan (self->pagemap, PV_PAGE_IS_WRITTEN, IS_THERE, at, end, runs, RUNS, n);
    }
  g_assert_not_reached ();
}

static gboolean
scan_block (PvRamWatch *self, Block *block, ScanKind kind, guint64 *count, GError **error)
{
  guint64 at = block->address, end = block->address + block->n_pages * PAGE;
  PvPageRun runs[RUNS];
  guint n;

  while (at < end)
    {
      int errnum = scan_some (self, kind, &at, end, runs, &n);

      if (errnum == EINTR)
        continue;
      if (errnum != 0)
        return throw_scan (errnum, error);
      for (guint i = 0; i < n; i++)
        {
          guint64 from = (runs[i].start - block->address) / PAGE, to = (runs[i].end - block->address) / PAGE;

          *count += to - from;
          if (kind == SCAN_WRITTEN)
            mark_run (block->pending, from, to, TRUE);
          else if (kind == SCAN_GONE)
            mark_run (block->there, from, to, FALSE);
        }
    }
  return TRUE;
}

gboolean
pv_ram_watch_scan (PvRamWatch *self, GError **error)
{
  guint64 count = 0;

  for (guint i = 0; i < self->blocks->len; i++)
    {
      Block *block = &g_array_index (self->blocks, Block, i);

      /* the kernel tells what few pages are much faster than what many are */
      mark_run (block->there, 0, block->n_pages, TRUE);
      if (!scan_block (self, block, SCAN_WRITTEN, &count, error)
          || !scan_block (self, block, SCAN_GONE, &count, error))
        return FALSE;
    }
  count_pending (self);
  self->at_block = 0;
  self->at_page = 0;
  return TRUE;
}

gboolean
pv_ram_watch_peek (PvRamWatch *self, guint64 *n_pages, GError **error)
{
  *n_pages = 0;
  for (guint i = 0; i < self->blocks->len; i++)
    if (!scan_block (self, &g_array_index (self->blocks, Block, i), SCAN_PEEK, n_pages, error))
      return FALSE;
  return TRUE;
}

guint64
pv_ram_watch_pending (const PvRamWatch *self)
{
  return self->pending;
}

/* --- object --- */

static gboolean
add_block (PvRamWatch *self, const PvRamMapBlock *from, int userfaultfd, GError **error)
{
  Block block = { .address = from->address, .n_pages = from->size / PAGE };
  int errnum = pv_userfault_register (userfaultfd, from->address, from->size, UFFDIO_REGISTER_MODE_WP);

  if (errnum == EBUSY)
    return pv_throw (error, PV_ERROR_BUSY, "the guest's memory is watched by somebody else already (a background "
                     "snapshot, a restore that is not through): wait for that to end");
  if (errnum != 0)
    return pv_throw_errno (error, errnum, "cannot watch the memory block %s", from->name);
  block.pending = g_new0 (guint64, n_words (&block));
  block.there = g_new0 (guint64, n_words (&block));
  block.taken = g_new0 (guint64, n_words (&block));
  g_array_append_val (self->blocks, block);
  return TRUE;
}

PvRamWatch *
pv_ram_watch_new (const PvRamMap *map, pid_t pid, int userfaultfd, GError **error)
{
  g_autoptr(PvRamWatch) self = g_new0 (PvRamWatch, 1);
  g_autofree char *path = g_strdup_printf ("/proc/%d/pagemap", (int) pid);

  self->pid = pid;
  self->blocks = g_array_new (FALSE, FALSE, sizeof (Block));
  g_array_set_clear_func (self->blocks, clear_block);
  self->pagemap = pv_openat (AT_FDCWD, path, O_RDONLY, 0, error);
  if (self->pagemap < 0)
    return NULL;
  for (guint i = 0; i < pv_ram_map_n_blocks (map); i++)
    if (!add_block (self, pv_ram_map_block (map, i), userfaultfd, error))
      return NULL;
  return g_steal_pointer (&self);
}

void
pv_ram_watch_free (PvRamWatch *self)
{
  if (self == NULL)
    return;
  pv_fd_clear (&self->pagemap);
  g_array_unref (self->blocks);
  g_free (self);
}

/* --- taking --- */

PvRamPages *
pv_ram_pages_new (gsize size)
{
  PvRamPages *self = g_new0 (PvRamPages, 1);

  self->pieces = g_array_new (FALSE, FALSE, sizeof (PvRamPiece));
  self->buffer = g_aligned_alloc (1, size, size < HUGE_PAGE ? PAGE : HUGE_PAGE);
  self->size = size;
  /* a fault for each page of it would cost more than what is read into it */
  if (size >= HUGE_PAGE && madvise (self->buffer, size / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE) < 0)
    g_debug ("this host has no transparent huge pages");
  memset (self->buffer, 0xff, size);
  return self;
}

void
pv_ram_pages_free (PvRamPages *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->pieces);
  g_aligned_free (self->buffer);
  g_free (self);
}

static gboolean
is_wanted (const Block *block, guint64 page, gboolean zero)
{
  guint64 word = zero ? to_zero (block, page / 64) : to_read (block, page / 64);

  return (word >> (page % 64) & 1) != 0;
}

/* The next page of @block from @page on that is to be taken; n_pages: none. */
static guint64
next_wanted (const Block *block, guint64 page)
{
  while (page < block->n_pages)
    {
      guint64 word = (to_read (block, page / 64) | to_zero (block, page / 64)) >> (page % 64);

      if (word != 0)
        return page + (guint64) __builtin_ctzll (word);
      page = (page / 64 + 1) * 64;
    }
  return block->n_pages;
}

/* The next run of pages to be taken; @max: bytes, if they are to be read. @zero: (out). FALSE: there is none. */
static gboolean
next_piece (PvRamWatch *self, gsize max, PvRamPiece *piece, gboolean *zero)
{
  for (; self->at_block < self->blocks->len; self->at_block++, self->at_page = 0)
    {
      const Block *block = &g_array_index (self->blocks, Block, self->at_block);
      guint64 from = next_wanted (block, self->at_page), to = from;

      if (from >= block->n_pages)
        continue;
      *zero = is_wanted (block, from, TRUE);
      while (to < block->n_pages && is_wanted (block, to, *zero) && (*zero || (to - from) * PAGE < max))
        to++;
      *piece = (PvRamPiece){ self->at_block, from * PAGE, (to - from) * PAGE, NULL };
      return TRUE;
    }
  return FALSE;
}

/* It is taken: neither pending nor, when it is zero, of any interest. */
static void
settle_piece (PvRamWatch *self, const PvRamPiece *piece)
{
  Block *block = &g_array_index (self->blocks, Block, piece->block);

  for (guint64 page = piece->offset / PAGE; page < (piece->offset + piece->size) / PAGE; page++)
    {
      guint64 bit = G_GUINT64_CONSTANT (1) << (page % 64);

      block->pending[page / 64] &= ~bit;
      if (piece->bytes != NULL)
        block->taken[page / 64] |= bit;
      else
        block->taken[page / 64] &= ~bit;
    }
  self->at_page = (piece->offset + piece->size) / PAGE;
  self->pending -= piece->size / PAGE;
}

static gboolean
read_vectors (PvRamWatch *self, guint8 *to, const struct iovec *vectors, guint n, gsize size, GError **error)
{
  struct iovec local = { to, size };
  ssize_t done = n > 0 ? process_vm_readv (self->pid, &local, 1, vectors, n, 0) : 0;

  if (done < 0)
    return pv_throw_errno (error, errno, "cannot read the memory of QEMU (process %d)", (int) self->pid);
  return (gsize) done == size
         || pv_throw (error, PV_ERROR_BUSY, "part of the guest's memory went away while it was read: try again");
}

gboolean
pv_ram_watch_take (PvRamWatch *self, PvRamPages *pages, GError **error)
{
  struct iovec vectors[VECTORS];
  gsize used = 0;
  guint n = 0;
  PvRamPiece piece;
  gboolean zero;

  g_array_set_size (pages->pieces, 0);
  while (n < VECTORS && used < pages->size && next_piece (self, pages->size - used, &piece, &zero))
    {
      const Block *block = &g_array_index (self->blocks, Block, piece.block);

      if (!zero)
        {
          vectors[n++] = (struct iovec){ (gpointer) (gsize) (block->address + piece.offset), piece.size };
          piece.bytes = pages->buffer + used;
          used += piece.size;
        }
      settle_piece (self, &piece);
      g_array_append_val (pages->pieces, piece);
    }
  return read_vectors (self, pages->buffer, vectors, n, used, error);
}

/* Of 64 pages: there, not written to since, and never taken. */
static guint64
to_keep (const Block *block, gsize word)
{
  return block->there[word] & ~block->pending[word] & ~block->taken[word];
}

/* The first page from @page on whose bit in to_keep() is @wanted; n_pages: none. */
static guint64
next_kept (const Block *block, guint64 page, gboolean wanted)
{
  while (page < block->n_pages)
    {
      guint64 word = (wanted ? to_keep (block, page / 64) : ~to_keep (block, page / 64)) >> (page % 64);

      if (word != 0)
        return MIN (page + (guint64) __builtin_ctzll (word), block->n_pages);
      page = (page / 64 + 1) * 64;
    }
  return block->n_pages;
}

void
pv_ram_watch_keep (PvRamWatch *self, GArray *pieces)
{
  for (guint i = 0; i < self->blocks->len; i++)
    {
      Block *block = &g_array_index (self->blocks, Block, i);
      guint64 from = next_kept (block, 0, TRUE);

      while (from < block->n_pages)
        {
          guint64 to = next_kept (block, from, FALSE);
          PvRamPiece piece = { i, from * PAGE, (to - from) * PAGE, NULL };

          mark_run (block->taken, from, to, TRUE);
          g_array_append_val (pieces, piece);
          from = next_kept (block, to, TRUE);
        }
    }
}
