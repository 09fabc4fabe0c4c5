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

#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"

#define CLUSTER 65536ull
#define CLUSTER_BITS 16u
#define L1_AT 3u                     /* cluster */
#define L1_COVERS (CLUSTER / 8 * CLUSTER) /* bytes of the disk behind one entry */
#define HEADER_SIZE 104u             /* bytes, version 3 */
#define EXTENSION_FORMAT 0xe2792acau /* name of the backing file's format */
#define BACKING "raw"
#define BACKING_AT (HEADER_SIZE + 24u) /* bytes: behind header, extension and the end of extensions */
#define BACKING_MAX 1023u            /* bytes: QEMU reads no more */
#define SIZE_MAX_BYTES (1ull << 46)  /* as large as a volume of the store may be */

static GByteArray *
make_header (guint64 size, guint64 n_l1, const char *backing)
{
  GByteArray *header = g_byte_array_new ();

  g_byte_array_append (header, (const guint8 *) "QFI\xfb", 4);
  pv_append_be32 (header, 3);
  pv_append_be64 (header, BACKING_AT);
  pv_append_be32 (header, (guint32) strlen (backing));
  pv_append_be32 (header, CLUSTER_BITS);
  pv_append_be64 (header, size);
  pv_append_be32 (header, 0); /* no encryption */
  pv_append_be32 (header, (guint32) n_l1);
  pv_append_be64 (header, L1_AT * CLUSTER);
  pv_append_be64 (header, 1 * CLUSTER); /* refcount table, of one cluster */
  pv_append_be32 (header, 1);
  pv_append_be32 (header, 0); /* internal snapshots: none */
  pv_append_be64 (header, 0);
  pv_append_be64 (header, 0); /* features: incompatible, compatible, autoclear */
  pv_append_be64 (header, 0);
  pv_append_be64 (header, 0);
  pv_append_be32 (header, 4); /* reference counts of 2^4 bits */
  pv_append_be32 (header, HEADER_SIZE);
  g_assert (header->len == HEADER_SIZE);
  pv_append_be32 (header, EXTENSION_FORMAT);
  pv_append_be32 (header, (guint32) strlen (BACKING));
  g_byte_array_append (header, (const guint8 *) BACKING "\0\0\0\0\0", 8);
  pv_append_be64 (header, 0); /* the end of extensions */
  g_assert (header->len == BACKING_AT);
  g_byte_array_append (header, (const guint8 *) backing, (guint) strlen (backing));
  return header;
}

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
  guint64 n_l1, n_clusters;
  g_autoptr(GByteArray) header = NULL;

  if (*backing != '/' || strlen (backing) > BACKING_MAX || size == 0 || size > SIZE_MAX_BYTES)
    return pv_throw (error, PV_ERROR_INVALID, "%s: there is no overlay over '%s'", name, backing);
  size = (size + 511) / 512 * 512;
  n_l1 = (size + L1_COVERS - 1) / L1_COVERS;
  n_clusters = L1_AT + (n_l1 * 8 + CLUSTER - 1) / CLUSTER;
  header = make_header (size, n_l1, backing);
  if (ftruncate (fd, (off_t) (n_clusters * CLUSTER)) < 0)
    return pv_throw_errno (error, errno, "%s", name);
  return write_refcounts (fd, n_clusters, name, error)
         && pv_pwrite_all (fd, header->data, header->len, 0, name, error);
}
