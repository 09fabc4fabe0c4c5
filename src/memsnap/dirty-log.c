/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The log itself, and its source userfaultfd + PAGEMAP_SCAN. */
#include "config.h"

#include "memsnap/dirty-log.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "memsnap/dirty-log-private.h"
#include "memsnap/memory-map.h"
#include "memsnap/memsnap-private.h"
#include "memsnap/userfault.h"
#include "util/error.h"

enum
{
  RUNS = 512, /* runs of pages asked for at a time */
};

static gsize
bitmap_size (gsize n_pages)
{
  return (n_pages + 63) / 64 * sizeof (guint64);
}

gboolean
pv_dirty_log_check_range (guint64 address, gsize length, GError **error)
{
  return (length != 0 && address % PV_DIRTY_PAGE == 0 && length % PV_DIRTY_PAGE == 0 && address + length > address)
         || pv_throw (error, PV_ERROR_INVALID, "0x%" G_GINT64_MODIFIER "x and %" G_GSIZE_FORMAT " bytes are not whole "
                      "pages: round the address down and the length up to 4096", address, length);
}

PvDirtyLog *
pv_dirty_log_new (const PvDirtyLogOps *ops, gpointer source, gsize length, GError **error)
{
  PvDirtyLog *self = g_new0 (PvDirtyLog, 1);

  self->n_pages = length / PV_DIRTY_PAGE;
  for (guint i = 0; i < 2; i++)
    self->bitmaps[i] = pv_private_new (bitmap_size (self->n_pages), error);
  if (self->bitmaps[0] == NULL || self->bitmaps[1] == NULL)
    {
      pv_dirty_log_free (self);
      return NULL;
    }
  self->ops = ops;
  self->source = source;
  return self;
}

void
pv_dirty_log_free (PvDirtyLog *self)
{
  if (self == NULL)
    return;
  if (self->ops != NULL)
    self->ops->free (self);
  for (guint i = 0; i < 2; i++)
    pv_private_free (self->bitmaps[i], bitmap_size (self->n_pages));
  g_free (self);
}

gsize
pv_dirty_log_get_n_pages (PvDirtyLog *self)
{
  return self->n_pages;
}

const guint64 *
pv_dirty_log_switch (PvDirtyLog *self, gsize *n_dirty, GError **error)
{
  const guint64 *given = self->bitmaps[self->active];
  gsize n = 0;

  memset (self->bitmaps[!self->active], 0, bitmap_size (self->n_pages));
  if (!self->ops->swap (self, error))
    return NULL;
  for (gsize i = 0; i < (self->n_pages + 63) / 64 && n_dirty != NULL; i++)
    n += (gsize) __builtin_popcountll (given[i]);
  if (n_dirty != NULL)
    *n_dirty = n;
  return given;
}

gboolean
pv_dirty_log_collect (PvDirtyLog *self, GError **error)
{
  return self->ops->collect == NULL || self->ops->collect (self, error);
}

/* --- userfaultfd --- */

typedef struct
{
  int pagemap;
  int fd;           /* the userfaultfd */
  gboolean own;     /* ours to close */
  gboolean registered;
  guint64 start, length;
} Watch;

/* The kernel finds what was written and protects it again in one step, page by page: a write comes before that, and is
 * found, or after it, and is found the next time. So one bitmap at a time is filled, and that at the switch. */
static gboolean
watch_swap (PvDirtyLog *self, GError **error)
{
  Watch *watch = self->source;
  guint64 *bitmap = self->bitmaps[self->active];
  guint64 at = watch->start, end = watch->start + watch->length;
  PvPageRun runs[RUNS];
  guint n;

  while (at < end)
    {
      int errnum = pv_pagemap_scan_written (watch->pagemap, 0, &at, end, runs, RUNS, &n);

      if (errnum == EINTR)
        continue;
      if (errnum == ENOTTY || errnum == EINVAL)
        return pv_throw (error, PV_ERROR_UNSUPPORTED, "this kernel has no PAGEMAP_SCAN: Linux 6.7 or newer is needed");
      if (errnum != 0)
        return pv_throw_errno (error, errnum, "cannot ask which pages were written to");
      for (guint i = 0; i < n; i++)
        {
          for (guint64 page = runs[i].start; page < runs[i].end; page += PV_DIRTY_PAGE)
            pv_dirty_log_set (bitmap, (page - watch->start) / PV_DIRTY_PAGE);
        }
    }
  self->active = !self->active;
  return TRUE;
}

static void
watch_free (PvDirtyLog *self)
{
  Watch *watch = self->source;

  if (watch->registered)
    {
      pv_userfault_protect (watch->fd, watch->start, watch->length, FALSE);
      pv_userfault_unregister (watch->fd, watch->start, watch->length);
    }
  if (watch->own)
    pv_fd_clear (&watch->fd);
  pv_fd_clear (&watch->pagemap);
  g_free (watch);
}

static const PvDirtyLogOps watch_ops = { .swap = watch_swap, .free = watch_free };

static gboolean
watch_begin (PvDirtyLog *self, pid_t pid, GError **error)
{
  Watch *watch = self->source;
  g_autofree char *path = g_strdup_printf ("/proc/%d/pagemap", (int) pid);
  int errnum;

  watch->pagemap = pv_openat (AT_FDCWD, path, O_RDONLY, 0, error);
  if (watch->pagemap < 0)
    return FALSE;
  errnum = pv_userfault_register (watch->fd, watch->start, watch->length, UFFDIO_REGISTER_MODE_WP);
  if (errnum == EBUSY)
    return pv_throw (error, PV_ERROR_BUSY, "another userfaultfd has part of this memory: end its snapshot, dirty log "
                     "or pager first");
  if (errnum != 0)
    return pv_throw_errno (error, errnum, "cannot watch this memory");
  watch->registered = TRUE;
  /* All counts as written until it is protected for the first time. */
  return pv_dirty_log_switch (self, NULL, error) != NULL;
}

static PvDirtyLog *
watch_new (pid_t pid, int fd, gboolean own, guint64 address, gsize length, GError **error)
{
  Watch *watch = g_new0 (Watch, 1);
  g_autoptr(PvDirtyLog) self = pv_dirty_log_new (&watch_ops, watch, length, error);

  *watch = (Watch){ .pagemap = PV_FD_NONE, .fd = fd, .own = own, .start = address, .length = length };
  if (self == NULL)
    {
      if (own)
        pv_fd_clear (&fd);
      g_free (watch);
      return NULL;
    }
  return watch_begin (self, pid, error) ? g_steal_pointer (&self) : NULL;
}

PvDirtyLog *
pv_dirty_log_new_uffd (gpointer address, gsize length, GError **error)
{
  guint64 start = (guint64) (gsize) address;
  g_autoptr(GArray) areas = NULL;
  gsize page_size;
  int fd;

  if (!pv_dirty_log_check_range (start, length, error))
    return NULL;
  areas = pv_memory_map_read (getpid (), start, start + length, error);
  if (areas == NULL || !pv_memory_map_check (areas, start, start + length, &page_size, error))
    return NULL;
  /* The kernel resolves these faults itself, system calls' too: no right is needed. */
  fd = pv_userfault_open (UFFD_FEATURE_PAGEFAULT_FLAG_WP | PV_UFFD_WP_HUGETLBFS_SHMEM | PV_UFFD_WP_UNPOPULATED
                          | PV_UFFD_WP_ASYNC, TRUE, error);
  return fd < 0 ? NULL : watch_new (getpid (), fd, TRUE, start, length, error);
}

PvDirtyLog *
pv_dirty_log_new_process (pid_t pid, int userfaultfd, guint64 address, gsize length, GError **error)
{
  if (!pv_dirty_log_check_range (address, length, error))
    return NULL;
  return watch_new (pid, userfaultfd, FALSE, address, length, error);
}
