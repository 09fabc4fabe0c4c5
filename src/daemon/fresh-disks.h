/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvFreshDisks: the disks of the instant of a memory image, made when a guest is about to be restored from it.
 *
 * The description of an image from the pool names paths that lead nowhere (xml/restore-path.h). Each becomes
 *   - the guest's own disk, when the snapshot knows what it looked like and nobody has written to it since;
 *   - else a new qcow2 overlay over the served image of the disk, beside the guest's own.
 * Files that exist are never touched. Each overlay is written down in STORE/overlays before it has a name: the
 * snapshot below it is needed as long as the file exists.
 *
 * Nothing here calls libvirt, which waits for the answer. Any thread.
 */
#pragma once

#include "store/store.h"

G_BEGIN_DECLS

/* The name of snapshots that are libvirt's managed saves: these go on with the guest's own disks, or not at all. */
#define PV_MANAGED_SAVE "managedsave"

typedef struct _PvFreshDisks PvFreshDisks;

/* @pool_directory: where the store's disks are served. @disks_directory: (nullable): where overlays go instead of
 * beside the guest's own disks. */
PvFreshDisks *pv_fresh_disks_new (PvStore *store, const char *pool_directory, const char *disks_directory);
void pv_fresh_disks_free (PvFreshDisks *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvFreshDisks, pv_fresh_disks_free)

/* (transfer full): description @xml with the disks of its instant; NULL without @error when it names no path that leads
 * nowhere. @made: (element-type utf8): gets the paths of the files that were made, also when it fails. The error is a
 * sentence for the user. */
char *pv_fresh_disks_make (PvFreshDisks *self, const char *xml, GPtrArray *made, GError **error);
/* Makes what make() has written down durable: for the time when nobody waits any more. */
void pv_fresh_disks_sync (PvFreshDisks *self);
/* Removes files that make() has made and that nobody has written to. (element-type utf8) */
void pv_fresh_disks_undo (PvFreshDisks *self, GPtrArray *made);
/* Likewise all that were made for domain @name before @time (microseconds since 1970), when its start failed, or it
 * ended. */
void pv_fresh_disks_forget (PvFreshDisks *self, const char *name, gint64 time);

/* (transfer full) (nullable): a file that lies over a disk of @snapshot (DOMAIN@NAME). */
char *pv_fresh_disks_over (PvFreshDisks *self, const char *snapshot);

/* PV_ERROR_BUSY, a sentence, when @xml, whose memory is that of @snapshot, has one of the guest's own disks that has
 * been written to since. */
gboolean pv_fresh_disks_check_own (PvFreshDisks *self, PvSnapshot *snapshot, const char *xml, GError **error);

G_END_DECLS
