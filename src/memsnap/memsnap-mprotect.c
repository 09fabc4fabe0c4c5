/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Engine mprotect: the regions are made read-only; the SIGSEGV of a store copies the page. The trap lock is held while
 * all regions are protected, so a store to a page that is protected already waits until all are: that is the instant.
 */
#include "config.h"

#include "memsnap/memsnap-pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include "memsnap/memory-map.h"
#include "memsnap/memsnap-trap.h"
#include "util/error.h"

/* What an older snapshot has protected looks read-only; it knows better. */
static gint64
known_protection (PvMemsnap *self, const guint64 *args)
{
  for (PvMemsnap *other = pv_trap_guard ()->first; other != NULL; other = other->next_guarded)
    {
      for (guint i = 0; i < other->n_regions; i++)
        {
          if (args[0] < other->regions[i].start + other->regions[i].length && other->regions[i].start < args[1])
            return other->regions[i].protection;
        }
    }
  return -1;
}

static gboolean
find_protection (PvMemsnap *self, PvMemsnapRegion *region, GError **error)
{
  guint64 end = region->start + region->length;
  g_autoptr(GArray) areas = pv_memory_map_read (getpid (), region->start, end, error);
  int known = (int) pv_trap_call (known_protection, self, (guint64[]){ region->start, end, 0 });

  if (areas == NULL)
    return FALSE;
  if (areas->len == 0)
    return pv_throw (error, PV_ERROR_INVALID, "the memory is not mapped any more");
  region->protection = known >= 0 ? known : g_array_index (areas, PvMemoryArea, 0).protection;
  for (guint i = 0; i < areas->len && known < 0; i++)
    {
      if (g_array_index (areas, PvMemoryArea, i).protection != region->protection)
        return pv_throw (error, PV_ERROR_UNSUPPORTED, "parts of the memory at 0x%" G_GINT64_MODIFIER "x may be written "
                         "to and parts not: make regions of them", region->start);
    }
  return TRUE;
}

static gboolean
mprotect_probe (PvMemsnap *self, GError **error)
{
  guint64 here = (guint64) (gsize) __builtin_frame_address (0);

  if (!self->user_writes_only)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "with mprotect, system calls that write into the memory would fail: "
                     "only a program that makes none (pv_memsnap_set_user_writes_only) can use it");
  for (guint i = 0; i < self->n_regions; i++)
    {
      if (here - self->regions[i].start < self->regions[i].length)
        return pv_throw (error, PV_ERROR_UNSUPPORTED, "mprotect cannot protect the stack of a running thread");
    }
  return TRUE;
}

static gint64
protect_all (PvMemsnap *self, const guint64 *args)
{
  PvGuard *guard = pv_trap_guard ();
  gint64 start = g_get_monotonic_time ();
  int errnum = 0;

  pv_guard_add (guard, self);
  for (guint i = 0; i < self->n_regions && errnum == 0; i++)
    errnum = guard->protect (self->regions[i].start, self->regions[i].length, TRUE);
  __atomic_store_n (&self->stats.pause_us, g_get_monotonic_time () - start, __ATOMIC_RELAXED);
  if (errnum == 0)
    {
      pv_trap_add_view (self);
      __atomic_store_n (&self->phase, PV_PHASE_LIVE, __ATOMIC_RELEASE);
    }
  return errnum;
}

static void
unprotect_range (guint64 start, guint64 length)
{
  pv_trap_guard ()->protect (start, length, FALSE);
}

static gint64
drop_guarded (PvMemsnap *self, const guint64 *args)
{
  PvGuard *guard = pv_trap_guard ();

  pv_trap_remove_view (self);
  for (guint i = 0; i < self->n_regions; i++)
    pv_guard_uncovered (guard, self, self->regions[i].start, self->regions[i].start + self->regions[i].length,
                        unprotect_range);
  pv_guard_remove (guard, self);
  return 0;
}

static gboolean
mprotect_take (PvMemsnap *self, GError **error)
{
  int errnum;

  if (!pv_trap_acquire (error))
    return FALSE;
  self->trapped = TRUE;
  for (guint i = 0; i < self->n_regions; i++)
    {
      if (!find_protection (self, &self->regions[i], error))
        return FALSE;
    }
  if (!pv_views_new (self, error))
    return FALSE;
  errnum = (int) pv_memsnap_run (self, protect_all, 0, 0, 0);
  return errnum == 0 || pv_throw_errno (error, errnum, "memory could not be protected");
}

static void
mprotect_unguard (PvMemsnap *self, PvMemsnapRegion *region, gsize first, gsize n)
{
  pv_guard_unguard (pv_trap_guard (), region, first, n);
}

static int
mprotect_fetch (PvMemsnap *self, PvMemsnapRegion *region, gsize offset, gpointer to, gsize size)
{
  return pv_copy_memory (to, region->start + offset, size);
}

static void
mprotect_drop (PvMemsnap *self)
{
  if (!self->trapped)
    return;
  pv_memsnap_run (self, drop_guarded, 0, 0, 0);
  pv_views_free (self);
  pv_trap_release ();
}

const PvMemsnapOps pv_memsnap_mprotect_ops = {
  .name = "mprotect",
  .engine = PV_MEMSNAP_ENGINE_MPROTECT,
  .probe = mprotect_probe,
  .take = mprotect_take,
  .unguard = mprotect_unguard,
  .fetch = mprotect_fetch,
  .in_place = TRUE,
  .drop = mprotect_drop,
};
