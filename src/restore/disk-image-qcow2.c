/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A qcow2 file whose layout is known before the first byte is written:
 *
 *   header | L1 table | L2 tables | refcount table | refcount blocks | data clusters, in the order of the disk
 *
 * Every cluster has a reference count of one. All integers are big-endian.
 */
#include "config.h"

#include "restore/disk-image.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "restore/qcow2-header.h"
#include "restore/volume-pieces.h"
#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"

#define CLUSTER PV_QCOW2_CLUSTER
#define L2_ENTRIES PV_QCOW2_L2_ENTRIES
#define REFCOUNTS PV_QCOW2_REFCOUNTS
#define COPIED (G_GUINT64_CONSTANT (1) << 63) /* entry: the reference count is exactly one */

typedef struct
{
  guint64 virtual_size; /* bytes */
  guint8 *allocated;    /* (owned): a bit for each cluster of the disk */
  guint64 n_disk;       /* clusters of the disk */
  guint64 n_data;       /* of them allocated */
  guint64 n_l1;         /* entries */
  guint64 n_l2;         /* tables */
  guint64 n_refcount_blocks;
  guint64 l1_at, l2_at, refcount_table_at, refcount_blocks_at, data_at, end; /* clusters of the file */
} Layout;

static void
layout_clear (Layout *self)
{
  g_free (self->allocated);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Layout, layout_clear)

static inline guint64
divide_up (guint64 value, guint64 by)
{
  return value / by + (value % by != 0);
}

static inline gboolean
is_allocated (const Layout *layout, guint64 cluster)
{
  return (layout->allocated[cluster / 8] >> (cluster % 8) & 1) != 0;
}

static gboolean
mark_allocated (Layout *layout, PvVolumeReader *reader, GError **error)
{
  guint64 size = pv_volume_reader_size (reader), length;
  gboolean zero;

  for (guint64 offset = 0; offset < size; offset += length)
    {
      if (!pv_volume_reader_extent (reader, offset, &length, &zero, error))
        return FALSE;
      for (guint64 i = offset / CLUSTER; !zero && i <= (offset + length - 1) / CLUSTER; i++)
        if (!is_allocated (layout, i))
          {
            layout->allocated[i / 8] |= (guint8) (1u << (i % 8));
            layout->n_data++;
          }
    }
  return TRUE;
}

static gboolean
table_needed (const Layout *layout, guint64 l1_index)
{
  guint64 end = MIN ((l1_index + 1) * L2_ENTRIES, layout->n_disk);

  for (guint64 i = l1_index * L2_ENTRIES; i < end; i++)
    if (is_allocated (layout, i))
      return TRUE;
  return FALSE;
}

static gboolean
layout_init (Layout *layout, PvVolumeReader *reader, GError **error)
{
  guint64 before = 0;

  layout->virtual_size = divide_up (pv_volume_reader_size (reader), 512) * 512;
  layout->n_disk = divide_up (layout->virtual_size, CLUSTER);
  layout->n_l1 = divide_up (layout->n_disk, L2_ENTRIES);
  layout->allocated = g_malloc0 (layout->n_disk / 8 + 1);
  if (!mark_allocated (layout, reader, error))
    return FALSE;
  for (guint64 i = 0; i < layout->n_l1; i++)
    layout->n_l2 += table_needed (layout, i);
  layout->l1_at = 1;
  layout->l2_at = layout->l1_at + MAX (divide_up (layout->n_l1 * 8, CLUSTER), 1);
  layout->refcount_table_at = layout->l2_at + layout->n_l2;
  do
    {
      before = layout->n_refcount_blocks;
      layout->refcount_blocks_at
        = layout->refcount_table_at + MAX (divide_up (layout->n_refcount_blocks * 8, CLUSTER), 1);
      layout->data_at = layout->refcount_blocks_at + layout->n_refcount_blocks;
      layout->end = layout->data_at + layout->n_data;
      layout->n_refcount_blocks = divide_up (layout->end, REFCOUNTS);
    }
  while (layout->n_refcount_blocks != before);
  return TRUE;
}

static gboolean
write_header (const Layout *layout, int fd, const char *name, GError **error)
{
  const PvQcow2Header header = {
    .size = layout->virtual_size,
    .n_l1 = layout->n_l1,
    .l1_at = layout->l1_at,
    .refcount_table_at = layout->refcount_table_at,
    .n_refcount_table = layout->refcount_blocks_at - layout->refcount_table_at,
  };
  g_autoptr(GByteArray) bytes = pv_qcow2_header_bytes (&header);

  return pv_pwrite_all (fd, bytes->data, bytes->len, 0, name, error);
}

/* One cluster of big-endian entries: @first, @first + step … for @n of them. */
static gboolean
write_sequence (int fd, guint64 at, guint64 first, guint64 step, guint64 n, const char *name, GError **error)
{
  g_autoptr(GByteArray) entries = g_byte_array_sized_new ((guint) n * 8);

  for (guint64 i = 0; i < n; i++)
    pv_append_be64 (entries, first + i * step);
  return pv_pwrite_all (fd, entries->data, entries->len, at * CLUSTER, name, error);
}

static gboolean
write_refcounts (const Layout *layout, int fd, const char *name, GError **error)
{
  if (!write_sequence (fd, layout->refcount_table_at, layout->refcount_blocks_at * CLUSTER, CLUSTER,
                       layout->n_refcount_blocks, name, error))
    return FALSE;
  for (guint64 i = 0; i < layout->n_refcount_blocks; i++)
    {
      g_autoptr(GByteArray) block = g_byte_array_sized_new (CLUSTER);

      for (guint64 n = MIN (layout->end - i * REFCOUNTS, REFCOUNTS); n > 0; n--)
        pv_append_be16 (block, 1);
      if (!pv_pwrite_all (fd, block->data, block->len, (layout->refcount_blocks_at + i) * CLUSTER, name, error))
        return FALSE;
    }
  return TRUE;
}

static gboolean
write_tables (const Layout *layout, int fd, const char *name, GError **error)
{
  g_autoptr(GByteArray) l1 = g_byte_array_new ();
  guint64 data = layout->data_at, table = layout->l2_at;

  for (guint64 i = 0; i < layout->n_l1; i++)
    {
      g_autoptr(GByteArray) l2 = NULL;
      guint64 end = MIN ((i + 1) * L2_ENTRIES, layout->n_disk);

      if (!table_needed (layout, i))
        {
          pv_append_be64 (l1, 0);
          continue;
        }
      l2 = g_byte_array_sized_new (CLUSTER);
      for (guint64 cluster = i * L2_ENTRIES; cluster < end; cluster++)
        pv_append_be64 (l2, is_allocated (layout, cluster) ? data++ * CLUSTER | COPIED : 0);
      if (!pv_pwrite_all (fd, l2->data, l2->len, table * CLUSTER, name, error))
        return FALSE;
      pv_append_be64 (l1, table++ * CLUSTER | COPIED);
    }
  g_assert (data == layout->end && table == layout->refcount_table_at);
  return pv_pwrite_all (fd, l1->data, l1->len, layout->l1_at * CLUSTER, name, error);
}

/* Pieces come in the order of the disk, so that the allocated clusters before one can be counted on the way. */
static gboolean
write_data (const Layout *layout, PvVolumeReader *reader, int fd, const char *name, const PvTransfer *transfer,
            GError **error)
{
  g_autoptr(PvVolumePieces) pieces = pv_volume_pieces_new (reader, PV_CHUNK_SIZE, transfer->cancellable);
  guint64 counted = 0, rank = 0; /* allocated clusters before cluster number `counted` of the disk */
  PvPiece piece;

  do
    {
      if (!pv_volume_pieces_next (pieces, &piece, error))
        return FALSE;
      if (piece.data != NULL)
        {
          guint64 at;

          for (; counted < piece.offset / CLUSTER; counted++)
            rank += is_allocated (layout, counted);
          at = (layout->data_at + rank) * CLUSTER + piece.offset % CLUSTER;
          if (!pv_pwrite_all (fd, piece.data, piece.size, at, name, error))
            return FALSE;
        }
      pv_transfer_report (transfer, piece.offset + piece.size, pv_volume_reader_size (reader));
    }
  while (piece.size > 0);
  return TRUE;
}

gboolean
pv_disk_image_write_qcow2 (PvVolumeReader *reader, int fd, const char *name, const PvTransfer *transfer,
                           GError **error)
{
  g_auto(Layout) layout = { 0 };

  if (!layout_init (&layout, reader, error))
    return FALSE;
  if (ftruncate (fd, (off_t) (layout.end * CLUSTER)) < 0)
    return pv_throw_errno (error, errno, "%s", name);
  return write_data (&layout, reader, fd, name, transfer, error)
         && write_tables (&layout, fd, name, error)
         && write_refcounts (&layout, fd, name, error)
         && write_header (&layout, fd, name, error)
         && pv_fsync (fd, name, error);
}
