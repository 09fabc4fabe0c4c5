/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The side of PvPager that has the memory. */
#include "config.h"

#include "memsnap/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memsnap/memsnap-private.h"
#include "memsnap/pager-link.h"
#include "memsnap/userfault.h"
#include "util/error.h"
#include "util/file.h"

struct _PvPagedMemory
{
  guint8 *memory;
  gsize size;
  int fd;         /* userfaultfd */
  int states_fd;
  guint8 *states; /* shared with the pager */
  gboolean whole; /* seen to be */
};

static gboolean
open_states (PvPagedMemory *self, GError **error)
{
  gsize n = self->size / PV_PAGER_PAGE;

  /* Sealed, so that the pager can map it without fear. */
  self->states_fd = memfd_create ("pagevault-pager", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (self->states_fd < 0 || ftruncate (self->states_fd, (off_t) n) < 0
      || fcntl (self->states_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) < 0)
    return pv_throw_errno (error, errno, "cannot make a memfd for page states");
  self->states = mmap (NULL, n, PROT_READ, MAP_SHARED, self->states_fd, 0);
  if (self->states == MAP_FAILED)
    {
      self->states = NULL;
      return pv_throw_errno (error, errno, "cannot map page states");
    }
  return TRUE;
}

static gboolean
open_fault (PvPagedMemory *self, gboolean *user_only, GError **error)
{
  gboolean only = FALSE;
  int errnum;

  self->fd = pv_userfault_open (UFFD_FEATURE_EVENT_REMOVE, FALSE, NULL);
  if (self->fd < 0)
    {
      only = TRUE;
      self->fd = pv_userfault_open (UFFD_FEATURE_EVENT_REMOVE, TRUE, error);
    }
  if (self->fd < 0)
    return FALSE;
  if (user_only != NULL)
    *user_only = only;
  errnum = pv_userfault_register (self->fd, (guint64) (gsize) self->memory, self->size, UFFDIO_REGISTER_MODE_MISSING);
  return errnum == 0 || pv_throw_errno (error, errnum, "cannot have this memory paged");
}

PvPagedMemory *
pv_paged_memory_new (gsize size, gboolean *user_only, GError **error)
{
  g_autoptr(PvPagedMemory) self = NULL;

  if (size == 0 || size % PV_PAGER_PAGE != 0)
    {
      pv_throw (error, PV_ERROR_INVALID, "%" G_GSIZE_FORMAT " bytes are not whole pages: round up to 4096", size);
      return NULL;
    }
  self = g_new0 (PvPagedMemory, 1);
  self->fd = self->states_fd = PV_FD_NONE;
  self->size = size;
  self->memory = pv_private_new (size, error);
  if (self->memory == NULL || !open_states (self, error) || !open_fault (self, user_only, error))
    return NULL;
  return g_steal_pointer (&self);
}

gboolean
pv_paged_memory_send (PvPagedMemory *self, int socket, GError **error)
{
  const PvPagerLink link = { (guint64) (gsize) self->memory, self->size };

  return pv_pager_link_send (socket, &link, self->fd, self->states_fd, error);
}

gpointer
pv_paged_memory_get_address (PvPagedMemory *self)
{
  return self->memory;
}

gboolean
pv_paged_memory_is_whole (PvPagedMemory *self)
{
  for (gsize page = 0; !self->whole && page < self->size / PV_PAGER_PAGE; page++)
    {
      if (pv_pager_state_is_missing (__atomic_load_n (&self->states[page], __ATOMIC_ACQUIRE)))
        return FALSE;
    }
  self->whole = TRUE;
  return TRUE;
}

gpointer
pv_paged_memory_steal (PvPagedMemory *self)
{
  gpointer memory = g_steal_pointer (&self->memory);

  pv_userfault_unregister (self->fd, (guint64) (gsize) memory, self->size);
  pv_userfault_wake (self->fd, (guint64) (gsize) memory, self->size);
  pv_paged_memory_free (self);
  return memory;
}

void
pv_paged_memory_free (PvPagedMemory *self)
{
  if (self == NULL)
    return;
  pv_private_free (self->memory, self->size);
  if (self->states != NULL)
    munmap (self->states, self->size / PV_PAGER_PAGE);
  pv_fd_clear (&self->states_fd);
  pv_fd_clear (&self->fd);
  g_free (self);
}
