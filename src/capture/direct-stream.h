/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a migration stream of a guest would say besides its pages, for who reads those himself: its head, composed from
 * what the monitor tells, and its device state, from xen-save-devices-state (every x86 QEMU has it, Xen or not).
 *
 * That command saves what a migration saves after memory: all sections but those of memory, disks' dirty bitmaps and
 * the like, which have no state that a fresh QEMU would want. It is called with live=false on a paused guest: then it
 * neither changes the run state nor gives the disks away. What it says of the run state is "running"; libvirt decides
 * that by itself after an incoming migration.
 */
#pragma once

#include "capture/ram-map.h"
#include "stream/stream-head.h"

G_BEGIN_DECLS

/* (transfer full): for the blocks of @map. */
PvStreamHead *pv_direct_stream_head (PvGuest *guest, const PvRamMap *map, GError **error);

/* (transfer full): what follows the pages: sections of devices, EOF, a description. @saved: what xen-save-devices-state
 * wrote. PV_ERROR_CORRUPT when it is not whole; PV_ERROR_UNSUPPORTED for a machine type so old that its sections have
 * no footers. */
GBytes *pv_direct_stream_devices (GBytes *saved, GError **error);

G_END_DECLS
