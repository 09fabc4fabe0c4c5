/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Segment: an immutable sorted run of entries, kept as buckets: rows (segment << 32 | bucket) of table "bucket".
 *
 * Once written a segment never changes and its id is never used again, so whoever holds an id may read its buckets; that the rows are
 * still there is given by the transaction in which the id was seen.
 *
 *   PENDING   written by a writer that has not committed: nobody else looks into it
 *   LISTED    part of the index
 *   TARGET    being written by a merge (index/merge.h); sources are LISTED until it is done
 *   DEAD      no longer part of anything; its rows are removed bit by bit
 *
 * All functions run inside the caller's transaction.
 */
#pragma once

#include "index/bucket.h"
#include "index/database.h"

G_BEGIN_DECLS

typedef enum
{
  PV_SEGMENT_PENDING = 0,
  PV_SEGMENT_LISTED = 1,
  PV_SEGMENT_TARGET = 2,
  PV_SEGMENT_DEAD = 3,
} PvSegmentState;

typedef struct
{
  guint32 id;
  guint32 n_buckets;
  guint64 n_entries;
} PvSegment;

/* Every column of table "segment" but the writer. */
typedef struct
{
  PvSegment segment;
  PvSegmentState state;
  guint32 progress; /* TARGET: buckets written; DEAD: buckets removed */
  guint32 target;   /* LISTED: the segment it is being merged into, 0 = none */
} PvSegmentRow;

/* The columns that pv_segment_row_read() expects, in order. */
#define PV_SEGMENT_COLUMNS "id, n_buckets, n_entries, state, progress, coalesce (target, 0)"
gboolean pv_segment_row_read (PvQuery *query, PvSegmentRow *row, GError **error);

/* Adds a segment row for @n_entries entries; no buckets yet. @writer: 0 = none. */
gboolean pv_segment_insert (PvDatabase *database, PvSegmentState state, guint64 n_entries, guint64 writer,
                            PvSegment *segment, GError **error);
/* Writes one bucket: @n sorted entries (PV_ENTRY_SIZE bytes each) at @data. Every bucket of a segment must be written, empty ones too. */
gboolean pv_segment_put (PvDatabase *database, const PvSegment *segment, guint32 bucket, const guint8 *data, gsize n,
                         GError **error);
/* Writes a whole segment of @n sorted entries. */
gboolean pv_segment_write (PvDatabase *database, PvSegmentState state, const PvIndexEntry *entries, gsize n,
                           guint64 writer, PvSegment *segment, GError **error);

/* One bucket, read as long as @query is: @data points at @n entries. A missing or ragged row is PV_ERROR_CORRUPT. */
gboolean pv_segment_get (PvQuery *query, PvDatabase *database, const PvSegment *segment, guint32 bucket,
                         const guint8 **data, guint *n, GError **error);

typedef struct
{
  PvSegment segment;
  PvQuery query;
  guint32 next; /* bucket that comes next */
  guint32 end;  /* bucket after the last one wanted */
} PvSegmentScan;
#define PV_SEGMENT_SCAN_INIT { { 0, 0, 0 }, PV_QUERY_INIT, 0, 0 }
void pv_segment_scan_clear (PvSegmentScan *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvSegmentScan, pv_segment_scan_clear)

/* Reads the buckets @first to @end - 1 in order. One scan at a time for a connection. */
gboolean pv_segment_scan_begin (PvSegmentScan *self, PvDatabase *database, const PvSegment *segment, guint32 first,
                                guint32 end, GError **error);
/* @data: (out): NULL after the last. Bucket self->next - 1 was read. */
gboolean pv_segment_scan_next (PvSegmentScan *self, const guint8 **data, guint *n, GError **error);

G_END_DECLS
