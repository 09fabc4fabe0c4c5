/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Memory for decoded frames. What the kernel has just given costs a fault for each page of 4 KiB when it is written,
 * a quarter of the time that a cold frame takes; so buffers of frames that were dropped are used again, and new ones
 * are had with their pages. Any thread.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* (transfer full): @size bytes, at most PV_FRAME_PLAIN_MAX, of any content. */
guint8 *pv_plain_buffer_take (gsize size);
/* @buffer: (nullable): of pv_plain_buffer_take() with the same @size. */
void pv_plain_buffer_give (guint8 *buffer, gsize size);

G_END_DECLS
