/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/memory-view.h"

#include <string.h>

#include "restore/memory-image.h"
#include "stream/save-image.h"
#include "stream/stream-encoder.h"
#include "util/error.h"
#include "virt/attachments.h"

#define GROUP 512u         /* pages between two entries of Block.before */
#define READ_SIZE (1u << 20) /* bytes of pages read at a time */

/* The records of one block. */
typedef struct
{
  PvVolumeReader *reader; /* (owned) */
  guint64 n_pages;
  guint8 *data;           /* (owned): a bit for each page, set where the page has a page record */
  guint64 *before;        /* (owned): page records before page i * GROUP */
  guint64 zero_record;    /* bytes of a zero record */
  guint64 page_record;    /* bytes of a page record */
  guint64 start, end;     /* bytes into the image */
} Block;

struct _PvMemoryView
{
  int ref_count;      /* atomic */
  PvStreamHead *head; /* (owned) */
  GBytes *start;      /* (owned) */
  GArray *blocks;     /* (owned) (element-type Block) */
  GBytes *tail;       /* (owned) */
  guint64 size;       /* bytes */
};

static void
block_clear (gpointer data)
{
  Block *block = data;

  g_clear_pointer (&block->reader, pv_volume_reader_free);
  g_free (block->data);
  g_free (block->before);
}

static inline gboolean
has_data (const Block *block, guint64 page)
{
  return (block->data[page / 8] >> (page % 8) & 1) != 0;
}

/* --- making ------------------------------------------------------------------------------------------------------ */

/* A page is a hole when all of it is. */
static gboolean
mark_pages (Block *block, guint page_size, GError **error)
{
  guint64 size = pv_volume_reader_size (block->reader), length = 0;

  for (guint64 offset = 0; offset < size; offset += length)
    {
      gboolean zero = FALSE;

      if (!pv_volume_reader_extent (block->reader, offset, &length, &zero, error))
        return FALSE;
      for (guint64 page = offset / page_size; !zero && page <= (offset + length - 1) / page_size; page++)
        block->data[page / 8] |= (guint8) (1u << (page % 8));
    }
  return TRUE;
}

static guint64
count_pages (Block *block)
{
  guint64 count = 0;

  for (guint64 page = 0; page < block->n_pages; page++)
    {
      if (page % GROUP == 0)
        block->before[page / GROUP] = count;
      count += has_data (block, page);
    }
  return count;
}

static gboolean
block_init (Block *block, PvMemoryView *self, PvStore *store, PvSnapshot *snapshot, guint index, GError **error)
{
  const PvRamBlock *ram = g_ptr_array_index (self->head->blocks, index);
  const PvVolume *volume = pv_snapshot_find_volume (snapshot, PV_VOLUME_RAM, ram->name);
  guint64 n_data;

  if (volume == NULL || volume->size != ram->size)
    return pv_corrupt (error, "RAM block %s is not in the snapshot with the size that its stream had", ram->name);
  block->reader = pv_volume_reader_new (store, volume, error);
  if (block->reader == NULL)
    return FALSE;
  block->n_pages = ram->size / self->head->page_size;
  block->data = g_malloc0 (block->n_pages / 8 + 1);
  block->before = g_new0 (guint64, block->n_pages / GROUP + 1);
  block->zero_record = pv_stream_zero_record_size (self->head, index);
  block->page_record = pv_stream_page_record_size (self->head, index);
  if (!mark_pages (block, self->head->page_size, error))
    return FALSE;
  n_data = count_pages (block);
  block->start = self->size;
  block->end = block->start + n_data * block->page_record + (block->n_pages - n_data) * block->zero_record;
  self->size = block->end;
  return TRUE;
}

/* (transfer full) (nullable): attachment @name as a string. */
static char *
read_text (PvSnapshot *snapshot, const char *name)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, name);

  return bytes != NULL ? g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)) : NULL;
}

static gboolean
make_start (PvMemoryView *self, PvSnapshot *snapshot, const char *xml, GError **error)
{
  g_autofree char *own_xml = read_text (snapshot, PV_ATTACH_DOMAIN_XML);
  g_autofree char *cookie = read_text (snapshot, PV_ATTACH_COOKIE);
  g_autoptr(GBytes) image = NULL;
  GByteArray *start = NULL;

  if (xml == NULL && own_xml == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "the snapshot has no domain XML, which a save image needs: it came from a bare QEMU stream");
  image = pv_save_image_compose (xml != NULL ? xml : own_xml, cookie, pv_snapshot_state (snapshot) == PV_GUEST_RUNNING,
                                 PV_SAVE_FORMAT_RAW, PV_RAM_PAGE_MIN, TRUE, error);
  if (image == NULL)
    return FALSE;
  start = g_bytes_unref_to_array (g_steal_pointer (&image));
  pv_stream_head_append_start (self->head, start);
  pv_stream_head_append_ram_setup (self->head, start);
  pv_stream_append_part_start (self->head, start);
  self->start = g_byte_array_free_to_bytes (start);
  self->size = g_bytes_get_size (self->start);
  return TRUE;
}

static gboolean
make_tail (PvMemoryView *self, PvStore *store, PvSnapshot *snapshot, GError **error)
{
  g_autoptr(GBytes) devices = pv_memory_image_read_devices (store, snapshot, error);
  GByteArray *tail;

  if (devices == NULL)
    return FALSE;
  tail = g_byte_array_new ();
  pv_stream_append_section_end (self->head, tail);
  pv_stream_append_ram_end (self->head, tail);
  g_byte_array_append (tail, g_bytes_get_data (devices, NULL), (guint) g_bytes_get_size (devices));
  self->tail = g_byte_array_free_to_bytes (tail);
  self->size += g_bytes_get_size (self->tail);
  return TRUE;
}

PvMemoryView *
pv_memory_view_new (PvStore *store, PvSnapshot *snapshot, const char *xml, GError **error)
{
  g_autoptr(PvMemoryView) self = g_new0 (PvMemoryView, 1);

  self->ref_count = 1;
  self->blocks = g_array_new (FALSE, TRUE, sizeof (Block));
  g_array_set_clear_func (self->blocks, block_clear);
  self->head = pv_memory_image_read_head (snapshot, error);
  if (self->head == NULL || !make_start (self, snapshot, xml, error))
    return NULL;
  for (guint i = 0; i < self->head->blocks->len; i++)
    {
      g_array_set_size (self->blocks, i + 1);
      if (!block_init (&g_array_index (self->blocks, Block, i), self, store, snapshot, i, error))
        return NULL;
    }
  return make_tail (self, store, snapshot, error) ? g_steal_pointer (&self) : NULL;
}

PvMemoryView *
pv_memory_view_ref (PvMemoryView *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
pv_memory_view_unref (PvMemoryView *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_clear_pointer (&self->head, pv_stream_head_unref);
  g_clear_pointer (&self->start, g_bytes_unref);
  g_clear_pointer (&self->tail, g_bytes_unref);
  g_array_unref (self->blocks);
  g_free (self);
}

guint64
pv_memory_view_size (const PvMemoryView *self)
{
  return self->size;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

/* What is still wanted. */
typedef struct
{
  guint64 skip; /* bytes of what comes next that lie before the first one wanted */
  guint8 *to;
  gsize room;   /* bytes */
} Wanted;

/* The image goes on with @size bytes at @bytes: takes what is wanted of them. */
static void
take (Wanted *wanted, const guint8 *bytes, gsize size)
{
  gsize skip = (gsize) MIN (wanted->skip, size), n = MIN (size - skip, wanted->room);

  wanted->skip -= skip;
  memcpy (wanted->to, bytes + skip, n);
  wanted->to += n;
  wanted->room -= n;
}

static void
take_bytes (Wanted *wanted, GBytes *bytes)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  take (wanted, data, size);
}

/* Bytes of records before page @page, a multiple of GROUP. */
static guint64
group_offset (const Block *block, guint64 page)
{
  guint64 n_data = block->before[page / GROUP];

  return n_data * block->page_record + (page - n_data) * block->zero_record;
}

/* The page whose record has the byte @offset of the block's records; @offset becomes bytes into that record. */
static guint64
find_page (const Block *block, guint64 *offset)
{
  guint64 low = 0, high = (block->n_pages - 1) / GROUP, page;

  while (low < high)
    {
      guint64 middle = (low + high + 1) / 2;

      if (group_offset (block, middle * GROUP) <= *offset)
        low = middle;
      else
        high = middle - 1;
    }
  page = low * GROUP;
  *offset -= group_offset (block, page);
  for (;; page++)
    {
      guint64 record = has_data (block, page) ? block->page_record : block->zero_record;

      if (*offset < record)
        return page;
      *offset -= record;
    }
}

/* Pages from @page on that all have data and of which something is wanted. */
static guint
count_run (const PvMemoryView *self, const Block *block, guint64 page, const Wanted *wanted)
{
  guint64 most = MIN ((wanted->room + wanted->skip) / block->page_record + 1, READ_SIZE / self->head->page_size);
  guint n = 1;

  while (n < most && page + n < block->n_pages && has_data (block, page + n))
    n++;
  return n;
}

static gboolean
take_pages (PvMemoryView *self, guint index, guint64 page, guint n, Wanted *wanted, GError **error)
{
  const Block *block = &g_array_index (self->blocks, Block, index);
  gsize page_size = self->head->page_size;
  g_autofree guint8 *pages = g_malloc (n * page_size);
  g_autoptr(GByteArray) header = g_byte_array_new ();

  if (!pv_volume_reader_read (block->reader, page * page_size, n * page_size, pages, error))
    return FALSE;
  for (guint i = 0; i < n && wanted->room > 0; i++)
    {
      g_byte_array_set_size (header, 0);
      pv_stream_append_page_header (self->head, index, (page + i) * page_size, header);
      take (wanted, header->data, header->len);
      take (wanted, pages + i * page_size, page_size);
    }
  return TRUE;
}

static void
take_zero (PvMemoryView *self, guint index, guint64 page, Wanted *wanted)
{
  g_autoptr(GByteArray) record = g_byte_array_new ();

  pv_stream_append_zero_record (self->head, index, page * self->head->page_size, record);
  take (wanted, record->data, record->len);
}

/* From byte @offset of the image, which lies in the block, to the block's end. */
static gboolean
take_records (PvMemoryView *self, guint index, guint64 offset, Wanted *wanted, GError **error)
{
  const Block *block = &g_array_index (self->blocks, Block, index);
  guint64 page;

  wanted->skip = offset - block->start;
  page = find_page (block, &wanted->skip);
  while (page < block->n_pages && wanted->room > 0)
    {
      guint n = 1;

      if (has_data (block, page))
        {
          n = count_run (self, block, page, wanted);
          if (!take_pages (self, index, page, n, wanted, error))
            return FALSE;
        }
      else
        take_zero (self, index, page, wanted);
      page += n;
    }
  return TRUE;
}

gboolean
pv_memory_view_read (PvMemoryView *self, guint64 offset, gsize size, guint8 *data, GError **error)
{
  guint64 start_size = g_bytes_get_size (self->start), end = start_size;
  Wanted wanted = { .skip = offset, .to = data, .room = size };

  g_return_val_if_fail (size <= self->size && offset <= self->size - size, FALSE);

  if (offset < start_size)
    take_bytes (&wanted, self->start);
  for (guint i = 0; i < self->blocks->len && wanted.room > 0; i++)
    {
      const Block *block = &g_array_index (self->blocks, Block, i);
      guint64 at = MAX (offset, block->start);

      end = block->end;
      if (at < end && !take_records (self, i, at, &wanted, error))
        return FALSE;
    }
  wanted.skip = offset > end ? offset - end : 0;
  if (wanted.room > 0)
    take_bytes (&wanted, self->tail);
  return TRUE;
}
