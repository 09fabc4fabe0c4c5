/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Merging: keeps the number of segments small, a bounded piece of work at a time.
 *
 * Segments are of the same level when their sizes differ by less than PV_MERGE_FAN_OUT times; that many of one
 * level become one of the next. So an entry is moved about log8 (objects / objects of a commit) times in its life,
 * and there are fewer than eight segments of each level. (With four a lookup of what is there goes through fewer
 * segments, but at ten million objects a commit then spent twice the processor time.) The work is done in steps,
 * each one transaction that moves some buckets' worth of entries from the sources to the target (index/segment.h)
 * and leaves nothing half done: whoever comes next goes on, no matter who began or died. Small merges go before
 * large ones, so that a merge of 100 million entries, spread over many commits, does not keep others waiting.
 * Entries whose pack is gone are dropped on the way.
 */
#pragma once

#include "index/index-private.h"

G_BEGIN_DECLS

#define PV_MERGE_FAN_OUT 8u

typedef struct
{
  guint64 writer;     /* whose pending segments; 0 = the listed ones, and what is dead is removed */
  guint fan_out;      /* segments of a level that are merged; at least 2 */
  guint64 budget;     /* entries moved before it stops */
  gboolean drop_dead; /* when much of the index points to packs that are gone, merge all of it */
  gboolean yield;     /* leave others a moment between steps */
} PvMergeOptions;

/* Merges until nothing is due or the budget is spent. Outside any transaction. */
gboolean pv_index_merge (PvIndex *self, const PvMergeOptions *options, GError **error);

/* Sorts the @n entries (PV_ENTRY_SIZE bytes each) at @data, which are @n_runs sorted runs one behind the other, the
 * i-th ending before entry @ends[i]; equal ones are kept once. The number that is left. */
gsize pv_merge_runs (guint8 *data, gsize n, const gsize *ends, guint n_runs);

G_END_DECLS
