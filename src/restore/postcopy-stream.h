/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The source's side of a post-copy migration, as bytes: what a pager says to a QEMU that waits with "-incoming defer".
 *
 *   start, [parts sent ahead], discard, package      until here the guest does not run
 *   part, part …                                     as requested, and the rest
 *   end
 *
 * A channel that broke is taken up again with recv_bitmap for each block, then resume, then parts as before. Every
 * function appends whole sections and nothing else. Format: docs/format-qemu-stream.md, "Post-copy".
 */
#pragma once

#include "stream/stream-head.h"

G_BEGIN_DECLS

#define PV_POSTCOPY_PAGE 4096u /* bytes: the only size of target pages that is served */

/* Header, configuration, return path, PING @ping, post-copy advice, set-up of RAM. */
void pv_postcopy_append_start (const PvStreamHead *head, guint32 ping, GByteArray *out);
/* Throws the @n ranges of the block away: @ranges are @n pairs of offset and size in bytes, 1 … PV_POSTCOPY_RANGES.
 * QEMU needs at least one such command; and all that was not sent ahead must be thrown away: beside a page sent ahead
 * the kernel may have put others, in a huge page, which would then not be missing, but zero. */
#define PV_POSTCOPY_RANGES 12u
void pv_postcopy_append_discard (const PvStreamHead *head, guint block, const guint64 *ranges, guint n,
                                 GByteArray *out);
/* The package: from its arrival on QEMU asks for pages. @sections: pv_stream_devices_sections() of the devices. QEMU
 * answers PING @ping when all devices are loaded; then the guest may run. */
void pv_postcopy_append_package (const guint8 *sections, gsize size, guint32 ping, GByteArray *out);
/* Answered by a PONG when all before it has been taken in. */
void pv_postcopy_append_ping (guint32 ping, GByteArray *out);
void pv_postcopy_append_recv_bitmap (const PvStreamHead *head, guint block, GByteArray *out);
void pv_postcopy_append_resume (GByteArray *out);
/* All pages are there, but for those that are zero. */
void pv_postcopy_append_end (const PvStreamHead *head, GByteArray *out);

/* One page of a PART; between pv_stream_append_part_start() and pv_stream_append_section_end(). @data: (nullable):
 * PV_POSTCOPY_PAGE bytes, NULL is a page of zeros. */
void pv_postcopy_append_page (const PvStreamHead *head, guint block, guint64 offset, const guint8 *data,
                              GByteArray *out);

G_END_DECLS
