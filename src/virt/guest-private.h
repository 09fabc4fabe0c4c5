/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of PvGuest share. */
#pragma once

#include "virt/guest.h"

G_BEGIN_DECLS

/* Sets @error from libvirt's last error, led by "guest NAME: cannot …"; says so when the connection is lost, and which
 * security profile to look at when a file was refused. Always FALSE. */
gboolean pv_guest_throw (PvGuest *self, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

G_END_DECLS
