/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Compressing documents: small things that are written once and read now and then. Frames are for chunks and nodes.
 *
 * Pure functions: any thread.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Appends the @size bytes at @data to @out, compressed. FALSE and nothing appended when that would not be smaller. */
gboolean pv_compress (const guint8 *data, gsize size, GByteArray *out);

/* (transfer full): the @plain_size bytes that the @size bytes at @data were made of. The caller has capped @plain_size.
 * PV_ERROR_CORRUPT when they are not exactly that. */
GBytes *pv_decompress (const guint8 *data, gsize size, gsize plain_size, GError **error);

G_END_DECLS
