/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sizes as users write them: "4096", "64MiB", "2G" (powers of 1024, as virsh and qemu-img read them). */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Parses @text: digits, then optionally k, K, M, G or T, then optionally "iB" or "B". PV_ERROR_INVALID otherwise. */
gboolean pv_bytesize_parse (const char *text, guint64 *bytes, GError **error);

/* (transfer full): "312.4 MiB", as g_format_size_full() with IEC units and plain spaces. */
char *pv_bytesize_format (guint64 bytes);

G_END_DECLS
