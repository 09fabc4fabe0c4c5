/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvSnapshotCalls: the calls of the libvirt socket's clients that pagevaultd answers itself (docs/libvirt-socket.md):
 *
 *   create a snapshot with external memory    taken by a capture; the guest pauses for an instant
 *   revert to one that the store has          a lazy restore in the guest's place
 *   delete such a one                         libvirtd does it; then the store's part is deleted
 *
 * All that is not understood is passed on untouched. The client's right is asked of libvirtd first, over the client's
 * own connection. Each call has a thread of its own.
 *
 * new -> take … -> cancel -> free
 */
#pragma once

#include "daemon/libvirt-client.h"
#include "daemon/libvirt-link.h"
#include "daemon/pool-service.h"

G_BEGIN_DECLS

typedef struct _PvSnapshotCalls PvSnapshotCalls;

/* @link and @pool outlive it. @pool_directory: where the store's disks are served. @disks_directory: (nullable): where
 * disks of guests that are reverted go, instead of beside their own. */
PvSnapshotCalls *pv_snapshot_calls_new (PvStore *store, PvLibvirtLink *link, PvPoolService *pool,
                                        const char *pool_directory, const char *disks_directory);
/* A PvLibvirtCallFunc; @data is the object. */
gboolean pv_snapshot_calls_take (PvLibvirtClient *client, const guint8 *message, gsize size, gpointer data);
/* Takes no more, and has those that it took undone. Returns at once; nothing of the pool is used any more. */
void pv_snapshot_calls_cancel (PvSnapshotCalls *self);
/* Waits for them. */
void pv_snapshot_calls_free (PvSnapshotCalls *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvSnapshotCalls, pv_snapshot_calls_free)

G_END_DECLS
