/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Source mprotect: the bitmap is written to by the SIGSEGV handler, under the trap lock, before the page may be. */
#include "config.h"

#include <errno.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memsnap/dirty-log-private.h"
#include "memsnap/memory-map.h"
#include "memsnap/memsnap-trap.h"
#include "util/error.h"

typedef struct
{
  PvTrapRange range; /* first: the handler knows only this */
  guint64 *bitmap;   /* the active one; under the trap lock */
} Guarded;

static int
set_protection (const Guarded *guarded, guint64 start, guint64 length, gboolean on)
{
  return mprotect ((gpointer) (gsize) start, length, on ? PROT_READ : PROT_READ | PROT_WRITE) < 0 ? errno : 0;
}

/* Lone pages cost the kernel areas, of which it has a limited number; then more pages count as written. */
static void
on_written (PvTrapRange *range, guint64 address)
{
  Guarded *guarded = (Guarded *) range;

  for (guint64 size = PV_DIRTY_PAGE;; size *= 16)
    {
      guint64 from = range->start + (address - range->start) / size * size;
      guint64 to = MIN (from + size, range->start + range->length);

      for (guint64 at = from; at < to; at += PV_DIRTY_PAGE)
        pv_dirty_log_set (guarded->bitmap, (at - range->start) / PV_DIRTY_PAGE);
      if (set_protection (guarded, from, to - from, FALSE) == 0 || size >= range->length)
        return;
    }
}

static gboolean
guarded_swap (PvDirtyLog *self, GError **error)
{
  Guarded *guarded = self->source;
  sigset_t mask;
  int errnum;

  pv_trap_lock (&mask);
  errnum = set_protection (guarded, guarded->range.start, guarded->range.length, TRUE);
  if (errnum == 0)
    {
      self->active = !self->active;
      guarded->bitmap = self->bitmaps[self->active];
    }
  pv_trap_unlock (&mask);
  return errnum == 0 || pv_throw_errno (error, errnum, "cannot protect memory");
}

static void
guarded_free (PvDirtyLog *self)
{
  Guarded *guarded = self->source;
  sigset_t mask;

  pv_trap_lock (&mask);
  pv_trap_remove_range (&guarded->range);
  set_protection (guarded, guarded->range.start, guarded->range.length, FALSE);
  pv_trap_unlock (&mask);
  pv_trap_release ();
  pv_private_free (guarded, sizeof *guarded);
}

static const PvDirtyLogOps guarded_ops = { .swap = guarded_swap, .free = guarded_free };

static gboolean
check_writable (guint64 start, gsize length, GError **error)
{
  g_autoptr(GArray) areas = NULL;
  gsize page_size;

  if (!pv_dirty_log_check_range (start, length, error))
    return FALSE;
  areas = pv_memory_map_read (getpid (), start, start + length, error);
  if (areas == NULL || !pv_memory_map_check (areas, start, start + length, &page_size, error))
    return FALSE;
  for (guint i = 0; i < areas->len; i++)
    {
      const PvMemoryArea *area = &g_array_index (areas, PvMemoryArea, i);

      if (area->protection != (PROT_READ | PROT_WRITE) || area->page_size != PV_DIRTY_PAGE)
        return pv_throw (error, PV_ERROR_UNSUPPORTED, "mprotect can only watch memory of 4096-byte pages that may be "
                         "read and written, not that at 0x%" G_GINT64_MODIFIER "x", area->start);
    }
  return TRUE;
}

PvDirtyLog *
pv_dirty_log_new_mprotect (gpointer address, gsize length, GError **error)
{
  guint64 start = (guint64) (gsize) address;
  PvDirtyLog *self;
  Guarded *guarded;
  sigset_t mask;

  if (!check_writable (start, length, error) || !pv_trap_acquire (error))
    return NULL;
  guarded = pv_private_new (sizeof *guarded, error);
  self = guarded == NULL ? NULL : pv_dirty_log_new (&guarded_ops, guarded, length, error);
  if (self == NULL)
    {
      pv_private_free (guarded, sizeof *guarded);
      pv_trap_release ();
      return NULL;
    }
  guarded->range = (PvTrapRange){ .start = start, .length = length, .written = on_written };
  guarded->bitmap = self->bitmaps[self->active];
  pv_trap_lock (&mask);
  pv_trap_add_range (&guarded->range);
  pv_trap_unlock (&mask);
  if (pv_dirty_log_switch (self, NULL, error) == NULL)
    g_clear_pointer (&self, pv_dirty_log_free);
  return self;
}
