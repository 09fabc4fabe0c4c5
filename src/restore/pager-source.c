/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-source.h"

#include "restore/memory-image.h"
#include "stream/stream-decoder.h"
#include "util/error.h"

struct _PvPagerSource
{
  PvStreamHead *head; /* (owned) */
  GBytes *devices;    /* (owned) */
  gsize sections;     /* bytes of them that are device sections */
  GPtrArray *readers; /* (owned) (element-type PvVolumeReader): one for each block */
  GArray *first;      /* (owned) (element-type guint64): the first page of each block, and the end */
};

void
pv_pager_source_free (PvPagerSource *self)
{
  if (self == NULL)
    return;
  g_clear_pointer (&self->head, pv_stream_head_unref);
  g_clear_pointer (&self->devices, g_bytes_unref);
  g_ptr_array_unref (self->readers);
  g_array_unref (self->first);
  g_free (self);
}

static gboolean
open_blocks (PvPagerSource *self, PvStore *store, PvSnapshot *snapshot, GError **error)
{
  guint64 page = 0;

  for (guint i = 0; i < self->head->blocks->len; i++)
    {
      const PvRamBlock *block = g_ptr_array_index (self->head->blocks, i);
      const PvVolume *volume = pv_snapshot_find_volume (snapshot, PV_VOLUME_RAM, block->name);
      PvVolumeReader *reader;

      if (volume == NULL || volume->size != block->size)
        return pv_corrupt (error, "RAM block %s is not in the snapshot with the size that its stream had", block->name);
      reader = pv_volume_reader_new (store, volume, error);
      if (reader == NULL)
        return FALSE;
      g_ptr_array_add (self->readers, reader);
      g_array_append_val (self->first, page);
      page += block->size / PV_POSTCOPY_PAGE;
    }
  g_array_append_val (self->first, page);
  return TRUE;
}

static gboolean
read_devices (PvPagerSource *self, PvStore *store, PvSnapshot *snapshot, GError **error)
{
  gsize size;
  const guint8 *data;
  gssize sections;

  self->devices = pv_memory_image_read_devices (store, snapshot, error);
  if (self->devices == NULL)
    return FALSE;
  data = g_bytes_get_data (self->devices, &size);
  sections = pv_stream_devices_sections (data, size, self->head->footers);
  if (sections < 0)
    return pv_corrupt (error, "the device state of the snapshot is not complete");
  self->sections = (gsize) sections;
  return TRUE;
}

PvPagerSource *
pv_pager_source_new (PvStore *store, PvSnapshot *snapshot, GError **error)
{
  g_autoptr(PvPagerSource) self = g_new0 (PvPagerSource, 1);

  self->readers = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_volume_reader_free);
  self->first = g_array_new (FALSE, FALSE, sizeof (guint64));
  self->head = pv_memory_image_read_head (snapshot, error);
  if (self->head == NULL)
    return NULL;
  if (self->head->page_size != PV_POSTCOPY_PAGE || self->head->ignore_shared)
    {
      pv_throw (error, PV_ERROR_UNSUPPORTED, "the guest's memory has pages of %u bytes%s", self->head->page_size,
                self->head->ignore_shared ? ", some of them shared" : "");
      return NULL;
    }
  if (!open_blocks (self, store, snapshot, error) || !read_devices (self, store, snapshot, error))
    return NULL;
  return g_steal_pointer (&self);
}

const PvStreamHead *
pv_pager_source_head (const PvPagerSource *self)
{
  return self->head;
}

const guint8 *
pv_pager_source_devices (const PvPagerSource *self, gsize *size)
{
  *size = self->sections;
  return g_bytes_get_data (self->devices, NULL);
}

guint
pv_pager_source_n_blocks (const PvPagerSource *self)
{
  return self->readers->len;
}

guint64
pv_pager_source_first_page (const PvPagerSource *self, guint block)
{
  return g_array_index (self->first, guint64, block);
}

guint64
pv_pager_source_n_pages (const PvPagerSource *self)
{
  return pv_pager_source_first_page (self, self->readers->len);
}

PvVolumeReader *
pv_pager_source_reader (PvPagerSource *self, guint block)
{
  return g_ptr_array_index (self->readers, block);
}

void
pv_pager_source_locate (const PvPagerSource *self, guint64 page, guint *block, guint64 *offset)
{
  guint low = 0, high = self->readers->len;

  g_return_if_fail (page < pv_pager_source_n_pages (self));

  while (high - low > 1)
    {
      guint middle = (low + high) / 2;

      if (pv_pager_source_first_page (self, middle) <= page)
        low = middle;
      else
        high = middle;
    }
  *block = low;
  *offset = (page - pv_pager_source_first_page (self, low)) * PV_POSTCOPY_PAGE;
}

G_STATIC_ASSERT (PV_POSTCOPY_PAGE == PV_CHUNK_SIZE); /* so that a page has a name */

gboolean
pv_pager_source_read (PvPagerSource *self, guint64 page, PvObject *place, guint8 *data, gboolean *zero, GError **error)
{
  guint64 offset;
  guint block;

  pv_pager_source_locate (self, page, &block, &offset);
  return pv_volume_reader_chunk (pv_pager_source_reader (self, block), offset / PV_CHUNK_SIZE, place, data, zero,
                                 error);
}

gboolean
pv_pager_source_read_near (PvPagerSource *self, guint64 page, PvObject *place, guint8 *data)
{
  guint64 offset;
  guint block;

  pv_pager_source_locate (self, page, &block, &offset);
  return pv_volume_reader_chunk_near (pv_pager_source_reader (self, block), offset / PV_CHUNK_SIZE, place, data);
}
