/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/tracking-check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "memsnap/process-memory.h"
#include "store/volume-reader.h"
#include "util/error.h"

enum
{
  PAGE = 4096,
  STEP = 1 << 20, /* bytes */
};

struct _PvTrackingCheck
{
  const PvRamMap *map; /* (not owned) */
  guint8 **copies;     /* (owned): of each block; what was never noted is zero */
};

PvTrackingCheck *
pv_tracking_check_new (const PvRamMap *map, GError **error)
{
  g_autoptr(PvTrackingCheck) self = g_new0 (PvTrackingCheck, 1);

  self->map = map;
  self->copies = g_new0 (guint8 *, pv_ram_map_n_blocks (map));
  for (guint i = 0; i < pv_ram_map_n_blocks (map); i++)
    {
      gpointer copy = mmap (NULL, pv_ram_map_block (map, i)->size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

      if (copy == MAP_FAILED)
        {
          pv_throw (error, PV_ERROR_NO_SPACE, "there is no memory for a copy of the guest's: leave --check-tracking "
                    "out");
          return NULL;
        }
      self->copies[i] = copy;
    }
  return g_steal_pointer (&self);
}

void
pv_tracking_check_free (PvTrackingCheck *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < pv_ram_map_n_blocks (self->map); i++)
    if (self->copies[i] != NULL)
      munmap (self->copies[i], pv_ram_map_block (self->map, i)->size);
  g_free (self->copies);
  g_free (self);
}

void
pv_tracking_check_note (PvTrackingCheck *self, const PvRamPages *pages)
{
  for (guint i = 0; i < pages->pieces->len; i++)
    {
      const PvRamPiece *piece = &g_array_index (pages->pieces, PvRamPiece, i);

      if (piece->bytes != NULL)
        memcpy (self->copies[piece->block] + piece->offset, piece->bytes, piece->size);
      else
        memset (self->copies[piece->block] + piece->offset, 0, piece->size);
    }
}

gboolean
pv_tracking_check_note_kept (PvTrackingCheck *self, PvStore *store, PvSnapshot *base, const PvRamPiece *piece,
                             GError **error)
{
  const char *name = pv_ram_map_block (self->map, piece->block)->name;
  const PvVolume *volume = pv_snapshot_find_volume (base, PV_VOLUME_RAM, name);
  g_autoptr(PvVolumeReader) reader = pv_volume_reader_new (store, volume, error);
  guint8 *copy = self->copies[piece->block] + piece->offset;

  return reader != NULL && pv_volume_reader_read (reader, piece->offset, piece->size, copy, error);
}

/* @n: pages that differ, added to; @first: (inout): the first of them, in words (transfer full). */
static gboolean
compare_piece (const PvRamMapBlock *block, guint64 at, const guint8 *copy, pid_t pid, guint64 *n, char **first,
               GError **error)
{
  g_autofree guint8 *now = g_malloc (STEP);
  gsize size = MIN (STEP, block->size - at);

  if (!pv_process_memory_read (pid, block->address + at, now, size, error))
    return FALSE;
  for (gsize page = 0; page < size && memcmp (now, copy + at, size) != 0; page += PAGE)
    {
      if (memcmp (now + page, copy + at + page, PAGE) == 0)
        continue;
      if ((*n)++ == 0)
        *first = g_strdup_printf ("block %s, offset 0x%" G_GINT64_MODIFIER "x", block->name, at + page);
    }
  return TRUE;
}

gboolean
pv_tracking_check_compare (PvTrackingCheck *self, pid_t pid, void (*tick) (gpointer tick_data), gpointer tick_data,
                           GError **error)
{
  g_autofree char *first = NULL;
  guint64 n = 0;

  for (guint i = 0; i < pv_ram_map_n_blocks (self->map); i++)
    {
      const PvRamMapBlock *block = pv_ram_map_block (self->map, i);

      for (guint64 at = 0; at < block->size; at += STEP)
        {
          if (!compare_piece (block, at, self->copies[i], pid, &n, &first, error))
            return FALSE;
          tick (tick_data);
        }
    }
  return n == 0
         || pv_throw (error, PV_ERROR_CORRUPT, "%" G_GUINT64_FORMAT " pages of the guest's memory were written to "
                      "unseen, the first in %s: take it with --engine qemu, and report this", n, first);
}
