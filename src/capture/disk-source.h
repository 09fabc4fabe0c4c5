/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDiskSource: the frozen layers of one disk, read through a qemu-nbd of its own.
 *
 * open (qemu-nbd is started read-only and ends with us, also when we are killed) -> size -> copy (allocated extents
 * only) -> free. The layers must not change meanwhile: they lie below an overlay, or their domain is off. Formats are
 * those that QEMU reads; the backing chain is followed as the images say. One thread.
 */
#pragma once

#include <gio/gio.h>

#include "store/txn.h"

G_BEGIN_DECLS

typedef struct _PvDiskSource PvDiskSource;

/* @path: an image file or a block device; @format: "raw", "qcow2" …, never guessed from the content. @run_directory:
 * for a socket. UNSUPPORTED when qemu-nbd is not installed; FAILED with qemu-nbd's words when the image cannot be
 * opened. */
PvDiskSource *pv_disk_source_open (const char *path, const char *format, const char *run_directory, GError **error);
void pv_disk_source_free (PvDiskSource *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDiskSource, pv_disk_source_free)

guint64 pv_disk_source_size (const PvDiskSource *self); /* bytes that the guest sees */

/* Bytes of the disk gone over so far, of @total. */
typedef void (*PvDiskProgressFunc) (guint64 done, guint64 total, gpointer data);

/* Writes what is allocated and not zero into @writer, whose volume is as large as the disk. @new_layers: how many
 * layers from the top were written since the base snapshot: what lies deeper is kept from the base volume without
 * reading it; 0 = read everything. */
gboolean pv_disk_source_copy (PvDiskSource *self, PvVolumeWriter *writer, guint new_layers, PvDiskProgressFunc progress,
                              gpointer data, GCancellable *cancellable, GError **error);

G_END_DECLS
