/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of PvGuest share. */
#pragma once

#include "virt/guest.h"

G_BEGIN_DECLS

/* Sets @error from libvirt's last error, led by "guest NAME: cannot …"; says so when the connection is lost, and which security profile
 * to look at when a file was refused. Always FALSE. */
gboolean pv_guest_throw (PvGuest *self, GError **error, const char *format, ...) G_GNUC_PRINTF (3, 4);

/* (transfer full) (nullable): the data of the last event of @name, as JSON text. */
char *pv_guest_events_data (PvGuestEvents *self, const char *name);

/* TRUE when both paths lead to the same file. */
gboolean pv_same_file (const char *a, const char *b);

G_END_DECLS
