/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "util/cursor.h"

#include <string.h>

#include "util/error.h"

const guint8 *
pv_cursor_bytes (PvCursor *self, gsize size)
{
  const guint8 *at;

  if (self->overrun || size > self->size - self->offset)
    {
      self->overrun = TRUE;
      return NULL;
    }
  at = self->data + self->offset;
  self->offset += size;
  return at;
}

void
pv_cursor_copy (PvCursor *self, gpointer out, gsize size)
{
  const guint8 *at = pv_cursor_bytes (self, size);

  if (size == 0)
    return;
  if (at != NULL)
    memcpy (out, at, size);
  else
    memset (out, 0, size);
}

guint8
pv_cursor_u8 (PvCursor *self)
{
  guint8 value;

  pv_cursor_copy (self, &value, sizeof value);
  return value;
}

#define DEFINE_READ(name, type, convert)                                                                              \
  type pv_cursor_##name (PvCursor *self)                                                                              \
  {                                                                                                                   \
    type value;                                                                                                       \
                                                                                                                      \
    pv_cursor_copy (self, &value, sizeof value);                                                                      \
    return convert (value);                                                                                           \
  }

DEFINE_READ (le16, guint16, GUINT16_FROM_LE)
DEFINE_READ (le32, guint32, GUINT32_FROM_LE)
DEFINE_READ (le64, guint64, GUINT64_FROM_LE)
DEFINE_READ (be16, guint16, GUINT16_FROM_BE)
DEFINE_READ (be32, guint32, GUINT32_FROM_BE)
DEFINE_READ (be64, guint64, GUINT64_FROM_BE)

gsize
pv_cursor_left (const PvCursor *self)
{
  return self->overrun ? 0 : self->size - self->offset;
}

gboolean
pv_cursor_ok (const PvCursor *self, GError **error)
{
  if (self->overrun)
    return pv_corrupt (error, "truncated after %" G_GSIZE_FORMAT " of %" G_GSIZE_FORMAT " bytes", self->offset,
                       self->size);
  return TRUE;
}

gboolean
pv_cursor_end (const PvCursor *self, GError **error)
{
  if (!pv_cursor_ok (self, error))
    return FALSE;
  if (self->offset != self->size)
    return pv_corrupt (error, "%" G_GSIZE_FORMAT " bytes left over after the end", self->size - self->offset);
  return TRUE;
}

void
pv_append_u8 (GByteArray *out, guint8 value)
{
  g_byte_array_append (out, &value, 1);
}

#define DEFINE_APPEND(name, type, convert)                                                                            \
  void pv_append_##name (GByteArray *out, type value)                                                                 \
  {                                                                                                                   \
    type wire = convert (value);                                                                                      \
                                                                                                                      \
    g_byte_array_append (out, (const guint8 *) &wire, sizeof wire);                                                   \
  }

DEFINE_APPEND (le16, guint16, GUINT16_TO_LE)
DEFINE_APPEND (le32, guint32, GUINT32_TO_LE)
DEFINE_APPEND (le64, guint64, GUINT64_TO_LE)
DEFINE_APPEND (be16, guint16, GUINT16_TO_BE)
DEFINE_APPEND (be32, guint32, GUINT32_TO_BE)
DEFINE_APPEND (be64, guint64, GUINT64_TO_BE)

void
pv_append_zeros (GByteArray *out, gsize size)
{
  guint old_len = out->len;

  g_byte_array_set_size (out, old_len + size);
  memset (out->data + old_len, 0, size);
}
