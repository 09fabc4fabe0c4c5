/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/pager.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "memsnap/pager-link.h"
#include "memsnap/userfault.h"
#include "util/error.h"
#include "util/file.h"

enum
{
  MESSAGES = 32,
  LOOK_MS = 200, /* how often a pager that does not pull looks whether all is done */
};

struct _PvPager
{
  PvPagerLink link;
  guint64 n_pages;
  int fd;         /* userfaultfd of the other process */
  int stop_fd;
  guint8 *states; /* shared with the other process and other pagers */
  PvPagerRead read_page;
  gpointer data;
  gboolean pull;
  guint64 next;      /* page at which pulling goes on */
  guint64 on_demand;
  gboolean gone;     /* the process is */
  guint8 *buffer;    /* one page */
};

static guint8
state_of (const PvPager *self, guint64 page)
{
  return __atomic_load_n (&self->states[page], __ATOMIC_ACQUIRE);
}

static void
set_state (PvPager *self, guint64 page, guint8 state)
{
  __atomic_store_n (&self->states[page], state, __ATOMIC_RELEASE);
}

static gboolean
is_missing (const PvPager *self, guint64 page)
{
  return pv_pager_state_is_missing (state_of (self, page));
}

static guint64
address_of (const PvPager *self, guint64 page)
{
  return self->link.address + page * PV_PAGER_PAGE;
}

/* The program has discarded these pages: their content is zeros from now on. */
static void
on_discarded (PvPager *self, guint64 start, guint64 end)
{
  guint64 last = self->link.address + self->link.size;

  for (guint64 at = MAX (start, self->link.address); at < MIN (end, last); at += PV_PAGER_PAGE)
    set_state (self, (at - self->link.address) / PV_PAGER_PAGE, PV_PAGER_DISCARDED);
}

static gboolean place (PvPager *self, guint64 page, gboolean is_wanted, GError **error);

/* Reads what has happened and answers it. */
static gboolean
read_messages (PvPager *self, GError **error)
{
  struct uffd_msg messages[MESSAGES];
  ssize_t n = read (self->fd, messages, sizeof messages);

  if (n < 0 && errno != EAGAIN && errno != EINTR)
    return pv_throw_errno (error, errno, "cannot read page faults");
  /* What was discarded first: a fault that was read with it may be for one of those. */
  for (ssize_t i = 0; i < n / (ssize_t) sizeof messages[0]; i++)
    {
      if (messages[i].event == UFFD_EVENT_REMOVE)
        on_discarded (self, messages[i].arg.remove.start, messages[i].arg.remove.end);
    }
  for (ssize_t i = 0; i < n / (ssize_t) sizeof messages[0] && !self->gone; i++)
    {
      guint64 offset = messages[i].arg.pagefault.address - self->link.address;

      if (messages[i].event == UFFD_EVENT_PAGEFAULT && offset < self->link.size
          && !place (self, offset / PV_PAGER_PAGE, TRUE, error))
        return FALSE;
    }
  return TRUE;
}

/* Puts a page into place and wakes who waits for it. */
static gboolean
place (PvPager *self, guint64 page, gboolean is_wanted, GError **error)
{
  int errnum = EAGAIN;

  while (errnum == EAGAIN)
    {
      gboolean missing = is_missing (self, page);

      if (missing
          && !self->read_page (page * PV_PAGER_PAGE, self->buffer, PV_PAGER_PAGE, is_wanted, self->data, error))
        {
          g_prefix_error (error, "page at offset %" G_GUINT64_FORMAT ": ", page * PV_PAGER_PAGE);
          return FALSE;
        }
      /* One that was placed and is missing again was discarded, or is there by now: a copy of zeros leaves it alone. */
      if (missing)
        {
          set_state (self, page, PV_PAGER_PLACING);
          errnum = pv_userfault_copy (self->fd, address_of (self, page), (guint64) (gsize) self->buffer, PV_PAGER_PAGE,
                                      PV_PAGER_PAGE);
        }
      else
        errnum = pv_userfault_zero (self->fd, address_of (self, page), PV_PAGER_PAGE, PV_PAGER_PAGE);
      /* The program is discarding memory: the kernel wants to tell first. */
      if (errnum == EAGAIN && !read_messages (self, error))
        return FALSE;
      if (self->gone)
        return TRUE;
    }
  if (errnum == ESRCH || errnum == ENOENT)
    {
      self->gone = TRUE; /* the process has ended, or has unmapped the memory */
      return TRUE;
    }
  if (errnum != 0)
    return pv_throw_errno (error, errnum, "cannot place the page at offset %" G_GUINT64_FORMAT, page * PV_PAGER_PAGE);
  self->on_demand += is_wanted && is_missing (self, page);
  if (is_missing (self, page))
    set_state (self, page, PV_PAGER_PLACED);
  return TRUE;
}

static gboolean
is_done (const PvPager *self)
{
  for (guint64 page = 0; page < self->n_pages; page++)
    {
      if (is_missing (self, page))
        return FALSE;
    }
  return TRUE;
}

/* What an earlier pager had in its hands when it was killed. */
static gboolean
place_half_done (PvPager *self, GError **error)
{
  for (guint64 page = 0; page < self->n_pages && !self->gone; page++)
    {
      if (state_of (self, page) == PV_PAGER_PLACING && !place (self, page, FALSE, error))
        return FALSE;
    }
  return TRUE;
}

/* One page in the background; FALSE in @left when none is missing. */
static gboolean
pull_one (PvPager *self, gboolean *left, GError **error)
{
  while (self->next < self->n_pages && !is_missing (self, self->next))
    self->next++;
  *left = self->next < self->n_pages;
  return !*left || place (self, self->next, FALSE, error);
}

/* Registering what is registered changes nothing, and fails when the process or its memory is gone. */
static gboolean
is_there (const PvPager *self)
{
  return pv_userfault_register (self->fd, self->link.address, self->link.size, UFFDIO_REGISTER_MODE_MISSING) == 0;
}

static gboolean
serve (PvPager *self, gboolean *done, GError **error)
{
  struct pollfd fds[] = { { .fd = self->stop_fd, .events = POLLIN }, { .fd = self->fd, .events = POLLIN } };
  gboolean left = FALSE;

  if (poll (fds, G_N_ELEMENTS (fds), self->pull ? 0 : LOOK_MS) < 0 && errno != EINTR)
    return pv_throw_errno (error, errno, "cannot wait for page faults");
  if (fds[0].revents != 0)
    {
      *done = TRUE;
      return TRUE;
    }
  if (fds[1].revents != 0 && !read_messages (self, error))
    return FALSE;
  if (self->pull && !self->gone && !pull_one (self, &left, error))
    return FALSE;
  if (!self->pull && fds[1].revents == 0)
    self->gone = !is_there (self);
  *done = self->gone || (self->pull ? !left : is_done (self));
  return TRUE;
}

gboolean
pv_pager_run (PvPager *self, GError **error)
{
  gboolean done = FALSE;

  self->gone = !is_there (self);
  if (self->gone)
    return TRUE;
  /* Faults that an earlier pager had read and not answered are reported again. */
  pv_userfault_wake (self->fd, self->link.address, self->link.size);
  if (!place_half_done (self, error))
    return FALSE;
  while (!done)
    {
      if (!serve (self, &done, error))
        return FALSE;
    }
  if (!self->gone && is_done (self))
    {
      pv_userfault_unregister (self->fd, self->link.address, self->link.size);
      pv_userfault_wake (self->fd, self->link.address, self->link.size);
    }
  return TRUE;
}

void
pv_pager_stop (PvPager *self)
{
  const guint64 one = 1;

  while (write (self->stop_fd, &one, sizeof one) < 0 && errno == EINTR)
    continue;
}

void
pv_pager_set_pull (PvPager *self, gboolean pull)
{
  self->pull = pull;
}

void
pv_pager_get_stats (PvPager *self, PvPagerStats *stats)
{
  *stats = (PvPagerStats){ .n_pages = self->n_pages, .on_demand = self->on_demand };
  for (guint64 page = 0; page < self->n_pages; page++)
    stats->placed += !is_missing (self, page);
}

PvPager *
pv_pager_new_receive (int socket, PvPagerRead read_page, gpointer data, GError **error)
{
  g_autoptr(PvPager) self = g_new0 (PvPager, 1);
  g_auto(PvFd) states = PV_FD_NONE;

  self->fd = self->stop_fd = PV_FD_NONE;
  if (!pv_pager_link_receive (socket, &self->link, &self->fd, &states, error))
    return NULL;
  self->n_pages = self->link.size / PV_PAGER_PAGE;
  /* Without the seals the other side could shrink it under us. */
  if ((fcntl (states, F_GET_SEALS) & F_SEAL_SHRINK) == 0)
    {
      pv_corrupt (error, "the page states that came over the socket are not sealed");
      return NULL;
    }
  self->states = mmap (NULL, self->n_pages, PROT_READ | PROT_WRITE, MAP_SHARED, states, 0);
  self->stop_fd = eventfd (0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->states == MAP_FAILED || self->stop_fd < 0)
    {
      if (self->states == MAP_FAILED)
        self->states = NULL;
      pv_throw_errno (error, errno, "cannot begin paging");
      return NULL;
    }
  self->read_page = read_page;
  self->data = data;
  self->pull = TRUE;
  self->buffer = g_malloc (PV_PAGER_PAGE);
  return g_steal_pointer (&self);
}

void
pv_pager_free (PvPager *self)
{
  if (self == NULL)
    return;
  if (self->states != NULL)
    munmap (self->states, self->n_pages);
  pv_fd_clear (&self->fd);
  pv_fd_clear (&self->stop_fd);
  g_free (self->buffer);
  g_free (self);
}
