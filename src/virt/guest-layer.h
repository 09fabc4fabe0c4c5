/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Opening a layer of a running guest's disks anew: QEMU keeps reading the file that it has opened, also when whoever
 * served that file is gone and another one serves it again.
 */
#pragma once

#include "virt/guest.h"

G_BEGIN_DECLS

/* (element-type utf8) (transfer full): files below @directory that QEMU has open as layers of @guest's disks, as its
 * command line says; empty when the guest does not run here. */
GPtrArray *pv_guest_layers_below (PvGuest *self, const char *directory);

/* TRUE when QEMU has a file open whose server is gone. */
gboolean pv_guest_has_dead_layer (PvGuest *self);

/* Has QEMU read the layer @path through @fd, open for reading, from now on. Its nodes keep their names, so libvirt does
 * not notice. Requests that have failed are tried again when the guest is resumed. */
gboolean pv_guest_reopen_layer (PvGuest *self, const char *path, int fd, GError **error);

/* Afterwards, when the guest runs: QEMU closes descriptors that were handed to it only then. */
void pv_guest_forget_layers (PvGuest *self);

G_END_DECLS
