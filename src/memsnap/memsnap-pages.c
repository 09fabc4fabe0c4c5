/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/memsnap-pages.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memsnap/memsnap-service.h"
#include "memsnap/memsnap-trap.h"
#include "memsnap/userfault.h"

enum
{
  STEP = 4096,        /* bytes copied through a buffer at a time */
  AROUND = 16,        /* pages made resident when one is read, while there is no limit */
  SLACK = 64 * 4096,  /* bytes that views may be above the limit when nothing can be dropped */
};

static guint64
view_of (const PvMemsnapRegion *region, gsize page)
{
  return region->view + page * region->page_size;
}

static guint64
source_of (const PvMemsnapRegion *region, gsize page)
{
  return region->start + page * region->page_size;
}

static off_t
spill_offset (const PvMemsnapRegion *region, gsize page)
{
  return (off_t) ((region->first + page) * region->page_size);
}

static void
set_held (PvMemsnap *self, gssize change)
{
  gsize held = self->stats.held_bytes + (gsize) change;

  __atomic_store_n (&self->stats.held_bytes, held, __ATOMIC_RELAXED);
  if (held > self->stats.held_max_bytes)
    __atomic_store_n (&self->stats.held_max_bytes, held, __ATOMIC_RELAXED);
}

static void
drop_view (PvMemsnap *self, PvMemsnapRegion *region, gsize first, gsize n)
{
  gsize length = n * region->page_size;

  if (self->trapped)
    {
      mprotect ((gpointer) view_of (region, first), length, PROT_NONE);
      fallocate (self->view_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                 (off_t) (region->alias_offset + first * region->page_size), (off_t) length);
    }
  else
    madvise ((gpointer) view_of (region, first), length, MADV_DONTNEED);
}

/* Drops one page that can be had again; FALSE when there is none. */
static gboolean
evict_one (PvMemsnap *self)
{
  for (guint turns = 0; turns <= self->n_regions; turns++)
    {
      PvMemsnapRegion *region = &self->regions[self->evict_region];

      for (; self->evict_page < region->n_pages; self->evict_page++)
        {
          guint8 state = region->pages[self->evict_page];

          if ((state & PV_PAGE_RESIDENT) == 0 || (state & PV_PAGE_PLACE) == PV_PAGE_COPIED
              || ((state & PV_PAGE_PLACE) == PV_PAGE_SHARED && self->phase != PV_PHASE_LIVE))
            continue;
          pv_page_store (region, self->evict_page, state & ~PV_PAGE_RESIDENT);
          drop_view (self, region, self->evict_page, 1);
          set_held (self, -(gssize) region->page_size);
          return TRUE;
        }
      self->evict_region = (self->evict_region + 1) % self->n_regions;
      self->evict_page = 0;
    }
  return FALSE;
}

static gboolean
make_room (PvMemsnap *self, gsize bytes)
{
  while (self->limit != 0 && self->stats.held_bytes + bytes > self->limit)
    {
      if (!evict_one (self))
        return FALSE;
    }
  return TRUE;
}

/* Page content from address @from into the view. */
static int
fill_from (PvMemsnap *self, PvMemsnapRegion *region, gsize page, gsize n, guint64 from)
{
  gsize length = n * region->page_size;

  if (!self->trapped)
    return pv_userfault_copy (pv_service_view_fd (), view_of (region, page), from, length, STEP);
  return pv_copy_memory ((gpointer) (region->alias + page * region->page_size), from, length);
}

/* Page content from where the engine has it, or from the spill file, into the view. */
static int
fill (PvMemsnap *self, PvMemsnapRegion *region, gsize page, gboolean spilled)
{
  char buffer[STEP] __attribute__ ((aligned (STEP)));
  int errnum = 0;

  if (!spilled && self->ops->in_place)
    return fill_from (self, region, page, 1, source_of (region, page));
  for (gsize at = 0; at < region->page_size && errnum == 0; at += STEP)
    {
      gsize offset = page * region->page_size + at;

      if (!spilled)
        errnum = self->ops->fetch (self, region, offset, buffer, STEP);
      else if (pread (self->spill_fd, buffer, STEP, spill_offset (region, page) + (off_t) at) != STEP)
        errnum = EIO;
      if (errnum == 0 && self->trapped)
        errnum = pv_copy_memory ((gpointer) (region->alias + offset), (guint64) (gsize) buffer, STEP);
      else if (errnum == 0)
        errnum = pv_userfault_copy (pv_service_view_fd (), region->view + offset, (guint64) (gsize) buffer, STEP, STEP);
    }
  return errnum;
}

static int
spill (PvMemsnap *self, PvMemsnapRegion *region, gsize page)
{
  gsize done = 0;

  while (done < region->page_size)
    {
      ssize_t n = pwrite (self->spill_fd, (gconstpointer) (source_of (region, page) + done), region->page_size - done,
                          spill_offset (region, page) + (off_t) done);

      if (n < 0 && errno != EINTR)
        return errno;
      done += n < 0 ? 0 : (gsize) n;
    }
  __atomic_add_fetch (&self->stats.spilled_bytes, region->page_size, __ATOMIC_RELAXED);
  return 0;
}

static void
mark (PvMemsnap *self, PvMemsnapRegion *region, gsize page, guint8 state)
{
  if ((state & PV_PAGE_MODIFIED) == 0)
    __atomic_add_fetch (&self->n_modified, 1, __ATOMIC_RELAXED);
  pv_page_store (region, page, state | PV_PAGE_MODIFIED);
}

/* The page is about to be written to. FALSE: not yet. */
static gboolean
save (PvMemsnap *self, PvMemsnapRegion *region, gsize page)
{
  guint8 state = region->pages[page];
  int errnum;

  if (self->phase == PV_PHASE_PREPARING)
    {
      self->n_unarmed += (state & PV_PAGE_UNARMED) == 0;
      pv_page_store (region, page, state | PV_PAGE_UNARMED);
      return TRUE;
    }
  if (self->phase != PV_PHASE_LIVE)
    return TRUE;
  if ((state & PV_PAGE_PLACE) != PV_PAGE_SHARED)
    mark (self, region, page, state);
  else if ((state & PV_PAGE_RESIDENT) != 0)
    {
      mark (self, region, page, state | PV_PAGE_COPIED);
      __atomic_add_fetch (&self->stats.copies, 1, __ATOMIC_RELAXED);
    }
  else if (make_room (self, region->page_size))
    {
      errnum = fill_from (self, region, page, 1, source_of (region, page));
      if (errnum != 0)
        {
          pv_pages_fail (self, errnum, "a page could not be copied");
          return TRUE;
        }
      set_held (self, (gssize) region->page_size);
      __atomic_add_fetch (&self->stats.copies, 1, __ATOMIC_RELAXED);
      mark (self, region, page, state | PV_PAGE_COPIED | PV_PAGE_RESIDENT);
    }
  else if (self->overrun == PV_MEMSNAP_THROTTLE)
    return FALSE;
  else if (self->overrun == PV_MEMSNAP_FAIL)
    pv_pages_fail (self, 0, "more was written to than its limit has room for");
  else if ((errnum = spill (self, region, page)) != 0)
    pv_pages_fail (self, errnum, "the spill file could not be written");
  else
    {
      __atomic_add_fetch (&self->stats.copies, 1, __ATOMIC_RELAXED);
      mark (self, region, page, state | PV_PAGE_SPILLED);
    }
  return TRUE;
}

static PvMemsnapRegion *
region_at (PvMemsnap *self, guint64 address)
{
  for (guint i = 0; i < self->n_regions; i++)
    {
      PvMemsnapRegion *region = &self->regions[i];

      if (address - region->start < region->length)
        return region;
    }
  return NULL;
}

void
pv_guard_add (PvGuard *guard, PvMemsnap *self)
{
  self->next_guarded = guard->first;
  guard->first = self;
}

void
pv_guard_remove (PvGuard *guard, PvMemsnap *self)
{
  for (PvMemsnap **at = &guard->first; *at != NULL; at = &(*at)->next_guarded)
    {
      if (*at == self)
        {
          *at = self->next_guarded;
          break;
        }
    }
}

gboolean
pv_guard_write (PvGuard *guard, guint64 address)
{
  gsize page_size = STEP;
  gboolean may = TRUE;

  for (PvMemsnap *self = guard->first; self != NULL; self = self->next_guarded)
    {
      PvMemsnapRegion *region = region_at (self, address);
      gsize page = region == NULL ? 0 : (address - region->start) / region->page_size;

      if (region == NULL)
        continue;
      page_size = region->page_size;
      if (save (self, region, page))
        continue;
      may = FALSE;
      self->n_waiting += (region->pages[page] & PV_PAGE_WAITING) == 0;
      pv_page_store (region, page, region->pages[page] | PV_PAGE_WAITING);
    }
  if (may)
    guard->protect (address & ~(guint64) (page_size - 1), page_size, FALSE);
  return may;
}

void
pv_guard_defer (PvGuard *guard, guint64 address)
{
  for (PvMemsnap *self = guard->first; self != NULL; self = self->next_guarded)
    {
      PvMemsnapRegion *region = region_at (self, address);
      gsize page = region == NULL ? 0 : (address - region->start) / region->page_size;

      if (region == NULL)
        continue;
      self->n_waiting += (region->pages[page] & PV_PAGE_WAITING) == 0;
      pv_page_store (region, page, region->pages[page] | PV_PAGE_WAITING);
      return;
    }
  guard->protect (address & ~(guint64) (STEP - 1), STEP, FALSE);
}

void
pv_guard_retry (PvGuard *guard)
{
  for (PvMemsnap *self = guard->first; self != NULL; self = self->next_guarded)
    {
      gsize left = self->n_waiting;

      for (guint i = 0; i < self->n_regions && left > 0; i++)
        {
          PvMemsnapRegion *region = &self->regions[i];

          for (gsize page = 0; page < region->n_pages && left > 0; page++)
            {
              if ((region->pages[page] & PV_PAGE_WAITING) == 0)
                continue;
              left--;
              self->n_waiting--;
              pv_page_store (region, page, region->pages[page] & ~PV_PAGE_WAITING);
              pv_guard_write (guard, source_of (region, page));
            }
        }
    }
}

/* Whether protection of the page can go; one that is only being made ready loses it. */
static gboolean
is_free (PvGuard *guard, guint64 address)
{
  for (PvMemsnap *self = guard->first; self != NULL; self = self->next_guarded)
    {
      PvMemsnapRegion *region = region_at (self, address);
      gsize page = region == NULL ? 0 : (address - region->start) / region->page_size;

      if (region != NULL && self->phase == PV_PHASE_LIVE && (region->pages[page] & PV_PAGE_PLACE) == PV_PAGE_SHARED)
        return FALSE;
      if (region != NULL && self->phase == PV_PHASE_PREPARING)
        save (self, region, page);
    }
  return TRUE;
}

void
pv_guard_unguard (PvGuard *guard, PvMemsnapRegion *region, gsize first, gsize n)
{
  gsize run = 0; /* pages before @page whose protection goes */

  for (gsize page = first; page <= first + n; page++)
    {
      if (page < first + n && is_free (guard, source_of (region, page)))
        run++;
      else if (run > 0)
        {
          guard->protect (source_of (region, page - run), run * region->page_size, FALSE);
          run = 0;
        }
    }
}

void
pv_guard_lost (PvGuard *guard, guint64 start, guint64 end, const char *why)
{
  for (PvMemsnap *self = guard->first; self != NULL; self = self->next_guarded)
    {
      for (guint i = 0; i < self->n_regions && self->phase != PV_PHASE_FAILED; i++)
        {
          PvMemsnapRegion *region = &self->regions[i];
          guint64 from = MAX (start, region->start);
          guint64 to = MIN (end, region->start + region->length);

          for (guint64 at = from; at < to && self->phase != PV_PHASE_FAILED; at += region->page_size)
            {
              gsize page = (at - region->start) / region->page_size;
              guint8 state = region->pages[page];

              /* The kernel discards after it has told so, and forgets the protection with the pages. A resident copy
               * of an unchanged page is as good as any. */
              if (self->phase == PV_PHASE_PREPARING)
                pv_pages_fail (self, 0, why);
              else if ((state & (PV_PAGE_PLACE | PV_PAGE_RESIDENT)) == (PV_PAGE_SHARED | PV_PAGE_RESIDENT))
                mark (self, region, page, state | PV_PAGE_COPIED);
              else if ((state & PV_PAGE_PLACE) == PV_PAGE_SHARED)
                pv_pages_fail (self, 0, why);
            }
        }
    }
}

void
pv_guard_uncovered (PvGuard *guard, PvMemsnap *self, guint64 start, guint64 end,
                    void (*each) (guint64 start, guint64 length))
{
  for (PvMemsnap *other = guard->first; other != NULL; other = other->next_guarded)
    {
      for (guint i = 0; other != self && i < other->n_regions; i++)
        {
          guint64 other_start = other->regions[i].start;
          guint64 other_end = other_start + other->regions[i].length;

          if (other_start >= end || other_end <= start)
            continue;
          if (start < other_start)
            pv_guard_uncovered (guard, self, start, other_start, each);
          if (other_end < end)
            pv_guard_uncovered (guard, self, other_end, end, each);
          return;
        }
    }
  each (start, end - start);
}

/* How many pages from @page on may be shown together. */
static gsize
pages_around (PvMemsnap *self, PvMemsnapRegion *region, gsize page)
{
  gsize n = 1;

  if (self->limit != 0 || !self->ops->in_place || self->phase != PV_PHASE_LIVE || region->page_size != STEP)
    return 1;
  while (n < AROUND && page + n < region->n_pages
         && (region->pages[page + n] & (PV_PAGE_PLACE | PV_PAGE_RESIDENT)) == PV_PAGE_SHARED)
    n++;
  return n;
}

static void
show_nothing (PvMemsnap *self, PvMemsnapRegion *region, gsize page)
{
  if (!self->trapped)
    pv_userfault_zero (pv_service_view_fd (), view_of (region, page), region->page_size, STEP);
}

static int
show_shared (PvMemsnap *self, PvMemsnapRegion *region, gsize page)
{
  gsize n = pages_around (self, region, page);
  int errnum;

  errnum = n == 1 ? fill (self, region, page, FALSE) : fill_from (self, region, page, n, source_of (region, page));
  for (gsize i = 0; i < n && errnum == 0; i++)
    pv_page_store (region, page + i, region->pages[page + i] | PV_PAGE_RESIDENT);
  if (errnum == 0)
    set_held (self, (gssize) (n * region->page_size));
  return errnum;
}

/* Makes the page resident, in the memory behind the view. */
static void
bring (PvMemsnap *self, PvMemsnapRegion *region, gsize page)
{
  guint8 state = region->pages[page];
  int errnum = 0;

  while (self->limit != 0 && self->stats.held_bytes + region->page_size > self->limit + SLACK && evict_one (self))
    continue;
  if ((state & PV_PAGE_PLACE) == PV_PAGE_SPILLED)
    {
      errnum = fill (self, region, page, TRUE);
      if (errnum == 0)
        {
          pv_page_store (region, page, state | PV_PAGE_RESIDENT);
          set_held (self, (gssize) region->page_size);
        }
    }
  else
    errnum = show_shared (self, region, page);
  if (errnum != 0)
    {
      pv_pages_fail (self, errnum, "a page could not be shown");
      show_nothing (self, region, page);
    }
}

static void
show_page (PvMemsnap *self, PvMemsnapRegion *region, gsize page)
{
  guint8 state = region->pages[page];

  if ((state & PV_PAGE_RESIDENT) != 0)
    {
      if (!self->trapped)
        pv_userfault_wake (pv_service_view_fd (), view_of (region, page), region->page_size);
    }
  else if ((state & PV_PAGE_PLACE) == PV_PAGE_RELEASED
           || ((state & PV_PAGE_PLACE) == PV_PAGE_SHARED && self->phase == PV_PHASE_FAILED))
    show_nothing (self, region, page);
  else
    bring (self, region, page);
}

void
pv_pages_show (PvMemsnap *self, PvMemsnapRegion *region, gsize page)
{
  gsize first = page, n = 1, size = 1;

  show_page (self, region, page);
  /* When the kernel has no more room for pieces of the view, larger ones are shown. */
  while (self->trapped && mprotect ((gpointer) view_of (region, first), n * region->page_size, PROT_READ) < 0
         && n < region->n_pages)
    {
      size *= 64;
      first = page / size * size;
      n = MIN (size, region->n_pages - first);
      for (gsize i = first; i < first + n; i++)
        show_page (self, region, i);
    }
}

void
pv_pages_release (PvMemsnap *self, PvMemsnapRegion *region, gsize first, gsize n)
{
  gsize run = 0; /* pages before @page whose view goes */

  for (gsize page = first; page <= first + n; page++)
    {
      guint8 state = page < first + n ? region->pages[page] : 0;

      if (page < first + n && (state & PV_PAGE_PLACE) == PV_PAGE_SPILLED)
        {
          fallocate (self->spill_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, spill_offset (region, page),
                     (off_t) region->page_size);
          __atomic_sub_fetch (&self->stats.spilled_bytes, region->page_size, __ATOMIC_RELAXED);
        }
      if (page < first + n)
        pv_page_store (region, page, (state & ~(PV_PAGE_PLACE | PV_PAGE_RESIDENT)) | PV_PAGE_RELEASED);
      if ((state & PV_PAGE_RESIDENT) != 0)
        run++;
      else if (run > 0)
        {
          drop_view (self, region, page - run, run);
          set_held (self, -(gssize) (run * region->page_size));
          run = 0;
        }
    }
  if (self->ops->unguard != NULL)
    self->ops->unguard (self, region, first, n);
}

void
pv_pages_fail (PvMemsnap *self, int errnum, const char *why)
{
  if (self->phase == PV_PHASE_FAILED)
    return;
  self->failed_errno = errnum;
  self->failed_why = why;
  __atomic_store_n (&self->phase, PV_PHASE_FAILED, __ATOMIC_RELEASE);
  for (guint i = 0; i < self->n_regions && self->ops->unguard != NULL; i++)
    self->ops->unguard (self, &self->regions[i], 0, self->regions[i].n_pages);
}
