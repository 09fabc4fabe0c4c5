/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPagerAhead: the pages of a working set, read and put into the bytes of a stream while libvirt starts the guest.
 *
 *   new (threads read) -> wait -> pages, bytes -> free (waits for what is under way)
 */
#pragma once

#include "restore/pager-source.h"

G_BEGIN_DECLS

#define PV_PAGER_AHEAD_MAX 16384u /* pages: 64 MiB */

typedef struct _PvPagerAhead PvPagerAhead;

/* @pages: (element-type guint64): the first PV_PAGER_AHEAD_MAX of them count, and never all pages that there are.
 * @source must outlive it. */
PvPagerAhead *pv_pager_ahead_new (PvPagerSource *source, const GArray *pages);
void pv_pager_ahead_free (PvPagerAhead *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPagerAhead, pv_pager_ahead_free)

/* Until all is read. An error names volume and pack. Once. */
gboolean pv_pager_ahead_wait (PvPagerAhead *self, GError **error);
/* (element-type guint64) (transfer none): the pages, in their order in memory. */
const GArray *pv_pager_ahead_pages (const PvPagerAhead *self);
/* (transfer none): the PART with all of them; empty when there are none. After wait. */
const GByteArray *pv_pager_ahead_bytes (const PvPagerAhead *self);

G_END_DECLS
