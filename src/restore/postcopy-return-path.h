/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The return path of a post-copy migration: what the QEMU that is being filled says to its source.
 *
 * Foreign bytes: every length is checked, a message that cannot be is PV_ERROR_CORRUPT. Format:
 * docs/format-qemu-stream.md, "Return path".
 */
#pragma once

#include <glib.h>

#include "stream/ram-block.h"

G_BEGIN_DECLS

typedef enum
{
  PV_RETURN_SHUT = 1,        /* QEMU is done: .value is 0, or it failed */
  PV_RETURN_PONG = 2,        /* .value of the PING */
  PV_RETURN_PAGES = 4,       /* wants .size bytes at .offset of block .name, or of the block of the request before */
  PV_RETURN_RECV_BITMAP = 5, /* the bitmap of block .name follows: pv_return_bitmap_size() bytes */
  PV_RETURN_RESUME_ACK = 6,  /* .value is 1: goes on after a recovery */
  PV_RETURN_OTHER = 7,       /* SWITCHOVER_ACK of newer QEMU: says nothing that matters here */
} PvReturnType;

typedef struct
{
  PvReturnType type;
  guint32 value;
  guint64 offset; /* bytes into the block */
  guint32 size;   /* bytes, > 0 */
  char name[PV_RAM_BLOCK_NAME_MAX + 1]; /* "" in PAGES: the same block as before */
} PvReturnMessage;

#define PV_RETURN_MESSAGE_MAX 512u /* bytes: more than any message has */

/* Reads the message at the start of @data. @used: (out): its bytes; 0 when it is not whole yet, TRUE is returned. */
gboolean pv_return_message_parse (const guint8 *data, gsize size, PvReturnMessage *message, gsize *used,
                                  GError **error);

/* Bytes that follow a RECV_BITMAP for a block of @n_pages. */
gsize pv_return_bitmap_size (guint64 n_pages);
/* Checks those bytes and gives the bits, little-endian, that start in @data. */
const guint8 *pv_return_bitmap_parse (const guint8 *data, gsize size, guint64 n_pages, GError **error);

G_END_DECLS
