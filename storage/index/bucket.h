/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Bucket: the bytes of one row of a segment: entries sorted by name, PV_ENTRY_SIZE bytes each.
 *
 *   0   32  name
 *   32   8  le64 location: pack << 28 | frame << 8 | slot; the top four bits are zero
 *
 * Several copies of an object lie side by side, sorted by location. A segment with n buckets keeps a name in the bucket
 * that its first 32 bits choose: names are digests, so buckets are alike in size.
 */
#pragma once

#include "index/index.h"

G_BEGIN_DECLS

#define PV_ENTRY_SIZE 40u
#define PV_ENTRY_FRAME_BITS 20u
#define PV_ENTRY_SLOT_BITS 8u
/* Entries in a bucket of a new segment: so that nearly every row (84 ± 9 entries of 40 bytes) fits a page of 4096
 * bytes, and a lookup reads one page. Measured against 24 to 180 entries in pages of 4 to 16 KiB: fastest to read,
 * to write and to remove. */
#define PV_BUCKET_MEAN 84u

/* The first 32 bits of a name, as a number: names in order are in order of it. */
static inline guint32
pv_name_prefix (const PvName *name)
{
  return ((guint32) name->bytes[0] << 24) | ((guint32) name->bytes[1] << 16) | ((guint32) name->bytes[2] << 8)
         | (guint32) name->bytes[3];
}

static inline guint32
pv_bucket_of (guint32 prefix, guint32 n_buckets)
{
  return (guint32) (((guint64) prefix * n_buckets) >> 32);
}

/* The smallest prefix that is in bucket @bucket (<= @n_buckets; one past the last gives 2^32). */
static inline guint64
pv_bucket_first_prefix (guint32 bucket, guint32 n_buckets)
{
  return (((guint64) bucket << 32) + n_buckets - 1) / n_buckets;
}

/* How many buckets a segment of @n entries gets. */
guint32 pv_bucket_count (guint64 n);

/* Orders by name, then location: for qsort and g_array_sort. */
gint pv_index_entry_compare (gconstpointer a, gconstpointer b);

void pv_bucket_put (guint8 *out, const PvIndexEntry *entry); /* PV_ENTRY_SIZE bytes at @out */
void pv_bucket_get (const guint8 *data, PvIndexEntry *entry);

/* The number of the first of the @n entries at @data that is not before @name. */
guint pv_bucket_find (const guint8 *data, guint n, const PvName *name);

/* TRUE when @size bytes at @data are a bucket number @bucket of @n_buckets: whole entries in order, all where they
 * belong. PV_ERROR_CORRUPT otherwise. */
gboolean pv_bucket_check (const guint8 *data, gsize size, guint32 bucket, guint32 n_buckets, GError **error);

G_END_DECLS
