/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <string.h>

#include "stream/stream-decoder-private.h"
#include "stream/stream-format.h"

enum
{
  EOF_WITH_FOOTER_SIZE = PV_STREAM_FOOTER_SIZE + 1,
  DESCRIPTION_HEADER_SIZE = 1 + 1 + 4, /* EOF, type, length */
};

static guint32
be32_at (const guint8 *bytes)
{
  guint32 value;

  memcpy (&value, bytes, sizeof value);
  return GUINT32_FROM_BE (value);
}

static gsize
without_trailing_zeros (const guint8 *bytes, gsize size)
{
  while (size > 0 && bytes[size - 1] == 0)
    size--;
  return size;
}

/* Where EOF 06 length '{' …, reaching to the end, begins; -1 when there is none. Device sections have no lengths, so
 * the mark has to be looked for. */
static gssize
find_description (const guint8 *bytes, gsize size)
{
  static const guint8 mark[] = { PV_SECTION_EOF, PV_SECTION_VMDESCRIPTION };
  gsize end = without_trailing_zeros (bytes, size);
  const guint8 *at = bytes;

  while ((at = memmem (at, bytes + size - at, mark, sizeof mark)) != NULL)
    {
      gsize left = bytes + size - at;

      if (left > DESCRIPTION_HEADER_SIZE && at[DESCRIPTION_HEADER_SIZE] == '{')
        {
          guint32 len = be32_at (at + 2);
          const guint8 *description_end = at + DESCRIPTION_HEADER_SIZE + len;

          if (len <= left - DESCRIPTION_HEADER_SIZE && description_end >= bytes + end && description_end[-1] == '}')
            return at - bytes;
        }
      at++;
    }
  return -1;
}

/* … 04 id … 7e id 00: the footer of a section that is there, then EOF. */
static gboolean
ends_in_footer_and_eof (const guint8 *bytes, gsize size)
{
  const guint8 *footer = bytes + size - EOF_WITH_FOOTER_SIZE;
  guint8 section[5] = { PV_SECTION_FULL };

  if (size < EOF_WITH_FOOTER_SIZE || footer[0] != PV_SECTION_FOOTER || footer[5] != PV_SECTION_EOF)
    return FALSE;
  memcpy (section + 1, footer + 1, 4);
  return memmem (bytes, footer - bytes, section, sizeof section) != NULL;
}

gssize
pv_stream_devices_sections (const guint8 *bytes, gsize size, gboolean footers)
{
  gssize description = size > 0 ? find_description (bytes, size) : -1;

  if (description >= 0)
    return description;
  if (size == 0 || (footers ? !ends_in_footer_and_eof (bytes, size) : bytes[size - 1] != PV_SECTION_EOF))
    return -1;
  return (gssize) size - 1;
}

gboolean
pv_stream_devices_complete (const guint8 *bytes, gsize size, gboolean footers)
{
  return pv_stream_devices_sections (bytes, size, footers) >= 0;
}
