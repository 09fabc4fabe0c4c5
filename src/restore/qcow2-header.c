/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/qcow2-header.h"

#include <string.h>

#include "util/cursor.h"

enum
{
  HEADER_SIZE = 104,    /* bytes, version 3 */
  EXTENSION_SIZE = 16,  /* bytes: the backing file's format, filled up */
  EXTENSIONS_END = 8,   /* bytes */
};

#define EXTENSION_FORMAT 0xe2792acau /* kind of the extension that names the backing file's format */

/* Between header and name: what the backing file is, and the end of extensions. */
static void
append_extensions (GByteArray *bytes, const char *format)
{
  guint8 padded[EXTENSION_SIZE - 8] = { 0 };

  memcpy (padded, format, strlen (format));
  pv_append_be32 (bytes, EXTENSION_FORMAT);
  pv_append_be32 (bytes, (guint32) strlen (format));
  g_byte_array_append (bytes, padded, sizeof padded);
  pv_append_be64 (bytes, 0);
}

GByteArray *
pv_qcow2_header_bytes (const PvQcow2Header *self)
{
  GByteArray *bytes = g_byte_array_new ();
  guint32 backing_size = self->backing != NULL ? (guint32) strlen (self->backing) : 0;

  g_return_val_if_fail (backing_size <= PV_QCOW2_BACKING_MAX, bytes);
  g_return_val_if_fail (self->backing == NULL || strlen (self->backing_format) <= EXTENSION_SIZE - 8, bytes);

  g_byte_array_append (bytes, (const guint8 *) "QFI\xfb", 4);
  pv_append_be32 (bytes, 3); /* version */
  pv_append_be64 (bytes, backing_size > 0 ? HEADER_SIZE + EXTENSION_SIZE + EXTENSIONS_END : 0);
  pv_append_be32 (bytes, backing_size);
  pv_append_be32 (bytes, PV_QCOW2_CLUSTER_BITS);
  pv_append_be64 (bytes, self->size);
  pv_append_be32 (bytes, 0); /* no encryption */
  pv_append_be32 (bytes, (guint32) self->n_l1);
  pv_append_be64 (bytes, self->l1_at * PV_QCOW2_CLUSTER);
  pv_append_be64 (bytes, self->refcount_table_at * PV_QCOW2_CLUSTER);
  pv_append_be32 (bytes, (guint32) self->n_refcount_table);
  pv_append_be32 (bytes, 0); /* internal snapshots: none */
  pv_append_be64 (bytes, 0);
  pv_append_be64 (bytes, 0); /* features: incompatible, compatible, autoclear */
  pv_append_be64 (bytes, 0);
  pv_append_be64 (bytes, 0);
  pv_append_be32 (bytes, 4); /* reference counts of 2^4 bits */
  pv_append_be32 (bytes, HEADER_SIZE);
  g_assert (bytes->len == HEADER_SIZE);
  if (backing_size == 0)
    return bytes;
  append_extensions (bytes, self->backing_format);
  g_byte_array_append (bytes, (const guint8 *) self->backing, backing_size);
  return bytes;
}
