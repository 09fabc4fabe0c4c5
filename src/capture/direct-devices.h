/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDirectDevices: the device state of a guest without its memory: xen-save-devices-state, which every QEMU for x86
 * has, into a memory file of ours.
 *
 *   new (the guest runs) -> save (it is paused) -> read -> free
 *
 * The descriptor that QEMU has of it is in the journal, and taken back when that is undone.
 */
#pragma once

#include "capture/engine.h"

G_BEGIN_DECLS

typedef struct _PvDirectDevices PvDirectDevices;

/* Makes the file and gives it to QEMU. NULL on error. */
PvDirectDevices *pv_direct_devices_new (PvCapture *capture, GError **error);
/* @self: (nullable). */
void pv_direct_devices_free (PvDirectDevices *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvDirectDevices, pv_direct_devices_free)

/* Only on a paused guest. */
gboolean pv_direct_devices_save (PvDirectDevices *self, PvGuest *guest, GError **error);

/* (transfer full): what save() had written, as QEMU wrote it. */
GBytes *pv_direct_devices_read (PvDirectDevices *self, GError **error);

G_END_DECLS
