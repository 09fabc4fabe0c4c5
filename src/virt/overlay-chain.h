/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Image files and what lies beneath them, where no QEMU has them open: qemu-img's words about a chain, and its commit.
 *
 * pv_guest_commit_overlay() uses it for a domain that is off. By itself it is for the disks of a transient domain that
 * ended while it ran on overlays: libvirt has forgotten it, and its newest data are in the overlays.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Looks for @base beneath @overlay. @format: (out) (optional) (transfer full): the format of @base as the layer above
 * names it. PV_ERROR_NOT_FOUND when it is not there. Reads only, also beside a running QEMU. */
gboolean pv_overlay_chain_find (const char *overlay, const char *base, char **format, GError **error);

/* Merges @overlay, and what lies between, into @base. The overlay stays as it is. Interrupted at any instant it can be
 * done again. PV_ERROR_BUSY when a QEMU has one of them open; PV_ERROR_NO_SPACE when @base cannot grow. */
gboolean pv_overlay_chain_commit (const char *overlay, const char *base, GError **error);

/* TRUE when both paths lead to the same file or the same block device. Either may be NULL or not exist. */
gboolean pv_same_image (const char *a, const char *b);

G_END_DECLS
