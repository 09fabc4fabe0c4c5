/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The header of the qcow2 files that we make (QEMU's docs/interop/qcow2.txt): version 3, no features, clusters of
 * 64 KiB, reference counts of 16 bits, no internal snapshots. All integers are big-endian. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_QCOW2_CLUSTER_BITS 16u
#define PV_QCOW2_CLUSTER (G_GUINT64_CONSTANT (1) << PV_QCOW2_CLUSTER_BITS) /* bytes */
#define PV_QCOW2_L2_ENTRIES (PV_QCOW2_CLUSTER / 8) /* in a table, which covers 512 MiB of the disk */
#define PV_QCOW2_REFCOUNTS (PV_QCOW2_CLUSTER / 2)  /* in a block */
#define PV_QCOW2_BACKING_MAX 1023u                 /* bytes of a backing file's name: QEMU reads no more */

typedef struct
{
  guint64 size;                     /* bytes of the disk */
  guint64 n_l1;                     /* entries of the L1 table */
  guint64 l1_at;                    /* clusters of the file */
  guint64 refcount_table_at;        /* likewise */
  guint64 n_refcount_table;         /* clusters */
  const char *backing;              /* (nullable): name of the backing file, at most PV_QCOW2_BACKING_MAX bytes */
  const char *backing_format;       /* (nullable): its format, at most 8 bytes; not NULL when there is a backing file */
} PvQcow2Header;

/* The bytes that the file begins with, less than a cluster. */
GByteArray *pv_qcow2_header_bytes (const PvQcow2Header *self);

G_END_DECLS
