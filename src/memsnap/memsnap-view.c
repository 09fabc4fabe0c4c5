/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The addresses that the user reads, and memory that belongs to nobody's snapshot. */
#include "config.h"

#include "memsnap/memsnap-pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include "memsnap/memsnap-service.h"
#include "memsnap/userfault.h"
#include "util/error.h"

gpointer
pv_private_new (gsize size, GError **error)
{
  gpointer memory = mmap (NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

  if (memory != MAP_FAILED)
    return memory;
  pv_throw (error, PV_ERROR_NO_SPACE, "cannot have %" G_GSIZE_FORMAT " bytes for the snapshot: %s", size,
            g_strerror (errno));
  return NULL;
}

void
pv_private_free (gpointer memory, gsize size)
{
  if (memory != NULL)
    munmap (memory, size);
}

int
pv_copy_memory (gpointer to, guint64 from, gsize size)
{
  gsize done = 0;

  while (done < size)
    {
      struct iovec local = { (guint8 *) to + done, size - done };
      struct iovec remote = { (gpointer) (gsize) (from + done), size - done };
      ssize_t n = process_vm_readv (getpid (), &local, 1, &remote, 1, 0);

      if (n < 0 && errno != EPERM && errno != ENOSYS)
        return errno;
      if (n < 0)
        {
          /* Some containers forbid the call. */
          memcpy ((guint8 *) to + done, (gconstpointer) (gsize) (from + done), size - done);
          return 0;
        }
      done += (gsize) n;
    }
  return 0;
}

static gpointer
map_view (PvMemsnap *self, const PvMemsnapRegion *region, int protection)
{
  int flags = self->trapped ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
  gpointer view = mmap (NULL, region->length, protection, flags | MAP_NORESERVE, self->trapped ? self->view_fd : -1,
                        (off_t) region->alias_offset);

  if (view == MAP_FAILED)
    return NULL;
  /* In a forked child nobody would fill it. Huge pages would be copied before they are wanted. */
  madvise (view, region->length, MADV_DONTFORK);
  madvise (view, region->length, MADV_NOHUGEPAGE);
  return view;
}

static gboolean
new_view (PvMemsnap *self, PvMemsnapRegion *region, GError **error)
{
  int errnum = 0;

  region->view = (guint64) (gsize) map_view (self, region, self->trapped ? PROT_NONE : PROT_READ);
  if (region->view != 0 && self->trapped)
    region->alias = (guint64) (gsize) map_view (self, region, PROT_READ | PROT_WRITE);
  else if (region->view != 0)
    errnum = pv_userfault_register (pv_service_view_fd (), region->view, region->length,
                                    UFFDIO_REGISTER_MODE_MISSING);
  if (region->view == 0 || (self->trapped && region->alias == 0) || errnum != 0)
    return pv_throw (error, PV_ERROR_NO_SPACE, "cannot have %" G_GSIZE_FORMAT " bytes of addresses for a snapshot: %s",
                     region->length, g_strerror (errnum != 0 ? errnum : ENOMEM));
  return TRUE;
}

gboolean
pv_views_new (PvMemsnap *self, GError **error)
{
  guint64 total = 0;

  for (guint i = 0; i < self->n_regions; i++)
    {
      self->regions[i].alias_offset = total;
      total += self->regions[i].length;
    }
  if (self->trapped)
    {
      self->view_fd = memfd_create ("pagevault-memsnap", MFD_CLOEXEC);
      if (self->view_fd < 0 || ftruncate (self->view_fd, (off_t) total) < 0)
        return pv_throw_errno (error, errno, "cannot make a memfd for the snapshot");
    }
  for (guint i = 0; i < self->n_regions; i++)
    {
      if (!new_view (self, &self->regions[i], error))
        return FALSE;
    }
  return TRUE;
}

void
pv_views_free (PvMemsnap *self)
{
  for (guint i = 0; i < self->n_regions; i++)
    {
      PvMemsnapRegion *region = &self->regions[i];

      if (region->view != 0 && !self->trapped)
        pv_userfault_unregister (pv_service_view_fd (), region->view, region->length);
      if (region->view != 0)
        munmap ((gpointer) (gsize) region->view, region->length);
      if (region->alias != 0)
        munmap ((gpointer) (gsize) region->alias, region->length);
      region->view = region->alias = 0;
    }
  pv_fd_clear (&self->view_fd);
}
