/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/mapped-ram.h"

#include <string.h>

#include "stream/stream-decoder-private.h"
#include "util/error.h"
#include "util/file.h"

#define FEED_SIZE (64u << 10)   /* bytes read at a time of what lies between the pages */
#define BITMAP_SIZE (64u << 10) /* bytes of a bitmap held at a time */
#define RUN_SIZE (1u << 20)     /* bytes of pages read at a time */

gboolean
pv_mapped_ram_probe (int fd, guint64 offset)
{
  static const PvStreamHandler nothing = { 0 };
  g_autoptr(PvStreamDecoder) decoder = pv_stream_decoder_new (&nothing, NULL);
  g_autofree guint8 *start = g_malloc (FEED_SIZE);
  gssize n = pv_pread_full (fd, start, FEED_SIZE, offset, "memory stream", NULL);

  if (n <= 0)
    return FALSE;
  pv_stream_decoder_accept_mapped (decoder, offset);
  (void) pv_stream_decoder_feed (decoder, start, n, NULL);
  return pv_stream_decoder_is_mapped (decoder);
}

typedef struct
{
  int fd;
  const char *name;
  PvStreamDecoder *decoder;
  guint page_size;
  guint8 *run;    /* RUN_SIZE bytes */
  guint8 *bitmap; /* BITMAP_SIZE bytes */
} Pages;

/* Pages @first … @first + @n - 1 of the block are in the file. */
static gboolean
read_run (Pages *p, guint block, guint64 pages_offset, guint64 first, guint64 n, GError **error)
{
  guint64 per_read = RUN_SIZE / p->page_size;

  while (n > 0)
    {
      guint64 now = MIN (n, per_read);
      gsize size = now * p->page_size;
      guint64 offset = first * p->page_size;

      if (!pv_pread_exact (p->fd, p->run, size, pages_offset + offset, p->name, error)
          || !pv_stream_decoder_emit_pages (p->decoder, block, offset, p->run, size, error))
        return FALSE;
      first += now;
      n -= now;
    }
  return TRUE;
}

static inline gboolean
bit_is_set (const guint8 *bitmap, guint64 i)
{
  return (bitmap[i / 8] >> (i % 8) & 1) != 0;
}

/* @bitmap: of pages @first … @first + @n_pages - 1. */
static gboolean
read_marked (Pages *p, guint block, guint64 pages_offset, guint64 first, guint64 n_pages, GError **error)
{
  for (guint64 i = 0; i < n_pages;)
    {
      guint64 start;

      if (i % 8 == 0 && p->bitmap[i / 8] == 0)
        {
          i += 8;
          continue;
        }
      if (!bit_is_set (p->bitmap, i))
        {
          i++;
          continue;
        }
      start = i;
      while (i < n_pages && bit_is_set (p->bitmap, i))
        i++;
      if (!read_run (p, block, pages_offset, first + start, i - start, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
read_block (Pages *p, guint block, guint64 size, const PvMappedBlock *place, GError **error)
{
  guint64 n_pages = size / p->page_size;

  if (place->pages_offset == 0)
    return TRUE;
  for (guint64 first = 0; first < n_pages; first += BITMAP_SIZE * 8)
    {
      guint64 now = MIN (n_pages - first, BITMAP_SIZE * 8);

      if (!pv_pread_exact (p->fd, p->bitmap, (now + 7) / 8, place->bitmap_offset + first / 8, p->name, error)
          || !read_marked (p, block, place->pages_offset, first, now, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
read_pages (int fd, const char *name, PvStreamDecoder *decoder, GError **error)
{
  const PvStreamHead *head = pv_stream_decoder_peek_head (decoder);
  const GArray *places = pv_stream_decoder_mapped_blocks (decoder);
  g_autofree guint8 *run = g_malloc (RUN_SIZE), *bitmap = g_malloc (BITMAP_SIZE);
  Pages p = { .fd = fd, .name = name, .decoder = decoder, .page_size = head->page_size, .run = run, .bitmap = bitmap };

  for (guint i = 0; i < places->len; i++)
    {
      const PvRamBlock *block = g_ptr_array_index (head->blocks, i);

      if (!read_block (&p, i, block->size, &g_array_index (places, PvMappedBlock, i), error))
        {
          g_prefix_error (error, "RAM block %s: ", block->name);
          return FALSE;
        }
    }
  return TRUE;
}

gboolean
pv_mapped_ram_decode (int fd, guint64 offset, const char *name, PvStreamDecoder *decoder, GError **error)
{
  g_autofree guint8 *buffer = g_malloc (FEED_SIZE);
  gboolean pages_read = FALSE;

  pv_stream_decoder_accept_mapped (decoder, offset);
  for (;;)
    {
      gssize n = pv_pread_full (fd, buffer, FEED_SIZE, offset, name, error);

      if (n < 0)
        return FALSE;
      if (n == 0)
        break;
      if (!pv_stream_decoder_feed (decoder, buffer, n, error))
        return FALSE;
      offset += n + pv_stream_decoder_take_gap (decoder);
      if (!pages_read && pv_stream_decoder_ram_is_set_up (decoder))
        {
          pages_read = TRUE;
          if (!read_pages (fd, name, decoder, error))
            return FALSE;
        }
    }
  return pv_stream_decoder_finish (decoder, error);
}
