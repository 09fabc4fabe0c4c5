/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What a disk of a snapshot is called in the pool: DOMAIN@NAME.TARGET.raw */
#pragma once

#include <glib.h>

#include "store/snapshot.h"

G_BEGIN_DECLS

#define PV_DISK_NAME_MAX 255 /* bytes: no file system takes more */

/* (transfer full) (nullable): NULL when the name would be too long for a file; the disk is not in the pool then. */
char *pv_disk_name_make (PvSnapshot *snapshot, const PvVolume *disk);
/* TRUE when @name may be one; then its parts (out) (transfer full). */
gboolean pv_disk_name_parse (const char *name, char **domain, char **snapshot, char **target);

G_END_DECLS
