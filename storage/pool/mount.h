/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvMount: the disks of all snapshots of a store as files of a read-only file system (FUSE).
 *
 *   new (the file system is there) -> run (until it is unmounted, or a signal comes) -> free
 *
 * DIR/DOMAIN@NAME.TARGET.raw is the disk as the guest saw it. Snapshots appear and disappear as they are made and
 * deleted. A file that is open is pinned: gc keeps what it needs, also when its snapshot is deleted. Owner and mode
 * of a file can be changed, which libvirt does when it gives a guest its disk; they are not kept.
 *
 * Used by one thread; many serve behind run().
 */
#pragma once

#include "pool/mount-files.h"
#include "store/store.h"

G_BEGIN_DECLS

typedef struct _PvMount PvMount;

/* @directory: exists. Files are for all users that their mode allows, when root mounts; else for the mounting user.
 * PV_ERROR_UNSUPPORTED when there is no FUSE here. */
PvMount *pv_mount_new (PvStore *store, const char *directory, GError **error);
/* Likewise with more files than the disks, which can then be removed, too. @files and @data outlive the mount. */
PvMount *pv_mount_new_with_files (PvStore *store, const char *directory, const PvMountFiles *files, gpointer data,
                                  GError **error);
void pv_mount_free (PvMount *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvMount, pv_mount_free)

/* Any thread: TRUE when somebody has a disk of snapshot @full (DOMAIN@NAME) open. */
gboolean pv_mount_is_open (PvMount *self, const char *full);

/* Serves. SIGINT, SIGTERM and SIGHUP end it unless they have a handler of another. */
gboolean pv_mount_run (PvMount *self, GError **error);

/* TRUE when @directory is a file system of this kind. */
gboolean pv_mount_is_there (const char *directory);

typedef enum
{
  PV_MOUNT_NONE,   /* nothing is mounted there, or no file system of this kind */
  PV_MOUNT_SERVED,
  PV_MOUNT_DEAD,   /* mounted, and whoever served it is gone */
  PV_MOUNT_SILENT, /* mounted, and no answer came in time */
} PvMountState;

/* Waits for an answer @timeout_ms at most. */
PvMountState pv_mount_state (const char *directory, guint timeout_ms);

/* Unmounts @directory when whoever served it was killed; else leaves it alone. */
void pv_mount_clear_dead (const char *directory);

G_END_DECLS
