/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvNbdExport: a qemu-nbd process that serves one image read-only on a unix socket, for one reader. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PvNbdExport PvNbdExport;

/* Starts it and waits until it answers. @image: as QEMU's block layer names it ("json:{…}"). @directory: for the
 * socket, whose file is removed by free(). PV_ERROR_UNSUPPORTED when qemu-nbd is not installed, FAILED with its own
 * words when it does not come up. It ends with the thread that made it. */
PvNbdExport *pv_nbd_export_start (const char *image, const char *directory, GError **error);
/* Ends the process and waits for it. */
void pv_nbd_export_free (PvNbdExport *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvNbdExport, pv_nbd_export_free)

const char *pv_nbd_export_socket (const PvNbdExport *self);

G_END_DECLS
