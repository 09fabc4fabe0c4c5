/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The inside of a decoder, shared by the files that make it up and by the reader of mapped-ram files.
 *
 * The decoder is a state machine over pieces: a piece (header, section header, block entry, page record) is only taken
 * when all of its bytes are there. Each step function parses the piece that its state expects from a cursor. */
#pragma once

#include "stream/stream-configuration.h"
#include "stream/stream-decoder.h"
#include "util/cursor.h"

G_BEGIN_DECLS

typedef enum
{
  PV_STATE_START,         /* magic, version */
  PV_STATE_TYPE,          /* a section's type byte and header */
  PV_STATE_SETUP_TOTAL,   /* RAM START: total size */
  PV_STATE_SETUP_BLOCK,   /* RAM START: one block */
  PV_STATE_GAP,           /* mapped-ram: bytes that belong to pages */
  PV_STATE_SETUP_END,     /* RAM START: EOS */
  PV_STATE_RECORDS,       /* RAM PART or END: page records up to EOS */
  PV_STATE_DEVICES,       /* everything else */
} PvStreamState;

typedef enum
{
  PV_STEP_FAILED,
  PV_STEP_MORE, /* the piece is not complete: nothing has happened */
  PV_STEP_DONE,
} PvStep;

struct _PvStreamDecoder
{
  PvStreamHandler handler;
  gpointer data;          /* (not owned) of the handler */
  GError *failure;        /* owned (nullable): the first error, repeated from then on */

  PvStreamState state;
  GByteArray *carry;      /* owned: the start of an incomplete piece */
  PvStreamHead *head;     /* owned */
  PvStreamCarriage carriage;
  GByteArray *devices;    /* owned */

  gboolean in_configuration; /* subsections may follow */
  gboolean footer_due;       /* a section of RAM has just ended */
  gboolean footers_known;    /* head->footers is what the stream does */
  gboolean advised;          /* post-copy was announced: blocks may tell their page size */
  gboolean ram_set_up;       /* ram_blocks was called */
  gboolean ram_ended;        /* section END seen */
  guint64 setup_left;        /* bytes of RAM not yet listed */
  GHashTable *names;         /* owned: block name → index + 1; names belong to head */
  guint block;               /* index of the block of the last record; n_blocks when none */
  gsize block_name_len;      /* bytes of its name */

  gboolean mapped_accepted;
  guint64 stream_offset;     /* bytes in the file */
  GArray *mapped;            /* owned: of PvMappedBlock */
  guint64 gap_left;          /* bytes */

  guint64 n_pages, n_zero, n_bytes, n_parsed;
  guint64 page_position;     /* bytes of the stream before the page that is handed over */
};

static inline const PvRamBlock *
pv_stream_block_at (const PvStreamDecoder *self, guint index)
{
  return g_ptr_array_index (self->head->blocks, index);
}

/* PV_STEP_MORE when the cursor has run past the end of what is there. */
static inline PvStep
pv_step_more_or (const PvCursor *cursor, gboolean ok)
{
  if (cursor->overrun)
    return PV_STEP_MORE;
  return ok ? PV_STEP_DONE : PV_STEP_FAILED;
}

/* stream-sections.c */
PvStep pv_stream_step_start (PvStreamDecoder *self, PvCursor *cursor, GError **error);
PvStep pv_stream_step_type (PvStreamDecoder *self, PvCursor *cursor, GError **error);

/* stream-ram.c */
PvStep pv_stream_step_setup_total (PvStreamDecoder *self, PvCursor *cursor, GError **error);
PvStep pv_stream_step_setup_block (PvStreamDecoder *self, PvCursor *cursor, GError **error);
PvStep pv_stream_step_setup_end (PvStreamDecoder *self, PvCursor *cursor, GError **error);
PvStep pv_stream_step_record (PvStreamDecoder *self, PvCursor *cursor, GError **error);

/* For mapped-ram.c: the file's gaps, and a way to report pages. */

/* Where a block is in a mapped-ram file. Both 0: the block has no pages in the file. */
typedef struct
{
  guint64 bitmap_offset; /* bytes, absolute in the file */
  guint64 pages_offset;  /* bytes, absolute in the file */
} PvMappedBlock;

/* From now on a mapped-ram stream is accepted; its first byte is at @stream_offset of the file. Before the first feed.
 * */
void pv_stream_decoder_accept_mapped (PvStreamDecoder *self, guint64 stream_offset);
/* TRUE when the configuration announced mapped-ram. */
gboolean pv_stream_decoder_is_mapped (const PvStreamDecoder *self);
/* TRUE once all blocks are known and ram_blocks was called. */
gboolean pv_stream_decoder_ram_is_set_up (const PvStreamDecoder *self);
/* (transfer none): of PvMappedBlock, one for each block. */
const GArray *pv_stream_decoder_mapped_blocks (const PvStreamDecoder *self);
/* Takes the number of bytes that the decoder would ignore next; the reader seeks over them instead of feeding them. */
guint64 pv_stream_decoder_take_gap (PvStreamDecoder *self);
/* Hands pages to the handler and counts them. @n_bytes: multiple of the page size, inside the block. */
gboolean pv_stream_decoder_emit_pages (PvStreamDecoder *self, guint block_index, guint64 offset, const guint8 *bytes,
                                       guint n_bytes, GError **error);

/* TRUE when @bytes look like a complete devices blob: they end in an EOF mark, or in a description of just the length
 * that it claims (zeros may follow). @footers: FALSE when sections are known to have none. */
gboolean pv_stream_devices_complete (const guint8 *bytes, gsize size, gboolean footers);

G_END_DECLS
