/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-shared.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#define MAGIC G_GUINT64_CONSTANT (0x3152474150565000) /* "\0PVPAGR1" */

static PvPagerShared *
map (int fd, gsize size, GError **error)
{
  void *memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

  if (memory != MAP_FAILED)
    return memory;
  pv_throw_errno (error, errno, "cannot map the pager's memory");
  return NULL;
}

static PvPagerShared *
make (int *fd, guint64 n_pages, GError **error)
{
  gsize size = sizeof (PvPagerShared) + (n_pages + 7) / 8;
  g_auto(PvFd) made = memfd_create ("pagevault-pager", MFD_CLOEXEC);
  PvPagerShared *self;

  if (made < 0 || ftruncate (made, (off_t) size) < 0)
    {
      pv_throw_errno (error, errno, "cannot make memory for the pager");
      return NULL;
    }
  self = map (made, size, error);
  if (self == NULL)
    return NULL;
  self->size = size;
  self->n_pages = n_pages;
  self->last_block = -1;
  self->magic = MAGIC;
  *fd = pv_fd_steal (&made);
  return self;
}

PvPagerShared *
pv_pager_shared_open (int fd, GError **error)
{
  g_autoptr(PvPagerShared) self = NULL;
  struct stat st;

  if (fstat (fd, &st) < 0 || (gsize) st.st_size < sizeof (PvPagerShared))
    {
      pv_corrupt (error, "the memory of the pager before is too small");
      return NULL;
    }
  self = map (fd, (gsize) st.st_size, error);
  if (self == NULL)
    return NULL;
  if (self->magic != MAGIC || self->size != (guint64) st.st_size
      || self->size != sizeof (PvPagerShared) + (self->n_pages + 7) / 8)
    {
      self->size = (guint64) st.st_size;
      pv_corrupt (error, "the memory of the pager before is of another version");
      return NULL;
    }
  return g_steal_pointer (&self);
}

PvPagerShared *
pv_pager_shared_map (int *fd, guint64 n_pages, GError **error)
{
  g_autoptr(PvPagerShared) self = NULL;

  if (*fd < 0)
    return make (fd, n_pages, error);
  self = pv_pager_shared_open (*fd, error);
  if (self != NULL && self->n_pages != n_pages)
    {
      pv_corrupt (error, "the memory of the pager before is for another guest");
      return NULL;
    }
  return g_steal_pointer (&self);
}

void
pv_pager_shared_unmap (PvPagerShared *self)
{
  if (self != NULL)
    munmap (self, self->size);
}

gboolean
pv_pager_shared_is_sent (const PvPagerShared *self, guint64 page)
{
  return self->sent[page / 8] >> page % 8 & 1;
}

void
pv_pager_shared_set_sent (PvPagerShared *self, guint64 page)
{
  if (pv_pager_shared_is_sent (self, page))
    return;
  self->sent[page / 8] |= (guint8) (1u << page % 8);
  self->n_sent++;
}

void
pv_pager_shared_load_sent (PvPagerShared *self, guint64 first, guint64 n, const guint8 *bits)
{
  for (guint64 i = 0; i < n; i++)
    {
      guint64 page = first + i;

      if (bits[i / 8] >> i % 8 & 1)
        pv_pager_shared_set_sent (self, page);
      else if (pv_pager_shared_is_sent (self, page))
        {
          self->sent[page / 8] &= (guint8) ~(1u << page % 8);
          self->n_sent--;
        }
    }
}

static gboolean
waits (const PvPagerShared *self, guint64 page)
{
  for (guint i = 0; i < self->ring_n; i++)
    if (self->ring[(self->ring_first + i) % PV_PAGER_RING] == page)
      return TRUE;
  return FALSE;
}

gboolean
pv_pager_shared_request (PvPagerShared *self, guint64 page)
{
  if (pv_pager_shared_is_sent (self, page) || waits (self, page))
    return TRUE;
  if (self->ring_n == PV_PAGER_RING)
    return FALSE;
  self->ring[(self->ring_first + self->ring_n) % PV_PAGER_RING] = page;
  g_atomic_int_inc ((gint *) &self->ring_n); /* from here on it is there */
  self->n_requested++;
  if (self->n_recorded < PV_PAGER_RECORDED)
    self->recorded[self->n_recorded++] = page;
  return TRUE;
}

gboolean
pv_pager_shared_peek (const PvPagerShared *self, guint64 *page)
{
  if (self->ring_n == 0)
    return FALSE;
  *page = self->ring[self->ring_first];
  return TRUE;
}

/* Killed in between, the ring has one entry too many at its end: a page that was requested before, or page 0. */
void
pv_pager_shared_drop (PvPagerShared *self)
{
  g_return_if_fail (self->ring_n > 0);

  g_atomic_int_set ((gint *) &self->ring_first, (gint) ((self->ring_first + 1) % PV_PAGER_RING));
  g_atomic_int_add ((gint *) &self->ring_n, -1);
}

void
pv_pager_shared_intend (PvPagerShared *self, PvPagerIntent intent, const guint64 *pages, guint n)
{
  g_return_if_fail (n <= PV_PAGER_BATCH);

  if (n > 0)
    memcpy (self->intent_pages, pages, n * sizeof *pages);
  self->n_intent_pages = n;
  self->sequence++;
  g_atomic_int_set (&self->intent, intent);
}

void
pv_pager_shared_done (PvPagerShared *self)
{
  for (guint i = 0; i < self->n_intent_pages; i++)
    pv_pager_shared_set_sent (self, self->intent_pages[i]);
  if (g_atomic_int_get (&self->intent) == PV_INTENT_END)
    g_atomic_int_set (&self->phase, PV_PAGER_ENDING);
  g_atomic_int_set (&self->intent, PV_INTENT_NONE);
}

void
pv_pager_shared_forget (PvPagerShared *self)
{
  g_atomic_int_set (&self->intent, PV_INTENT_NONE);
}
