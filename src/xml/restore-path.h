/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the disks of a memory image from the pool are said to be: nowhere.
 *
 *   /run/pagevault/needs-hook/ID/DOMAIN@NAME/TARGET
 *
 * A domain description in such an image names these paths instead of the guest's own disks, which have gone on since.
 * The hook puts in their place the disks of the very instant of the memory. Where it does not, because it is not
 * installed, libvirt finds no such file and starts nothing: old memory never meets new disks by accident. ID are the
 * first 16 hexadecimal digits of the snapshot's id: another snapshot of the same name is another one.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_RESTORE_PATH_PREFIX "/run/pagevault/needs-hook/"
#define PV_RESTORE_PATH_ID 16 /* digits */

/* (transfer full). @id: at least PV_RESTORE_PATH_ID hexadecimal digits; @full: DOMAIN@NAME. */
char *pv_restore_path_make (const char *id, const char *full, const char *target);

/* TRUE when @path (nullable) is such a path. @id, @full, @target: (out) (transfer full) (optional). */
gboolean pv_restore_path_parse (const char *path, char **id, char **full, char **target);

G_END_DECLS
