/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading a snapshot other than by loads, and the two calls of 2013. */
#include "config.h"

#include "memsnap/memsnap.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "memsnap/memsnap-private.h"
#include "util/error.h"

enum
{
  RUN_MAX = 256, /* pages looked at together */
};

/* Of one place, within one run of pages. Whoever changes a page first changes its state: so what was copied is right if
 * the state is still the same after it. */
static gboolean
copy_shared (PvMemsnap *self, PvMemsnapRegion *region, gsize offset, guint8 *to, gsize size, gboolean *again,
             GError **error)
{
  int errnum = self->ops->fetch (self, region, offset, to, size);

  __atomic_thread_fence (__ATOMIC_SEQ_CST);
  for (gsize page = offset / region->page_size; page <= (offset + size - 1) / region->page_size; page++)
    *again = *again || (pv_page_load (region, page) & PV_PAGE_PLACE) != PV_PAGE_SHARED;
  if (*again)
    return TRUE;
  if (!pv_memsnap_check_phase (self, error))
    return FALSE;
  if (errnum == ESRCH)
    return pv_throw (error, PV_ERROR_FAILED, "the snapshot is not whole any more: the child that holds the memory has "
                     "ended");
  return errnum == 0 || pv_throw_errno (error, errnum, "cannot read the snapshot at offset %" G_GSIZE_FORMAT, offset);
}

static gboolean
copy_spilled (PvMemsnap *self, PvMemsnapRegion *region, gsize offset, guint8 *to, gsize size, gboolean *again,
              GError **error)
{
  gboolean ok = pv_pread_exact (self->spill_fd, to, size, region->first * region->page_size + offset, "spill file",
                                error);

  for (gsize page = offset / region->page_size; ok && page <= (offset + size - 1) / region->page_size; page++)
    *again = *again || (pv_page_load (region, page) & PV_PAGE_PLACE) != PV_PAGE_SPILLED;
  return ok;
}

/* How many of @size bytes from @offset on lie in pages of the same place. */
static gsize
run_length (PvMemsnapRegion *region, gsize offset, gsize size, guint8 *place)
{
  gsize first = offset / region->page_size;
  gsize n = 1;

  *place = pv_page_load (region, first) & PV_PAGE_PLACE;
  while (n < RUN_MAX && (first + n) * region->page_size < offset + size
         && (pv_page_load (region, first + n) & PV_PAGE_PLACE) == *place)
    n++;
  return MIN (size, (first + n) * region->page_size - offset);
}

gboolean
pv_memsnap_read (PvMemsnap *self, guint region_index, gsize offset, gpointer buffer, gsize size, GError **error)
{
  PvMemsnapRegion *region = &self->regions[region_index];
  guint8 *to = buffer;
  gboolean shared = FALSE;

  g_return_val_if_fail (self->ops != NULL && region_index < self->n_regions, FALSE);
  g_return_val_if_fail (offset <= region->length && size <= region->length - offset, FALSE);
  while (size > 0)
    {
      gboolean again = FALSE, ok = TRUE;
      guint8 place;
      gsize n = run_length (region, offset, size, &place);

      if (place == PV_PAGE_RELEASED)
        return pv_throw (error, PV_ERROR_NOT_FOUND, "the snapshot's page at offset %" G_GSIZE_FORMAT " was released",
                         offset);
      if (place == PV_PAGE_SHARED)
        ok = copy_shared (self, region, offset, to, n, &again, error);
      else if (place == PV_PAGE_SPILLED)
        ok = copy_spilled (self, region, offset, to, n, &again, error);
      else
        memcpy (to, (gconstpointer) (gsize) ((self->trapped ? region->alias : region->view) + offset), n);
      if (!ok)
        return FALSE;
      if (again)
        continue;
      shared = shared || place == PV_PAGE_SHARED;
      to += n;
      offset += n;
      size -= n;
    }
  return !shared || pv_memsnap_check (self, error);
}

/* Modified pages are looked for anew so many times in a walk, whatever it is that writes: looking costs a walk over
 * the states of all pages, or over their page tables. Between two looks all pages are given in their order. */
enum
{
  LOOKS = 32,
};

struct _PvMemsnapIter
{
  PvMemsnap *snapshot;
  gsize n_pages;       /* of all regions */
  gsize piece_max;
  gboolean consume;
  gboolean has_piece;
  PvMemsnapPiece piece;
  gsize seen;          /* n_modified when modified pages were last looked for */
  gsize since;         /* pages given since then */
  gboolean modified_left;
  guint region;        /* where the search for modified pages is */
  gsize page;
  guint next_region;   /* where the walk over all is */
  gsize next_page;
  guint8 **done;       /* per region: a byte for each page that was given */
  guint8 *buffer;
};

PvMemsnapIter *
pv_memsnap_iter_new (PvMemsnap *self, gsize piece_max, gboolean consume)
{
  PvMemsnapIter *iter = g_new0 (PvMemsnapIter, 1);

  iter->snapshot = self;
  iter->consume = consume;
  iter->done = g_new0 (guint8 *, self->n_regions);
  for (guint i = 0; i < self->n_regions; i++)
    {
      iter->done[i] = g_malloc0 (self->regions[i].n_pages);
      piece_max = MAX (piece_max, self->regions[i].page_size);
      iter->n_pages += self->regions[i].n_pages;
    }
  iter->piece_max = piece_max;
  iter->buffer = g_malloc (piece_max);
  iter->since = iter->n_pages;
  iter->seen = G_MAXSIZE; /* never */
  return iter;
}

void
pv_memsnap_iter_free (PvMemsnapIter *iter)
{
  if (iter == NULL)
    return;
  for (guint i = 0; i < iter->snapshot->n_regions; i++)
    g_free (iter->done[i]);
  g_free (iter->done);
  g_free (iter->buffer);
  g_free (iter);
}

static gboolean
is_wanted (PvMemsnapIter *iter, guint region, gsize page, guint8 flags)
{
  guint8 state = pv_page_load (&iter->snapshot->regions[region], page);

  return iter->done[region][page] == 0 && (state & PV_PAGE_PLACE) != PV_PAGE_RELEASED && (state & flags) == flags;
}

/* From (@region, @page) on the next page that is wanted. */
static gboolean
seek (PvMemsnapIter *iter, guint *region, gsize *page, guint8 flags)
{
  for (; *region < iter->snapshot->n_regions; (*region)++, *page = 0)
    {
      for (; *page < iter->snapshot->regions[*region].n_pages; (*page)++)
        {
          if (is_wanted (iter, *region, *page, flags))
            return TRUE;
        }
    }
  return FALSE;
}

/* Somebody may be waiting for copies to be released, or for room for them. */
static gboolean
is_crowded (PvMemsnap *self)
{
  return self->limit != 0 && __atomic_load_n (&self->stats.held_bytes, __ATOMIC_RELAXED) >= self->limit / 2;
}

/* When all modified pages that were known are given. Engines that do not notice writes are asked. */
static gboolean
look_for_modified (PvMemsnapIter *iter, GError **error)
{
  PvMemsnap *self = iter->snapshot;
  gboolean due = iter->since >= iter->n_pages / LOOKS;

  for (guint i = 0; due && self->ops->find_modified != NULL && i < self->n_regions; i++)
    {
      if (!self->ops->find_modified (self, &self->regions[i], error))
        return FALSE;
    }
  if (due)
    iter->since = 0;
  if ((due || is_crowded (self)) && __atomic_load_n (&self->n_modified, __ATOMIC_RELAXED) != iter->seen)
    {
      iter->seen = __atomic_load_n (&self->n_modified, __ATOMIC_RELAXED);
      iter->modified_left = TRUE;
      iter->region = 0;
      iter->page = 0;
    }
  return TRUE;
}

/* @modified: (out): whether the place of the next modified page is where the iterator stands. */
static gboolean
seek_modified (PvMemsnapIter *iter, gboolean *modified, GError **error)
{
  *modified = iter->modified_left && seek (iter, &iter->region, &iter->page, PV_PAGE_MODIFIED);
  if (*modified)
    return TRUE;
  iter->modified_left = FALSE;
  if (!look_for_modified (iter, error))
    return FALSE;
  *modified = iter->modified_left && seek (iter, &iter->region, &iter->page, PV_PAGE_MODIFIED);
  return TRUE;
}

gboolean
pv_memsnap_iter_next (PvMemsnapIter *iter, PvMemsnapPiece *piece, GError **error)
{
  PvMemsnap *self = iter->snapshot;
  gboolean modified;
  guint at;
  gsize page, n = 0;

  if (iter->consume && iter->has_piece)
    pv_memsnap_release (self, iter->piece.region, iter->piece.offset, iter->piece.length);
  iter->has_piece = FALSE;
  if (!seek_modified (iter, &modified, error))
    return FALSE;
  if (!modified && !seek (iter, &iter->next_region, &iter->next_page, 0))
    {
      pv_memsnap_check (self, error);
      return FALSE;
    }
  at = modified ? iter->region : iter->next_region;
  page = modified ? iter->page : iter->next_page;
  while ((n + 1) * self->regions[at].page_size <= iter->piece_max && page + n < self->regions[at].n_pages
         && is_wanted (iter, at, page + n, modified ? PV_PAGE_MODIFIED : 0))
    {
      iter->done[at][page + n] = 1;
      n++;
    }
  iter->since += n;
  iter->piece = (PvMemsnapPiece){ .region = at, .offset = page * self->regions[at].page_size,
                                  .length = n * self->regions[at].page_size, .data = iter->buffer };
  if (!pv_memsnap_read (self, at, iter->piece.offset, iter->buffer, iter->piece.length, error))
    return FALSE;
  iter->has_piece = TRUE;
  *piece = iter->piece;
  return TRUE;
}

/* Addresses that memory_snapshot_create() gave -> PvMemsnap. */
static GHashTable *given;
G_LOCK_DEFINE_STATIC (given);

static int
errno_of (const GError *error)
{
  switch (error->domain == PV_ERROR ? (PvError) error->code : PV_ERROR_FAILED)
    {
    case PV_ERROR_INVALID:
      return EINVAL;
    case PV_ERROR_UNSUPPORTED:
      return ENOSYS;
    case PV_ERROR_DENIED:
      return EPERM;
    case PV_ERROR_BUSY:
      return EBUSY;
    default:
      return ENOMEM;
    }
}

void *
memory_snapshot_create (void *addr, gsize length)
{
  g_autoptr(PvMemsnap) self = pv_memsnap_new ();
  g_autoptr(GError) error = NULL;
  gpointer view;

  if (!pv_memsnap_add_region (self, addr, length, &error) || !pv_memsnap_take (self, &error))
    {
      errno = errno_of (error);
      return NULL;
    }
  view = (gpointer) (gsize) self->regions[0].view;
  G_LOCK (given);
  if (given == NULL)
    given = g_hash_table_new (NULL, NULL);
  g_hash_table_insert (given, view, g_steal_pointer (&self));
  G_UNLOCK (given);
  return view;
}

void
memory_snapshot_delete (void *addr)
{
  PvMemsnap *self = NULL;

  G_LOCK (given);
  if (given != NULL && addr != NULL)
    g_hash_table_steal_extended (given, addr, NULL, (gpointer *) &self);
  G_UNLOCK (given);
  g_return_if_fail (addr == NULL || self != NULL);
  pv_memsnap_free (self);
}
