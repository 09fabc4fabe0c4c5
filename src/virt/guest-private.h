/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of PvGuest share. */
#pragma once

#include "virt/guest.h"

G_BEGIN_DECLS

/* Sets @error from libvirt's last error, led by "guest NAME: cannot …"; says so when the connection is lost, and which
 * security profile to look at when a file was refused. Always FALSE. */
gboolean pv_guest_throw (PvGuest *self, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* What pv_guest_give_fd() gave. QEMU's nodes have descriptors of their own, so this may be as soon as they are made. */
void pv_guest_take_fd_back (PvGuest *self, gint64 set);
/* Deletes the block node @name. One that is not there is fine: somebody was killed who had come this far. */
gboolean pv_guest_delete_node (PvGuest *self, const char *name, GError **error);

G_END_DECLS
