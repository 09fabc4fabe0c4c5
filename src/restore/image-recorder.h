/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvImageRecorder: notes how a memory image is laid out while it is imported (restore/image-layout.h).
 *
 *   new -> for each piece of the file: buffer, then page / zero as the decoder finds them -> finish
 *
 * Pages that a later copy replaces are found at the end, and kept from the file, which must be seekable and not
 * change. One thread.
 */
#pragma once

#include "restore/image-layout.h"
#include "restore/scratch-file.h"
#include "stream/stream-head.h"

G_BEGIN_DECLS

typedef struct _PvImageRecorder PvImageRecorder;

/* @fd: the image; borrowed. @name: for messages. */
PvImageRecorder *pv_image_recorder_new (PvStoreScratch *scratch, int fd, const char *name, GError **error);
void pv_image_recorder_free (PvImageRecorder *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvImageRecorder, pv_image_recorder_free)

/* Once, before the first page. */
void pv_image_recorder_set_head (PvImageRecorder *self, const PvStreamHead *head);
/* What is fed to the decoder next: @size bytes from @position of the file. Borrowed until the next call or
 * finish(), during which it need not be there any more. */
void pv_image_recorder_buffer (PvImageRecorder *self, const guint8 *bytes, guint64 position, gsize size);
/* The page of @block at @offset lies at @position of the file, behind all earlier ones. */
gboolean pv_image_recorder_page (PvImageRecorder *self, guint block, guint64 offset, guint64 position, GError **error);
/* The page is zeroed by the record that comes now. */
gboolean pv_image_recorder_zero (PvImageRecorder *self, guint block, guint64 offset, GError **error);
/* Adds the blobs to @txn. @size: bytes of the file. */
gboolean pv_image_recorder_finish (PvImageRecorder *self, PvTxn *txn, guint64 size, GError **error);

G_END_DECLS
