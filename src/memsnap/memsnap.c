/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "memsnap/memsnap.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "memsnap/memory-map.h"
#include "memsnap/memsnap-private.h"
#include "memsnap/memsnap-pages.h"
#include "memsnap/memsnap-service.h"
#include "memsnap/memsnap-trap.h"
#include "util/error.h"

static const PvMemsnapOps *const engines[] = {
  &pv_memsnap_uffd_ops,
  &pv_memsnap_fork_ops,
  &pv_memsnap_mprotect_ops,
};

PvMemsnap *
pv_memsnap_new (void)
{
  g_autoptr(GError) error = NULL;
  PvMemsnap *self = pv_private_new (sizeof *self, &error);

  if (self == NULL)
    g_error ("%s", error->message);
  self->spill_fd = self->view_fd = PV_FD_NONE;
  self->passed_over = g_ptr_array_new_with_free_func (g_free);
  return self;
}

void
pv_memsnap_free (PvMemsnap *self)
{
  if (self == NULL)
    return;
  if (self->ops != NULL)
    self->ops->drop (self);
  for (guint i = 0; i < self->n_regions; i++)
    pv_private_free (self->regions[i].pages, self->regions[i].n_pages);
  pv_fd_clear (&self->spill_fd);
  g_ptr_array_unref (self->passed_over);
  g_free (self->passed_over_text);
  g_free (self->spill_directory);
  pv_private_free (self, sizeof *self);
}

gint64
pv_memsnap_run (PvMemsnap *self, PvOwnerFunc func, guint64 a, guint64 b, guint64 c)
{
  const guint64 args[] = { a, b, c };

  return self->trapped ? pv_trap_call (func, self, args) : pv_service_call (func, self, args);
}

gboolean
pv_memsnap_add_region (PvMemsnap *self, gpointer address, gsize length, GError **error)
{
  guint64 start = (guint64) (gsize) address;
  PvMemsnapRegion *region = &self->regions[self->n_regions];
  g_autoptr(GArray) areas = NULL;

  g_return_val_if_fail (self->ops == NULL, FALSE);
  if (self->n_regions == PV_MEMSNAP_REGIONS_MAX)
    return pv_throw (error, PV_ERROR_INVALID, "a snapshot has at most %d regions", PV_MEMSNAP_REGIONS_MAX);
  if (length == 0 || start % 4096 != 0 || length % 4096 != 0 || start + length < start)
    return pv_throw (error, PV_ERROR_INVALID, "0x%" G_GINT64_MODIFIER "x and %" G_GSIZE_FORMAT " bytes are not whole "
                     "pages: round the address down and the length up to 4096", start, length);
  for (guint i = 0; i < self->n_regions; i++)
    {
      if (start < self->regions[i].start + self->regions[i].length && self->regions[i].start < start + length)
        return pv_throw (error, PV_ERROR_INVALID, "regions %u and %u overlap: add memory once", i, self->n_regions);
    }
  areas = pv_memory_map_read (getpid (), start, start + length, error);
  if (areas == NULL || !pv_memory_map_check (areas, start, start + length, &region->page_size, error))
    return FALSE;
  region->start = start;
  region->length = length;
  region->n_pages = length / region->page_size;
  region->first = self->n_regions == 0 ? 0 : region[-1].first + region[-1].n_pages;
  region->pages = pv_private_new (region->n_pages, error);
  if (region->pages == NULL)
    return FALSE;
  self->n_regions++;
  return TRUE;
}

void
pv_memsnap_set_engine (PvMemsnap *self, PvMemsnapEngine engine)
{
  g_return_if_fail (self->ops == NULL);
  self->wanted = engine;
}

void
pv_memsnap_set_limit (PvMemsnap *self, gsize bytes, PvMemsnapOverrun overrun, const char *directory)
{
  g_return_if_fail (self->ops == NULL);
  self->limit = bytes;
  self->overrun = overrun;
  g_free (self->spill_directory);
  self->spill_directory = g_strdup (directory);
}

void
pv_memsnap_set_user_writes_only (PvMemsnap *self, gboolean only)
{
  g_return_if_fail (self->ops == NULL);
  self->user_writes_only = only;
}

static gboolean
open_spill_file (PvMemsnap *self, GError **error)
{
  const char *directory = self->spill_directory != NULL ? self->spill_directory : g_get_tmp_dir ();
  g_autofree char *path = g_build_filename (directory, "pagevault-memsnap.XXXXXX", NULL);

  if (self->spill_fd >= 0 || self->limit == 0 || self->overrun != PV_MEMSNAP_SPILL)
    return TRUE;
  self->spill_fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0600);
  if (self->spill_fd < 0)
    return pv_throw_errno (error, errno, "cannot make a spill file in '%s'", directory);
  return unlink (path) == 0 || pv_throw_errno (error, errno, "cannot remove '%s'", path);
}

/* One engine, wholly. On failure there is none again. */
static gboolean
start_engine (PvMemsnap *self, const PvMemsnapOps *ops, gboolean take, GError **error)
{
  gboolean ok;

  if (self->ops == NULL && !ops->probe (self, error))
    return FALSE;
  if (take)
    {
      self->ops = ops;
      ok = ops->take (self, error);
    }
  else
    {
      self->ops = ops;
      ok = ops->prepare == NULL || ops->prepare (self, error);
    }
  if (ok)
    return TRUE;
  ops->drop (self);
  self->ops = NULL;
  self->phase = PV_PHASE_NEW;
  self->trapped = FALSE;
  return FALSE;
}

static gboolean
choose_engine (PvMemsnap *self, gboolean take, GError **error)
{
  g_autoptr(GError) local = NULL;

  if (self->n_regions == 0)
    return pv_throw (error, PV_ERROR_INVALID, "a snapshot of no memory: add regions first");
  if (!open_spill_file (self, error))
    return FALSE;
  for (guint i = 0; i < G_N_ELEMENTS (engines); i++)
    {
      if (self->wanted != PV_MEMSNAP_ENGINE_AUTO && self->wanted != engines[i]->engine)
        continue;
      g_clear_error (&local);
      if (start_engine (self, engines[i], take, &local))
        {
          g_ptr_array_add (self->passed_over, NULL);
          self->passed_over_text = g_strjoinv ("; ", (char **) self->passed_over->pdata);
          return TRUE;
        }
      g_ptr_array_add (self->passed_over, g_strdup_printf ("%s: %s", engines[i]->name, local->message));
    }
  if (self->wanted != PV_MEMSNAP_ENGINE_AUTO)
    g_propagate_prefixed_error (error, g_steal_pointer (&local), "engine %s: ",
                                engines[self->wanted - PV_MEMSNAP_ENGINE_UFFD]->name);
  else
    {
      g_ptr_array_add (self->passed_over, NULL);
      self->passed_over_text = g_strjoinv ("; ", (char **) self->passed_over->pdata);
      pv_throw (error, local->domain == PV_ERROR ? (PvError) local->code : PV_ERROR_UNSUPPORTED,
                "no engine can take this snapshot: %s", self->passed_over_text);
    }
  return FALSE;
}

gboolean
pv_memsnap_prepare (PvMemsnap *self, GError **error)
{
  g_return_val_if_fail (self->ops == NULL && self->passed_over->len == 0, FALSE);
  return choose_engine (self, FALSE, error);
}

gboolean
pv_memsnap_take (PvMemsnap *self, GError **error)
{
  g_return_val_if_fail (self->phase == PV_PHASE_NEW || self->phase == PV_PHASE_PREPARING
                        || (self->ops != NULL && self->phase == PV_PHASE_FAILED), FALSE);
  if (self->ops == NULL)
    return choose_engine (self, TRUE, error);
  if (self->ops->take (self, error))
    return TRUE;
  if (self->failed_why != NULL)
    g_prefix_error (error, "%s: ", self->failed_why);
  return FALSE;
}

const char *
pv_memsnap_get_engine (PvMemsnap *self, const char **passed_over)
{
  if (passed_over != NULL)
    *passed_over = self->passed_over_text != NULL && self->passed_over_text[0] != '\0' ? self->passed_over_text : NULL;
  return self->ops == NULL ? NULL : self->ops->name;
}

guint
pv_memsnap_get_n_regions (PvMemsnap *self)
{
  return self->n_regions;
}

const void *
pv_memsnap_get_address (PvMemsnap *self, guint region)
{
  g_return_val_if_fail (region < self->n_regions, NULL);
  return (gconstpointer) (gsize) self->regions[region].view;
}

gsize
pv_memsnap_get_length (PvMemsnap *self, guint region)
{
  g_return_val_if_fail (region < self->n_regions, 0);
  return self->regions[region].length;
}

gsize
pv_memsnap_get_page_size (PvMemsnap *self, guint region)
{
  g_return_val_if_fail (region < self->n_regions, 0);
  return self->regions[region].page_size;
}

static gint64
do_nothing (PvMemsnap *self, const guint64 *args)
{
  return 0;
}

/* Memory is discarded only after the service thread has been told; what it has been told it has noted when it answers
 * us. */
gboolean
pv_memsnap_check (PvMemsnap *self, GError **error)
{
  if (self->ops == &pv_memsnap_uffd_ops)
    pv_memsnap_run (self, do_nothing, 0, 0, 0);
  return pv_memsnap_check_phase (self, error);
}

gboolean
pv_memsnap_check_phase (PvMemsnap *self, GError **error)
{
  PvMemsnapPhase phase = __atomic_load_n (&self->phase, __ATOMIC_ACQUIRE);

  if (phase == PV_PHASE_LIVE)
    return TRUE;
  if (phase != PV_PHASE_FAILED)
    return pv_throw (error, PV_ERROR_INVALID, "the snapshot has not been taken");
  if (self->failed_errno != 0)
    return pv_throw_errno (error, self->failed_errno, "the snapshot is not whole any more: %s", self->failed_why);
  return pv_throw (error, PV_ERROR_FAILED, "the snapshot is not whole any more: %s", self->failed_why);
}

static gint64
release_pages (PvMemsnap *self, const guint64 *args)
{
  pv_pages_release (self, &self->regions[args[0]], (gsize) args[1], (gsize) args[2]);
  return 0;
}

void
pv_memsnap_release (PvMemsnap *self, guint region, gsize offset, gsize length)
{
  gsize page_size, first, end;

  g_return_if_fail (region < self->n_regions && self->ops != NULL);
  page_size = self->regions[region].page_size;
  g_return_if_fail (offset <= self->regions[region].length && length <= self->regions[region].length - offset);
  first = (offset + page_size - 1) / page_size;
  end = (offset + length) / page_size;
  if (first < end)
    pv_memsnap_run (self, release_pages, region, first, end - first);
}

void
pv_memsnap_get_stats (PvMemsnap *self, PvMemsnapStats *stats)
{
  /* each by itself: the owner goes on counting */
  *stats = (PvMemsnapStats){
    .held_bytes = __atomic_load_n (&self->stats.held_bytes, __ATOMIC_RELAXED),
    .held_max_bytes = __atomic_load_n (&self->stats.held_max_bytes, __ATOMIC_RELAXED),
    .spilled_bytes = __atomic_load_n (&self->stats.spilled_bytes, __ATOMIC_RELAXED),
    .copies = __atomic_load_n (&self->stats.copies, __ATOMIC_RELAXED),
    .armed_us = __atomic_load_n (&self->stats.armed_us, __ATOMIC_RELAXED),
    .pause_us = __atomic_load_n (&self->stats.pause_us, __ATOMIC_RELAXED),
  };
}

gboolean
pv_memsnap_get_modified (PvMemsnap *self, guint region, guint64 *bitmap, gsize *n_modified, GError **error)
{
  PvMemsnapRegion *at = &self->regions[region];
  gsize n = 0;

  g_return_val_if_fail (region < self->n_regions && self->ops != NULL, FALSE);
  if (self->ops->find_modified != NULL && !self->ops->find_modified (self, at, error))
    return FALSE;
  memset (bitmap, 0, (at->n_pages + 63) / 64 * sizeof *bitmap);
  for (gsize page = 0; page < at->n_pages; page++)
    {
      if ((pv_page_load (at, page) & PV_PAGE_MODIFIED) != 0)
        {
          bitmap[page / 64] |= G_GUINT64_CONSTANT (1) << (page % 64);
          n++;
        }
    }
  if (n_modified != NULL)
    *n_modified = n;
  return TRUE;
}
