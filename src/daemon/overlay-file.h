/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* An empty qcow2 overlay over a raw file, written by ourselves: whoever waits for it waits for libvirt's hook, and
 * starting a program for each disk takes its time on a busy host. Nor is it synced: it holds nothing yet.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Writes it to the new empty file @fd. @size: bytes that the guest sees, rounded up to 512. @backing: absolute path,
 * 1023 bytes at most. @name: for messages. */
gboolean pv_overlay_file_write (int fd, guint64 size, const char *backing, const char *name, GError **error);

G_END_DECLS
