/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPagerSource: the memory of a snapshot, page by page, as a pager needs it.
 *
 * All pages of all RAM blocks are numbered through, in the order of the stream's head; pages are PV_POSTCOPY_PAGE
 * bytes. Any thread.
 */
#pragma once

#include "restore/postcopy-stream.h"
#include "store/volume-reader.h"

G_BEGIN_DECLS

typedef struct _PvPagerSource PvPagerSource;

/* PV_ERROR_NOT_FOUND when there is no memory; UNSUPPORTED when it cannot be served page by page (another page size). */
PvPagerSource *pv_pager_source_new (PvStore *store, PvSnapshot *snapshot, GError **error);
void pv_pager_source_free (PvPagerSource *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPagerSource, pv_pager_source_free)

const PvStreamHead *pv_pager_source_head (const PvPagerSource *self);
/* (transfer none): device sections for a package. */
const guint8 *pv_pager_source_devices (const PvPagerSource *self, gsize *size);

guint64 pv_pager_source_n_pages (const PvPagerSource *self);
guint pv_pager_source_n_blocks (const PvPagerSource *self);
/* Number of the first page of @block; with @block = n_blocks that behind the last page. */
guint64 pv_pager_source_first_page (const PvPagerSource *self, guint block);
PvVolumeReader *pv_pager_source_reader (PvPagerSource *self, guint block);
/* Block and bytes into it of page @page, which must be one. */
void pv_pager_source_locate (const PvPagerSource *self, guint64 page, guint *block, guint64 *offset);

/* Reads one page into @data. @zero: (out): it is all zeros, and @data is not touched. An error names volume and
 * pack. @place: (inout): as for pv_volume_reader_chunk(). */
gboolean pv_pager_source_read (PvPagerSource *self, guint64 page, PvObject *place, guint8 *data, gboolean *zero,
                               GError **error);
/* Likewise, when the page lies in the frame of @place, which costs next to nothing; FALSE: it does not, or is zero. */
gboolean pv_pager_source_read_near (PvPagerSource *self, guint64 page, PvObject *place, guint8 *data);

G_END_DECLS
