/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvServedImages: the memory of snapshots as files that are made when they are read (restore/memory-view.h).
 *
 * The domain description in them names no disk of the guest's own, but the paths of xml/restore-path.h. Views of the
 * snapshots that were looked at last are kept. Any thread.
 */
#pragma once

#include "restore/memory-view.h"

G_BEGIN_DECLS

typedef struct _PvServedImages PvServedImages;

PvServedImages *pv_served_images_new (PvStore *store);
void pv_served_images_free (PvServedImages *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvServedImages, pv_served_images_free)

/* TRUE when @snapshot has memory that can be served. */
gboolean pv_served_images_can (PvSnapshot *snapshot);
/* (transfer full) */
PvMemoryView *pv_served_images_view (PvServedImages *self, PvSnapshot *snapshot, GError **error);
/* Bytes of the image; as good as free once it was asked for. */
gboolean pv_served_images_size (PvServedImages *self, PvSnapshot *snapshot, guint64 *size, GError **error);

/* (transfer full): @snapshot's domain description as it is served. */
char *pv_served_image_xml (PvSnapshot *snapshot, GError **error);

G_END_DECLS
