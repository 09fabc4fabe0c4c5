/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a running guest must not be asked for: to be migrated, by 'virsh migrate' or by what is a migration inside, as
 * 'virsh save' is, and to be snapshotted inside its qcow2 files.
 *
 * QEMU 7.2 is harmed by being asked while a migration comes in: it refuses, but believes ever after that one is being
 * set up, and refuses all later ones. A device that cannot be migrated makes it refuse before, without any harm, and
 * libvirt tells so before it pauses the guest. The device is a disk image that no guest sees, of a kind that QEMU never
 * migrates; QEMU's sentence ends with the name of its node.
 */
#pragma once

#include "virt/guest.h"

G_BEGIN_DECLS

#define PV_GUEST_NODE_NAME_MAX 31u /* characters that QEMU takes for the name of a node */

/* Forbids it until pv_guest_allow_migration(). @node: what it is for: a letter, then letters, digits, '-' and '.', at
 * most PV_GUEST_NODE_NAME_MAX. PV_ERROR_FAILED where QEMU lacks that kind of image, or must not read what it is given.
 * Blocks on QEMU's monitor. */
gboolean pv_guest_forbid_migration (PvGuest *self, const char *node, GError **error);
/* It is fine when it was not forbidden. */
gboolean pv_guest_allow_migration (PvGuest *self, const char *node, GError **error);

/* Has this QEMU refuse snapshots inside qcow2 files for as long as it lives, by a device that would have to be part of
 * them and cannot be. Where libvirt names the devices that are (since 10.10) it is none of them. @node: as above. */
gboolean pv_guest_forbid_internal_snapshots (PvGuest *self, const char *node, GError **error);

G_END_DECLS
