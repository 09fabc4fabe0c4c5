/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/stream-configuration.h"

#include <string.h>

#include "stream/stream-format.h"
#include "util/error.h"

#define MACHINE_NAME_MAX 255u /* bytes */
#define CAPABILITIES_MAX 64u  /* in one subsection; QEMU 10 knows 2 that are announced, and 25 in all */
#define UUID_SIZE 16u

gboolean
pv_stream_configuration_read_machine (PvStreamHead *head, PvCursor *cursor, GError **error)
{
  guint32 len = pv_cursor_be32 (cursor);
  const guint8 *name;

  if (cursor->overrun)
    return TRUE;
  if (len > MACHINE_NAME_MAX)
    return pv_corrupt (error, "the machine name is %u bytes long (at most %u)", len, MACHINE_NAME_MAX);
  name = pv_cursor_bytes (cursor, len);
  if (cursor->overrun)
    return TRUE;
  if (!pv_ram_block_name_ok ((const char *) name, len))
    return pv_corrupt (error, "the machine name has unprintable characters");

  head->machine = g_strndup ((const char *) name, len);
  head->configuration = g_byte_array_new ();
  pv_append_be32 (head->configuration, len);
  g_byte_array_append (head->configuration, name, len);
  return TRUE;
}

static void
append_subsection (PvStreamHead *head, const char *name, guint32 version, const guint8 *body, gsize size)
{
  pv_append_u8 (head->configuration, PV_SECTION_SUBSECTION);
  pv_append_u8 (head->configuration, strlen (name));
  g_byte_array_append (head->configuration, (const guint8 *) name, strlen (name));
  pv_append_be32 (head->configuration, version);
  g_byte_array_append (head->configuration, body, size);
}

/* Keeps all capabilities but mapped-ram, which says how this stream was carried and would bind the next reader to it.
 * */
static gboolean
read_capabilities (PvStreamHead *head, PvStreamCarriage *carriage, guint32 version, PvCursor *cursor, GError **error)
{
  guint32 count = pv_cursor_be32 (cursor), kept = 0;
  g_autoptr(GByteArray) names = g_byte_array_new (), body = g_byte_array_new ();
  gboolean mapped_ram = FALSE, ignore_shared = FALSE;

  if (count > CAPABILITIES_MAX)
    return pv_corrupt (error, "%u capabilities announced (at most %u)", count, CAPABILITIES_MAX);
  for (guint32 i = 0; i < count; i++)
    {
      guint8 len = pv_cursor_u8 (cursor);
      const char *name = (const char *) pv_cursor_bytes (cursor, len);

      if (cursor->overrun)
        return TRUE;
      if (!pv_ram_block_name_ok (name, len))
        return pv_corrupt (error, "a capability has no printable name");
      if (len == strlen ("mapped-ram") && memcmp (name, "mapped-ram", len) == 0)
        {
          mapped_ram = TRUE;
          continue;
        }
      if (len == strlen ("x-ignore-shared") && memcmp (name, "x-ignore-shared", len) == 0)
        ignore_shared = TRUE;
      else
        return pv_throw (error, PV_ERROR_UNSUPPORTED, "the stream needs the unknown capability '%.*s'", len, name);
      pv_append_u8 (names, len);
      g_byte_array_append (names, (const guint8 *) name, len);
      kept++;
    }
  if (cursor->overrun)
    return TRUE;

  carriage->mapped_ram |= mapped_ram;
  head->ignore_shared |= ignore_shared;
  pv_append_be32 (body, kept);
  g_byte_array_append (body, names->data, names->len);
  if (kept > 0)
    append_subsection (head, "configuration/capabilities", version, body->data, body->len);
  return TRUE;
}

static gboolean
read_page_bits (PvStreamHead *head, guint32 version, PvCursor *cursor, GError **error)
{
  const guint8 *body = cursor->data + cursor->offset;
  guint32 bits = pv_cursor_be32 (cursor);

  if (cursor->overrun)
    return TRUE;
  if (bits < 10 || bits > 20)
    return pv_corrupt (error, "a guest page of 2^%u bytes is announced", bits);
  if ((1u << bits) < PV_RAM_PAGE_MIN || (1u << bits) > PV_RAM_PAGE_MAX)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "guest pages of %u bytes are not supported", 1u << bits);
  head->page_size = 1u << bits;
  append_subsection (head, "configuration/target-page-bits", version, body, 4);
  return TRUE;
}

gboolean
pv_stream_configuration_read_subsection (PvStreamHead *head, PvStreamCarriage *carriage, PvCursor *cursor,
                                         GError **error)
{
  guint8 len = pv_cursor_u8 (cursor);
  const char *bytes = (const char *) pv_cursor_bytes (cursor, len);
  guint32 version = pv_cursor_be32 (cursor);
  g_autofree char *name = NULL;

  if (cursor->overrun)
    return TRUE;
  if (!pv_ram_block_name_ok (bytes, len))
    return pv_corrupt (error, "a configuration subsection has no printable name");
  if (head->configuration->len + len > PV_STREAM_CONFIGURATION_MAX / 2)
    return pv_corrupt (error, "the configuration is larger than %u bytes", PV_STREAM_CONFIGURATION_MAX / 2);
  name = g_strndup (bytes, len);
  if (g_str_equal (name, "configuration/capabilities"))
    return read_capabilities (head, carriage, version, cursor, error);
  if (g_str_equal (name, "configuration/target-page-bits"))
    return read_page_bits (head, version, cursor, error);
  if (g_str_equal (name, "configuration/uuid"))
    {
      const guint8 *uuid = pv_cursor_bytes (cursor, UUID_SIZE);

      if (uuid != NULL)
        append_subsection (head, name, version, uuid, UUID_SIZE);
      return TRUE;
    }
  return pv_throw (error, PV_ERROR_UNSUPPORTED, "the stream has the unknown subsection '%s'", name);
}
