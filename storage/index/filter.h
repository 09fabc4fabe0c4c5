/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvFilter: "that name is not in the index", told by one memory access.
 *
 * A blocked Bloom filter in a file that all processes map: 64-byte blocks, chosen by the first bits of a name, of
 * eight words, in each of which a name has one bit. PV_FILTER_BITS bits for each object it is made for; then about
 * one in 1000 names that are not there is said to be perhaps there. Bits are only ever added, atomically, by any
 * number of processes.
 *
 * It is an accelerator: a lost bit costs deduplication, one too many a look into SQLite. Who reads an object never
 * asks it. The file carries the id that the database names in its state row; any other file (missing, foreign,
 * replaced) is not used and made anew from the segments. While bits are being added it is *unsettled*: it then
 * counts only until the next boot, since a power cut may have lost some. The last one to close it syncs it and
 * notes a checksum of all its bits: it is *settled*. Its space is allocated when it is made, so that a full disk
 * cannot make a memory access fail.
 *
 * Reference counted; all functions from any thread.
 */
#pragma once

#include "chunk/name.h"

G_BEGIN_DECLS

#define PV_FILTER_ID_SIZE 16u               /* bytes */
#define PV_FILTER_BITS 16u                  /* for an object of the capacity */
#define PV_FILTER_CAPACITY_MIN (16u << 10)  /* objects: 32 KiB */
#define PV_FILTER_CAPACITY_MAX (128u << 20) /* objects: 256 MiB; with more of them it says "perhaps" more often */

typedef struct _PvFilter PvFilter;

/* Makes an empty one in a new temporary file beside @path, for @capacity objects (brought within the limits above),
 * with a new random id. PV_ERROR_NO_SPACE. Dropped without being published, the file is removed. */
PvFilter *pv_filter_new (const char *path, guint64 capacity, GError **error);
/* Puts it in place of @path, synced. */
gboolean pv_filter_publish (PvFilter *self, const char *path, GError **error);
/* The one at @path with this id. PV_ERROR_NOT_FOUND when there is none that can be relied on; make it anew. */
PvFilter *pv_filter_open (const char *path, const guint8 *id, gsize id_size, GError **error);
PvFilter *pv_filter_ref (PvFilter *self);
/* The last user of the file settles it. */
void pv_filter_unref (PvFilter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvFilter, pv_filter_unref)

const guint8 *pv_filter_id (const PvFilter *self); /* PV_FILTER_ID_SIZE bytes */
guint64 pv_filter_capacity (const PvFilter *self); /* objects */

/* FALSE: no object of that name was added. */
gboolean pv_filter_test (const PvFilter *self, const PvName *name);
/* Has the memory of @name's block fetched, for a test soon after. */
void pv_filter_prefetch (const PvFilter *self, const PvName *name);
void pv_filter_add (PvFilter *self, const PvName *name);

/* FALSE when it is settled and its bits are not those that were settled: PV_ERROR_CORRUPT. */
gboolean pv_filter_verify (PvFilter *self, GError **error);

G_END_DECLS
