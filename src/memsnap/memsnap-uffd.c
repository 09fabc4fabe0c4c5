/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Engine uffd: the regions are write-protected by a userfaultfd; the first store to a page waits until the service
 * thread has copied it into the view.
 *
 * All is protected while the program runs; what it writes to meanwhile is noted and unprotected again at once. Then
 * come short rounds over what was noted. In the last one nobody is answered: a thread that stores to a protected page
 * waits until all are. So no store that came after another one can be in the snapshot without it, and the end of that
 * round is the instant of all regions.
 */
#include "config.h"

#include "memsnap/memsnap-uffd.h"

#include <errno.h>
#include <sys/mman.h>

#include "memsnap/memsnap-service.h"
#include "memsnap/userfault.h"
#include "util/error.h"

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#endif

enum
{
  ARM_BYTES = 16 << 20, /* protected between two looks at who waits */
  ROUNDS = 4,           /* at most, before the last */
  FEW = 256,            /* pages that are not worth another round */
};

static int
protect (guint64 start, guint64 length, gboolean on)
{
  return pv_service_guard ()->protect (start, length, on);
}

/* Kernels before 6.4 protect only pages that are there. */
static int
populate (const PvMemsnapRegion *region, guint64 start, guint64 length)
{
  if ((pv_service_source_features () & PV_UFFD_WP_UNPOPULATED) != 0)
    return 0;
  return madvise ((gpointer) (gsize) start, length, MADV_POPULATE_READ) < 0 ? errno : 0;
}

gboolean
pv_uffd_arm_some (PvMemsnap *self)
{
  PvMemsnapRegion *region;
  guint64 start;
  gsize n;
  int errnum;

  if (self->arm_region >= self->n_regions)
    return FALSE;
  region = &self->regions[self->arm_region];
  n = MIN (region->n_pages - self->arm_page, MAX (1, ARM_BYTES / region->page_size));
  start = region->start + self->arm_page * region->page_size;
  errnum = populate (region, start, n * region->page_size);
  if (errnum == 0)
    errnum = protect (start, n * region->page_size, TRUE);
  if (errnum != 0)
    {
      pv_pages_fail (self, errnum, "memory could not be write-protected");
      return FALSE;
    }
  self->arm_page += n;
  if (self->arm_page == region->n_pages)
    {
      self->arm_page = 0;
      self->arm_region++;
    }
  return self->arm_region < self->n_regions;
}

/* Protects the pages that were written to since they were; runs of them together. */
static int
arm_again (PvMemsnap *self)
{
  int errnum = 0;

  self->n_unarmed = 0;
  for (guint i = 0; i < self->n_regions; i++)
    {
      PvMemsnapRegion *region = &self->regions[i];
      gsize run = 0;

      for (gsize page = 0; page <= region->n_pages && errnum == 0; page++)
        {
          if (page < region->n_pages && (region->pages[page] & PV_PAGE_UNARMED) != 0)
            {
              pv_page_store (region, page, region->pages[page] & ~PV_PAGE_UNARMED);
              run++;
            }
          else if (run > 0)
            {
              errnum = protect (region->start + (page - run) * region->page_size, run * region->page_size, TRUE);
              run = 0;
            }
        }
    }
  return errnum;
}

static gint64
register_regions (PvMemsnap *self, const guint64 *args)
{
  int errnum = 0;

  pv_guard_add (pv_service_guard (), self);
  for (guint i = 0; i < self->n_regions && errnum == 0; i++)
    {
      errnum = pv_userfault_register (pv_service_source_fd (), self->regions[i].start, self->regions[i].length,
                                      UFFDIO_REGISTER_MODE_WP);
      self->regions[i].registered = errnum == 0;
    }
  self->phase = errnum == 0 ? PV_PHASE_PREPARING : PV_PHASE_NEW;
  return errnum;
}

static gint64
take (PvMemsnap *self, const guint64 *args)
{
  gint64 start = g_get_monotonic_time ();
  int errnum = 0;

  while (pv_uffd_arm_some (self))
    pv_service_read_source (FALSE);
  for (guint round = 0; round < ROUNDS && self->n_unarmed > FEW && errnum == 0; round++)
    {
      errnum = arm_again (self);
      pv_service_read_source (FALSE);
    }
  __atomic_add_fetch (&self->stats.armed_us, g_get_monotonic_time () - start, __ATOMIC_RELAXED);
  start = g_get_monotonic_time ();
  if (errnum == 0)
    errnum = arm_again (self);
  if (errnum == 0 && self->phase == PV_PHASE_PREPARING)
    __atomic_store_n (&self->phase, PV_PHASE_LIVE, __ATOMIC_RELEASE);
  __atomic_store_n (&self->stats.pause_us, g_get_monotonic_time () - start, __ATOMIC_RELAXED);
  pv_guard_retry (pv_service_guard ());
  if (errnum == 0 && self->phase == PV_PHASE_LIVE)
    pv_service_add_view (self);
  return errnum != 0 ? errnum : self->phase == PV_PHASE_LIVE ? 0 : MAX (self->failed_errno, 1);
}

static void
forget_range (guint64 start, guint64 length)
{
  protect (start, length, FALSE);
  pv_userfault_unregister (pv_service_source_fd (), start, length);
}

static gint64
drop_guarded (PvMemsnap *self, const guint64 *args)
{
  PvGuard *guard = pv_service_guard ();

  pv_service_remove_view (self);
  pv_guard_retry (guard);
  pv_guard_remove (guard, self);
  for (guint i = 0; i < self->n_regions; i++)
    {
      PvMemsnapRegion *region = &self->regions[i];

      /* Who waits for this one alone goes on. */
      for (gsize page = 0; page < region->n_pages && self->n_waiting > 0; page++)
        {
          if ((region->pages[page] & PV_PAGE_WAITING) == 0)
            continue;
          self->n_waiting--;
          pv_guard_write (guard, region->start + page * region->page_size);
        }
      /* What another userfaultfd has must not be touched: kernels do not ask whose it is. */
      if (region->registered)
        pv_guard_uncovered (guard, self, region->start, region->start + region->length, forget_range);
    }
  return 0;
}

static gboolean
uffd_probe (PvMemsnap *self, GError **error)
{
  guint64 features = pv_userfault_features ();

  if ((features & UFFD_FEATURE_PAGEFAULT_FLAG_WP) == 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "this kernel has no userfaultfd with write protection, or a container"
                     "'s seccomp profile forbids it: Linux 5.7 or newer is needed");
  for (guint i = 0; i < self->n_regions; i++)
    {
      if (self->regions[i].page_size != 4096 && (features & PV_UFFD_WP_HUGETLBFS_SHMEM) == 0)
        return pv_throw (error, PV_ERROR_UNSUPPORTED, "this kernel's userfaultfd cannot protect huge pages: Linux 5.19 "
                         "or newer is needed");
    }
  return pv_service_open_source (self->user_writes_only, error) && pv_service_open_view (self->user_writes_only, error);
}

static gboolean
uffd_prepare (PvMemsnap *self, GError **error)
{
  int errnum;

  if (!pv_views_new (self, error))
    return FALSE;
  errnum = (int) pv_memsnap_run (self, register_regions, 0, 0, 0);
  if (errnum == 0)
    return TRUE;
  pv_memsnap_run (self, drop_guarded, 0, 0, 0);
  pv_views_free (self);
  if (errnum == EBUSY)
    return pv_throw (error, PV_ERROR_BUSY, "another userfaultfd has part of this memory: end its snapshot, dirty log "
                     "or pager first");
  if (errnum == EINVAL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "userfaultfd cannot protect this kind of memory (a file's pages, or "
                     "shared memory before Linux 5.19)");
  return pv_throw_errno (error, errnum, "userfaultfd cannot have this memory");
}

static gboolean
uffd_take (PvMemsnap *self, GError **error)
{
  int errnum;

  if (self->phase == PV_PHASE_NEW && !uffd_prepare (self, error))
    return FALSE;
  errnum = (int) pv_memsnap_run (self, take, 0, 0, 0);
  return errnum == 0 || pv_throw_errno (error, errnum, "memory could not be write-protected");
}

static void
uffd_unguard (PvMemsnap *self, PvMemsnapRegion *region, gsize first, gsize n)
{
  pv_guard_unguard (pv_service_guard (), region, first, n);
  pv_guard_retry (pv_service_guard ());
}

static int
uffd_fetch (PvMemsnap *self, PvMemsnapRegion *region, gsize offset, gpointer to, gsize size)
{
  return pv_copy_memory (to, region->start + offset, size);
}

static void
uffd_drop (PvMemsnap *self)
{
  if (self->phase != PV_PHASE_NEW)
    pv_memsnap_run (self, drop_guarded, 0, 0, 0);
  pv_views_free (self);
}

const PvMemsnapOps pv_memsnap_uffd_ops = {
  .name = "uffd",
  .engine = PV_MEMSNAP_ENGINE_UFFD,
  .probe = uffd_probe,
  .prepare = uffd_prepare,
  .take = uffd_take,
  .unguard = uffd_unguard,
  .fetch = uffd_fetch,
  .in_place = TRUE,
  .drop = uffd_drop,
};
