/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvStreamHead: all that a QEMU migration stream says before its first page, normalized so that it can be written
 * again.
 *
 * A decoder makes it; a snapshot keeps it as bytes (pv_stream_head_serialize, docs/format-qemu-stream.md); an encoder
 * writes it back. Normalized means: what only describes how the old stream was carried is gone (the mapped-ram
 * capability, post-copy announcements and their page sizes, commands); what the receiving QEMU checks is kept byte for
 * byte (machine name, UUID, target page bits, other capabilities).
 *
 * A head made from a devices-only stream (xen-save-devices-state) has no blocks.
 *
 * Reference counted, immutable once made; may be shared between threads.
 */
#pragma once

#include <glib.h>

#include "stream/ram-block.h"

G_BEGIN_DECLS

#define PV_STREAM_CONFIGURATION_MAX 65536u /* bytes */
#define PV_STREAM_HEAD_MAX (4u << 20)      /* bytes, serialized */

typedef struct _PvStreamHead
{
  guint32 version;         /* of the stream: 3 */
  GByteArray *configuration; /* owned (nullable): the CONFIGURATION section after its type byte; NULL: none */
  char *machine;           /* owned (nullable): "pc-q35-7.2", parsed from the configuration */
  guint page_size;         /* bytes, power of two, PV_RAM_PAGE_MIN … PV_RAM_PAGE_MAX */
  gboolean footers;        /* sections end in a footer */
  gboolean ignore_shared;  /* capability x-ignore-shared: blocks that QEMU maps from shared files have no pages in the
                            * stream; who keeps such a stream keeps no whole guest, and should refuse it */
  guint32 ram_section_id;
  guint32 ram_instance_id;
  guint32 ram_version;     /* 4 */
  GPtrArray *blocks;       /* owned, of PvRamBlock, in setup order; empty: devices only */
  int ref_count;           /* private */
} PvStreamHead;

/* (transfer full): an empty head with a page size of 4096 and footers, for a decoder to fill. */
PvStreamHead *pv_stream_head_new (void);
PvStreamHead *pv_stream_head_ref (PvStreamHead *self);
void pv_stream_head_unref (PvStreamHead *self);

/* (transfer full): the bytes to keep in a snapshot. */
GBytes *pv_stream_head_serialize (const PvStreamHead *self);
/* (transfer full): the reverse. Every field is checked like in a stream. PV_ERROR_CORRUPT, or UNSUPPORTED for a later
 * layout version. */
PvStreamHead *pv_stream_head_parse (const guint8 *data, gsize size, GError **error);

/* Bytes of all blocks together. */
guint64 pv_stream_head_total (const PvStreamHead *self);
/* Index of the block, -1 when there is none. */
int pv_stream_head_find_block (const PvStreamHead *self, const char *name);

/* Appends the file header and the configuration section: the start of every stream. */
void pv_stream_head_append_start (const PvStreamHead *self, GByteArray *out);
/* Appends the whole SECTION_START of RAM: block list, EOS, footer. Between the two belong the commands of a post-copy
 * migration, when it is one. */
void pv_stream_head_append_ram_setup (const PvStreamHead *self, GByteArray *out);
/* Appends the footer of a section of RAM; nothing when the stream has none. */
void pv_stream_head_append_footer (const PvStreamHead *self, GByteArray *out);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvStreamHead, pv_stream_head_unref)

G_END_DECLS
