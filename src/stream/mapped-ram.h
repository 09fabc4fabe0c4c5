/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reading mapped-ram streams (QEMU ≥ 9, libvirt's "sparse" save images): memory at fixed places of a seekable file.
 *
 * Each block's header in the RAM section says where in the file its page bitmap and its pages are; the stream goes on
 * behind the pages. Offsets are absolute in the file, so that a save image's header is counted.
 */
#pragma once

#include <glib.h>

#include "stream/stream-decoder.h"

G_BEGIN_DECLS

/* TRUE when the stream at @offset of @fd announces mapped-ram in its configuration. An unreadable or garbled start is
 * FALSE: the decoder will say what is wrong. */
gboolean pv_mapped_ram_probe (int fd, guint64 offset);

/* Reads the whole mapped-ram stream that starts at @offset of @fd through a fresh @decoder, and finishes it. The
 * handler sees pages block by block, in runs of up to 1 MiB; pages not marked in the bitmap are left out (they are
 * zero). The bitmap is read as a little-endian QEMU writes it. @name is for messages. */
gboolean pv_mapped_ram_decode (int fd, guint64 offset, const char *name, PvStreamDecoder *decoder, GError **error);

G_END_DECLS
