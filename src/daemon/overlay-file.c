/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The layout (QEMU's docs/interop/qcow2.txt), in clusters of 64 KiB; all integers are big-endian:
 *
 *   0 header, extension, backing file name | 1 refcount table | 2 refcount block | 3 … L1 table, all zeros
 */
#include "config.h"

#include "daemon/overlay-file.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "restore/qcow2-header.h"
#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"

#define CLUSTER PV_QCOW2_CLUSTER
#define L1_AT 3u                                  /* cluster */
#define L1_COVERS (PV_QCOW2_L2_ENTRIES * CLUSTER) /* bytes of the disk behind one entry */
#define SIZE_MAX_BYTES (1ull << 46)               /* as large as a volume of the store may be */

static gboolean
write_refcounts (int fd, guint64 n_clusters, const char *name, GError **error)
{
  g_autoptr(GByteArray) table = g_byte_array_new ();
  g_autoptr(GByteArray) block = g_byte_array_new ();

  pv_append_be64 (table, 2 * CLUSTER);
  for (guint64 i = 0; i < n_clusters; i++)
    pv_append_be16 (block, 1);
  return pv_pwrite_all (fd, table->data, table->len, 1 * CLUSTER, name, error)
         && pv_pwrite_all (fd, block->data, block->len, 2 * CLUSTER, name, error);
}

gboolean
pv_overlay_file_write (int fd, guint64 size, const char *backing, const char *name, GError **error)
{
  PvQcow2Header header = { .l1_at = L1_AT,
                           .refcount_table_at = 1,
                           .n_refcount_table = 1,
                           .backing = backing,
                           .backing_format = "raw" };
  g_autoptr(GByteArray) bytes = NULL;
  guint64 n_clusters;

  if (*backing != '/' || strlen (backing) > PV_QCOW2_BACKING_MAX || size == 0 || size > SIZE_MAX_BYTES)
    return pv_throw (error, PV_ERROR_INVALID, "%s: there is no overlay over '%s'", name, backing);
  header.size = (size + 511) / 512 * 512;
  header.n_l1 = (header.size + L1_COVERS - 1) / L1_COVERS;
  n_clusters = L1_AT + (header.n_l1 * 8 + CLUSTER - 1) / CLUSTER;
  bytes = pv_qcow2_header_bytes (&header);
  if (ftruncate (fd, (off_t) (n_clusters * CLUSTER)) < 0)
    return pv_throw_errno (error, errno, "%s", name);
  return write_refcounts (fd, n_clusters, name, error)
         && pv_pwrite_all (fd, bytes->data, bytes->len, 0, name, error);
}
