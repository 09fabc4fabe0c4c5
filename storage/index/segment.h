/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Segment: a sorted run of entries, kept as buckets: rows (segment << 32 | bucket) of table "bucket".
 *
 * A segment's id is never used again and its buckets never change. A merge makes one segment (the target) of
 * several (its sources) range by range, from the lowest names on: each step writes the target's next buckets and
 * removes what it moved from the sources, in one transaction. So at any time each name lies either in the target or
 * in the sources; the range of name prefixes in which a segment answers is part of what a transaction sees:
 *
 *   PENDING   of a writer that has not committed: nobody else looks into it
 *   LISTED    part of the index
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
  PV_SEGMENT_DEAD = 2,
} PvSegmentState;

#define PV_PREFIX_END (G_GUINT64_CONSTANT (1) << 32)

typedef struct
{
  guint32 id;
  guint32 n_buckets;
  guint64 n_entries; /* that it answers for */
  guint64 begin;     /* it answers for prefixes from begin on … */
  guint64 end;       /* … below this: 0 and PV_PREFIX_END outside merges */
} PvSegment;

typedef struct
{
  PvSegment segment;
  PvSegmentState state;
  guint32 filled; /* buckets written: below n_buckets it is the target of a merge. DEAD: buckets removed */
  guint32 target; /* the segment it is being merged into; 0 = none */
} PvSegmentRow;

/* Beginning of the @sql of pv_segment_list(); goes on with WHERE, about s (the segment) and t (its target). */
#define PV_SEGMENT_SELECT \
  "SELECT s.id, s.n_buckets, s.n_entries, s.state, s.filled, coalesce (s.target, 0), coalesce (t.filled, 0)," \
  " coalesce (t.n_buckets, 1) FROM segment AS s LEFT JOIN segment AS t ON t.id = s.target "
/* The rows that the string literal @sql selects; @value becomes its ?1 when it has one. (element-type PvSegmentRow) */
GArray *pv_segment_list (PvDatabase *database, const char *sql, gint64 value, GError **error);

/* Adds a segment row with buckets for @n_entries entries, none of which are written yet. @writer: 0 = none. */
gboolean pv_segment_insert (PvDatabase *database, PvSegmentState state, guint64 n_entries, guint64 writer,
                            PvSegment *segment, GError **error);
/* Writes bucket @bucket: @n sorted entries (PV_ENTRY_SIZE bytes each) at @data. Every bucket is written, empty ones
 * too. */
gboolean pv_segment_put (PvDatabase *database, const PvSegment *segment, guint32 bucket, const guint8 *data, gsize n,
                         GError **error);
/* Notes that @filled buckets are written and that @n_entries entries are in it; @target: 0 = none. */
gboolean pv_segment_update (PvDatabase *database, const PvSegment *segment, guint32 filled, guint64 n_entries,
                            guint32 target, GError **error);
/* Writes a whole segment of @n sorted entries. */
gboolean pv_segment_write (PvDatabase *database, PvSegmentState state, const PvIndexEntry *entries, gsize n,
                           guint64 writer, PvSegment *segment, GError **error);
/* Removes the rows of buckets @first to @end - 1. */
gboolean pv_segment_remove_buckets (PvDatabase *database, const PvSegment *segment, guint32 first, guint32 end,
                                    GError **error);
/* Removes the segment's own row. */
gboolean pv_segment_remove (PvDatabase *database, const PvSegment *segment, GError **error);

static inline gboolean
pv_segment_answers (const PvSegment *self, guint32 prefix)
{
  return prefix >= self->begin && prefix < self->end;
}

/* One bucket, read as long as @query is: @data points at @n entries. A missing or ragged row is PV_ERROR_CORRUPT. */
gboolean pv_segment_get (PvQuery *query, PvDatabase *database, const PvSegment *segment, guint32 bucket,
                         const guint8 **data, guint *n, GError **error);

typedef struct
{
  PvSegment segment;
  PvQuery query;
  guint32 next;         /* bucket that comes next */
  guint32 end;          /* bucket after the last one wanted */
  guint64 begin_prefix; /* wanted */
  guint64 end_prefix;   /* first not wanted */
} PvSegmentScan;
#define PV_SEGMENT_SCAN_INIT { .query = PV_QUERY_INIT }
void pv_segment_scan_clear (PvSegmentScan *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvSegmentScan, pv_segment_scan_clear)

/* Reads what the segment has of the prefixes from @begin on below @end, in order. One scan at a time for a
 * connection. */
gboolean pv_segment_scan_begin (PvSegmentScan *self, PvDatabase *database, const PvSegment *segment, guint64 begin,
                                guint64 end, GError **error);
/* The next bucket's entries, without those outside the range. @data: (out): NULL after the last. Bucket self->next
 * - 1 was read. */
gboolean pv_segment_scan_next (PvSegmentScan *self, const guint8 **data, guint *n, GError **error);

G_END_DECLS
