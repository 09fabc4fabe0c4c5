/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvMemoryView: the memory of a snapshot as a libvirt save image that is nowhere written: any part of it is made when
 * it is read. Byte for byte it is the file that pv_memory_image_write() makes.
 *
 *   start    header, domain XML and cookie (stream/save-image.h), then all of the stream before the first page
 *   records  block by block, page by page: a page record where the page has data, a zero record where it is a hole;
 *            both have a size that depends on the block only, so that a bit for each page and a running count tell
 *            where any page lies
 *   tail     the end of the RAM section, then device state
 *
 * A view costs one bit of memory for each page of the guest. Any thread may read. Whoever reads for long pins the
 * snapshot (store/store.h).
 */
#pragma once

#include "store/volume-reader.h"

G_BEGIN_DECLS

typedef struct _PvMemoryView PvMemoryView; /* reference counted */

/* @xml: (nullable): another domain description than the snapshot's own. Goes through the leaves of all RAM volumes.
 * PV_ERROR_NOT_FOUND when the snapshot has no memory; UNSUPPORTED when it has no description either. */
PvMemoryView *pv_memory_view_new (PvStore *store, PvSnapshot *snapshot, const char *xml, GError **error);
PvMemoryView *pv_memory_view_ref (PvMemoryView *self);
void pv_memory_view_unref (PvMemoryView *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvMemoryView, pv_memory_view_unref)

guint64 pv_memory_view_size (const PvMemoryView *self);

/* Reads @size bytes at @offset, offset + size <= pv_memory_view_size(): wholly, or an error that says what is
 * damaged. */
gboolean pv_memory_view_read (PvMemoryView *self, guint64 offset, gsize size, guint8 *data, GError **error);

G_END_DECLS
