/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvStreamEncoder: writes a pre-copy stream that a fresh QEMU loads.
 *
 * new → page / zero in any order (a page left out is zero in the new guest: nothing needs to be written for it) →
 * finish (devices). Bytes go to the write function in pieces of up to 1 MiB.
 *
 * The layout is deterministic, so that a driver that makes the stream on demand can compute where a page is:
 *
 *   start      pv_stream_head_append_start + pv_stream_head_append_ram_setup
 *   PART       5 bytes; one section for all pages
 *   records    each names its block: pv_stream_page_record_size() or pv_stream_zero_record_size() bytes, never
 * shortened   tail       EOS, footer, END section: pv_stream_tail_size() bytes
 *   devices    as given
 *
 * One thread at a time.
 */
#pragma once

#include <gio/gio.h>

#include "stream/stream-head.h"

G_BEGIN_DECLS

typedef struct _PvStreamEncoder PvStreamEncoder;

/* Takes the next @n bytes, all of them; FALSE with @error stops the encoder. */
typedef gboolean (*PvStreamWriteFunc) (const guint8 *bytes, gsize n, gpointer data, GError **error);

/* (transfer full): takes a reference on @head, which must have blocks. Nothing is written yet. */
PvStreamEncoder *pv_stream_encoder_new (PvStreamHead *head, PvStreamWriteFunc write, gpointer data);
void pv_stream_encoder_free (PvStreamEncoder *self);

/* @bytes: one page of head->page_size bytes for @offset of the block. The caller's bug, not an error: offset not a
 * multiple of the page size or outside the block. */
gboolean pv_stream_encoder_page (PvStreamEncoder *self, guint block_index, guint64 offset, const guint8 *bytes,
                                 GError **error);
/* One zero page. Needed only where an earlier copy of the page was not zero. */
gboolean pv_stream_encoder_zero (PvStreamEncoder *self, guint block_index, guint64 offset, GError **error);
/* Ends RAM, appends @devices (what pv_stream_decoder_devices() gave) and flushes. The encoder is done then. */
gboolean pv_stream_encoder_finish (PvStreamEncoder *self, GBytes *devices, GError **error);

/* Bytes of the stream so far, buffered ones included. */
guint64 pv_stream_encoder_n_bytes (const PvStreamEncoder *self);

/* Write functions for the usual targets; @data is GINT_TO_POINTER (fd), or the GOutputStream. */
gboolean pv_stream_write_fd (const guint8 *bytes, gsize n, gpointer fd, GError **error);
gboolean pv_stream_write_output (const guint8 *bytes, gsize n, gpointer output_stream, GError **error);

/* The parts, for those who compose a stream by themselves (post-copy, on-demand files). */
void pv_stream_append_part_start (const PvStreamHead *head, GByteArray *out);
/* The record up to, not including, the page's bytes. */
void pv_stream_append_page_header (const PvStreamHead *head, guint block_index, guint64 offset, GByteArray *out);
void pv_stream_append_zero_record (const PvStreamHead *head, guint block_index, guint64 offset, GByteArray *out);
void pv_stream_append_section_end (const PvStreamHead *head, GByteArray *out); /* EOS and footer */
void pv_stream_append_ram_end (const PvStreamHead *head, GByteArray *out);     /* the END section of RAM */

/* Sizes in bytes, of exactly what the above append. */
gsize pv_stream_start_size (const PvStreamHead *head); /* all before the first record */
gsize pv_stream_page_record_size (const PvStreamHead *head, guint block_index);
gsize pv_stream_zero_record_size (const PvStreamHead *head, guint block_index);
gsize pv_stream_tail_size (const PvStreamHead *head);

G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvStreamEncoder, pv_stream_encoder_free)

G_END_DECLS
