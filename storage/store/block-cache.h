/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvBlockCache: blocks of 1 MiB of packs that lie elsewhere, in files of a directory, of bounded size.
 *
 * Any number of threads and processes may use one directory. A block is one file, written aside and renamed; those not
 * read for longest go first. Nothing is synced and nothing is believed: whoever reads checks what a block holds, and
 * has it fetched again when it is wrong. A directory that cannot be written to only makes reading slower.
 */
#pragma once

#include <gio/gio.h>

#include "chunk/name.h"

G_BEGIN_DECLS

#define PV_BLOCK_SIZE (1u << 20) /* bytes; the last block of a pack is shorter */

typedef struct _PvBlockCache PvBlockCache;

/* (transfer full): bytes @offset to @offset + @size of pack @name. Any thread. */
typedef GBytes *(*PvBlockFetch) (const PvName *name, guint64 offset, gsize size, gpointer data, GError **error);

/* @directory: made when needed. @limit: bytes that the files may have together, about. @fetch: where blocks come
 * from. */
PvBlockCache *pv_block_cache_new (const char *directory, guint64 limit, PvBlockFetch fetch, gpointer data);
void pv_block_cache_free (PvBlockCache *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvBlockCache, pv_block_cache_free)

/* Reads @size bytes at @offset of pack @name, of which bytes before @end are of interest, into @buffer. Who wants a
 * block that another thread is fetching waits for that. @again: fetches also what is there. PV_ERROR_CORRUPT beyond
 * @end; the errors of the fetch function. */
gboolean pv_block_cache_read (PvBlockCache *self, const PvName *name, guint64 end, guint64 offset, gsize size,
                              guint8 *buffer, gboolean again, GError **error);

/* Fetches the block of pack @name that holds @offset unless it is there. For reading ahead. */
gboolean pv_block_cache_want (PvBlockCache *self, const PvName *name, guint64 end, guint64 offset, GError **error);

G_END_DECLS
