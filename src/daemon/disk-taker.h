/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDiskTaker: the disks of a guest that libvirt saves, read at the instant of its memory.
 *
 *   new (when the description is known: asks libvirt, behind, what it is doing) -> take (at the last write) -> free
 *
 * When libvirt marks a save image finished, the guest stands still, and QEMU has flushed its disks and let go of them;
 * libvirt ends the guest when the write returns. So what is read within that write is of the very instant. This is so
 * for a save only. A snapshot with memory (snapshot-create-as --memspec) goes on after it: its guest would stand still
 * for as long as its disks take. Which of the two it is, libvirt says, asked by a thread of its own while the memory
 * comes; nobody waits for the thread.
 */
#pragma once

#include "daemon/libvirt-link.h"
#include "store/txn.h"
#include "xml/domain-xml.h"

G_BEGIN_DECLS

typedef struct _PvDiskTaker PvDiskTaker;

/* @domain: the description in the image. */
PvDiskTaker *pv_disk_taker_new (PvLibvirtLink *link, PvDomainXml *domain);
/* The thread ends by itself. */
void pv_disk_taker_free (PvDiskTaker *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDiskTaker, pv_disk_taker_free)

/* When the guest is being saved: takes all disks that it can write, and its UEFI variables, into @txn. Of a disk that
 * its description leaves out of snapshots it notes what it looks like. When a snapshot is being taken: takes none, and
 * @taken (out) is FALSE. PV_ERROR_UNSUPPORTED when a disk cannot be taken, FAILED when libvirt does not say what it
 * does: a guest without its disks could not be restored. */
gboolean pv_disk_taker_take (PvDiskTaker *self, PvTxn *txn, gboolean *taken, GError **error);

G_END_DECLS
