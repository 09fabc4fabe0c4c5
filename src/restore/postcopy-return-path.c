/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/postcopy-return-path.h"

#include <string.h>

#include "util/cursor.h"
#include "util/error.h"

#define BITMAP_END G_GUINT64_CONSTANT (0x0123456789abcdef)

enum
{
  HEADER_SIZE = 4,
  WIRE_REQUEST_NAMED = 3, /* the block's name behind the range */
  WIRE_REQUEST = 4,
  REQUEST_SIZE = 12, /* of a request without a name */
};

G_STATIC_ASSERT (HEADER_SIZE + REQUEST_SIZE + 1 + PV_RAM_BLOCK_NAME_MAX <= PV_RETURN_MESSAGE_MAX);

static gboolean
read_name (PvCursor *cursor, PvReturnMessage *message, GError **error)
{
  guint8 size = pv_cursor_u8 (cursor);
  const guint8 *name = pv_cursor_bytes (cursor, size);

  if (name == NULL || !pv_ram_block_name_ok ((const char *) name, size))
    return pv_corrupt (error, "QEMU names a RAM block that cannot be");
  memcpy (message->name, name, size);
  message->name[size] = '\0';
  return TRUE;
}

static gboolean
read_request (PvCursor *cursor, gboolean named, PvReturnMessage *message, GError **error)
{
  message->type = PV_RETURN_PAGES;
  message->offset = pv_cursor_be64 (cursor);
  message->size = pv_cursor_be32 (cursor);
  if (!cursor->overrun && message->size == 0)
    return pv_corrupt (error, "QEMU asks for no page");
  return !named || read_name (cursor, message, error);
}

static gboolean
read_body (PvCursor *cursor, guint16 type, PvReturnMessage *message, GError **error)
{
  message->type = (PvReturnType) type;
  switch (type)
    {
    case PV_RETURN_SHUT:
    case PV_RETURN_PONG:
    case PV_RETURN_RESUME_ACK:
      message->value = pv_cursor_be32 (cursor);
      return TRUE;
    case WIRE_REQUEST_NAMED:
    case WIRE_REQUEST:
      return read_request (cursor, type == WIRE_REQUEST_NAMED, message, error);
    case PV_RETURN_RECV_BITMAP:
      return read_name (cursor, message, error);
    case PV_RETURN_OTHER:
      return TRUE;
    default:
      return pv_corrupt (error, "QEMU says something of type %u that is not known", type);
    }
}

gboolean
pv_return_message_parse (const guint8 *data, gsize size, PvReturnMessage *message, gsize *used, GError **error)
{
  PvCursor header = PV_CURSOR_INIT (data, size);
  guint16 type = pv_cursor_be16 (&header);
  guint16 length = pv_cursor_be16 (&header);
  PvCursor body;

  *used = 0;
  memset (message, 0, sizeof *message);
  if (header.overrun)
    return TRUE;
  if (length > PV_RETURN_MESSAGE_MAX - HEADER_SIZE)
    return pv_corrupt (error, "QEMU's message of type %u has %u bytes", type, length);
  if (size - HEADER_SIZE < length)
    return TRUE;
  body = (PvCursor) PV_CURSOR_INIT (data + HEADER_SIZE, length);
  if (!read_body (&body, type, message, error) || !pv_cursor_end (&body, error))
    {
      g_prefix_error (error, "return path: ");
      return FALSE;
    }
  *used = HEADER_SIZE + (gsize) length;
  return TRUE;
}

static gsize
bits_size (guint64 n_pages)
{
  return (gsize) ((n_pages + 63) / 64 * 8);
}

gsize
pv_return_bitmap_size (guint64 n_pages)
{
  return 8 + bits_size (n_pages) + 8;
}

const guint8 *
pv_return_bitmap_parse (const guint8 *data, gsize size, guint64 n_pages, GError **error)
{
  PvCursor cursor = PV_CURSOR_INIT (data, size);
  guint64 length = pv_cursor_be64 (&cursor);
  const guint8 *bits = length == bits_size (n_pages) ? pv_cursor_bytes (&cursor, bits_size (n_pages)) : NULL;
  guint64 end = pv_cursor_be64 (&cursor);

  if (bits == NULL || end != BITMAP_END || !pv_cursor_end (&cursor, NULL))
    {
      pv_corrupt (error, "return path: the bitmap of received pages is not well-formed");
      return NULL;
    }
  return bits;
}
