/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/postcopy-stream.h"

#include <string.h>

#include "stream/stream-encoder.h"
#include "stream/stream-format.h"
#include "util/cursor.h"

#define DISCARD_VERSION 0

static const PvRamBlock *
block_at (const PvStreamHead *head, guint block)
{
  return g_ptr_array_index (head->blocks, block);
}

static void
append_command (guint16 command, gsize size, GByteArray *out)
{
  pv_append_u8 (out, PV_SECTION_COMMAND);
  pv_append_be16 (out, command);
  pv_append_be16 (out, (guint16) size);
}

static void
append_string (const char *text, GByteArray *out)
{
  gsize size = strlen (text);

  pv_append_u8 (out, (guint8) size);
  g_byte_array_append (out, (const guint8 *) text, (guint) size);
}

void
pv_postcopy_append_ping (guint32 ping, GByteArray *out)
{
  append_command (PV_COMMAND_PING, 4, out);
  pv_append_be32 (out, ping);
}

void
pv_postcopy_append_start (const PvStreamHead *head, guint32 ping, GByteArray *out)
{
  pv_stream_head_append_start (head, out);
  append_command (PV_COMMAND_OPEN_RETURN_PATH, 0, out);
  pv_postcopy_append_ping (ping, out);
  append_command (PV_COMMAND_POSTCOPY_ADVISE, 16, out);
  pv_append_be64 (out, PV_POSTCOPY_PAGE); /* all sizes of host pages, added up as bits */
  pv_append_be64 (out, PV_POSTCOPY_PAGE); /* of target pages */
  pv_stream_head_append_ram_setup (head, out);
}

void
pv_postcopy_append_discard (const PvStreamHead *head, guint block, const guint64 *ranges, guint n, GByteArray *out)
{
  const char *name = block_at (head, block)->name;

  g_return_if_fail (n >= 1 && n <= PV_POSTCOPY_RANGES);

  append_command (PV_COMMAND_POSTCOPY_RAM_DISCARD, 1 + 1 + strlen (name) + 1 + n * 16, out);
  pv_append_u8 (out, DISCARD_VERSION);
  append_string (name, out);
  pv_append_u8 (out, 0); /* the name ends */
  for (guint i = 0; i < 2 * n; i++)
    pv_append_be64 (out, ranges[i]);
}

void
pv_postcopy_append_package (const guint8 *sections, gsize size, guint32 ping, GByteArray *out)
{
  g_autoptr(GByteArray) package = g_byte_array_sized_new (size + 64);

  append_command (PV_COMMAND_POSTCOPY_LISTEN, 0, package);
  g_byte_array_append (package, sections, size);
  pv_postcopy_append_ping (ping, package);
  append_command (PV_COMMAND_POSTCOPY_RUN, 0, package);
  append_command (PV_COMMAND_PACKAGED, 4, out);
  pv_append_be32 (out, package->len);
  g_byte_array_append (out, package->data, package->len);
}

void
pv_postcopy_append_recv_bitmap (const PvStreamHead *head, guint block, GByteArray *out)
{
  const char *name = block_at (head, block)->name;

  append_command (PV_COMMAND_RECV_BITMAP, 1 + strlen (name), out);
  append_string (name, out);
}

void
pv_postcopy_append_resume (GByteArray *out)
{
  append_command (PV_COMMAND_POSTCOPY_RESUME, 0, out);
}

void
pv_postcopy_append_end (const PvStreamHead *head, GByteArray *out)
{
  pv_stream_append_ram_end (head, out);
  pv_append_u8 (out, PV_SECTION_EOF);
}

void
pv_postcopy_append_page (const PvStreamHead *head, guint block, guint64 offset, const guint8 *data, GByteArray *out)
{
  if (data == NULL)
    {
      pv_stream_append_zero_record (head, block, offset, out);
      return;
    }
  pv_stream_append_page_header (head, block, offset, out);
  g_byte_array_append (out, data, PV_POSTCOPY_PAGE);
}
