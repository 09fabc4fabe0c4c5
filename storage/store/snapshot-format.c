/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/snapshot-private.h"

#include <string.h>

#include "chunk/compress.h"
#include "chunk/seal.h"
#include "util/cursor.h"
#include "util/error.h"

/* docs/format-store.md, "Snapshot object" */
static const guint8 magic[8] = { 'P', 'V', 's', 'n', 'a', 'p', '\r', '\n' };

enum
{
  FORMAT_VERSION = 1,
  CIPHER_NONE = 0,
  CIPHER_AES_256_GCM = 1,
  ENCODING_RAW = 0,
  ENCODING_ZSTD = 1,
  MAGIC_SIZE = 8,
  CIPHER_OFFSET = 10,
  ENCODING_OFFSET = 11,
  SIZE_OFFSET = 12,
  STATE_RESERVED = 7,
  VOLUME_RESERVED = 3,
  HEADER_SIZE = 16,
};
G_STATIC_ASSERT (sizeof magic == MAGIC_SIZE);
G_STATIC_ASSERT (PV_NAME_SIZE == 32);

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void
append_text (GByteArray *out, const char *text)
{
  gsize size = text != NULL ? strlen (text) : 0;

  pv_append_le32 (out, (guint32) size);
  if (size > 0)
    g_byte_array_append (out, (const guint8 *) text, (guint) size);
}

static void
append_attachments (PvSnapshot *self, GByteArray *out)
{
  g_autoptr(GPtrArray) names = pv_snapshot_attachments (self);

  for (guint i = 0; i < names->len; i++)
    {
      GBytes *bytes = pv_snapshot_attachment (self, names->pdata[i]);
      gsize size;
      const guint8 *data = g_bytes_get_data (bytes, &size);

      append_text (out, names->pdata[i]);
      pv_append_le32 (out, (guint32) size);
      g_byte_array_append (out, data, (guint) size);
    }
}

static void
append_body (PvSnapshot *self, GByteArray *out)
{
  pv_append_u8 (out, (guint8) self->state);
  pv_append_zeros (out, STATE_RESERVED);
  pv_append_le64 (out, (guint64) self->time);
  pv_append_le32 (out, self->volumes->len);
  pv_append_le32 (out, g_hash_table_size (self->attachments));
  append_text (out, self->domain);
  append_text (out, self->name);
  append_text (out, self->parent);
  append_text (out, self->description);
  for (guint i = 0; i < self->volumes->len; i++)
    {
      const PvVolume *volume = &g_array_index (self->volumes, PvVolume, i);

      pv_append_u8 (out, (guint8) volume->kind);
      pv_append_zeros (out, VOLUME_RESERVED);
      append_text (out, volume->name);
      pv_append_le64 (out, volume->size);
      g_byte_array_append (out, volume->root.bytes, PV_NAME_SIZE);
    }
  append_attachments (self, out);
}

GBytes *
pv_snapshot_encode (PvSnapshot *self)
{
  GByteArray *out = g_byte_array_new ();
  g_autoptr(GByteArray) body = g_byte_array_new ();
  guint32 size;

  append_body (self, body);
  g_byte_array_append (out, magic, sizeof magic);
  pv_append_le16 (out, FORMAT_VERSION);
  pv_append_u8 (out, CIPHER_NONE);
  pv_append_u8 (out, ENCODING_ZSTD);
  pv_append_le32 (out, 0); /* the size, when it is known */
  g_assert (out->len == HEADER_SIZE);
  pv_append_le32 (out, body->len);
  if (!pv_compress (body->data, body->len, out) || out->len >= HEADER_SIZE + body->len)
    {
      g_byte_array_set_size (out, HEADER_SIZE);
      out->data[ENCODING_OFFSET] = ENCODING_RAW;
      g_byte_array_append (out, body->data, body->len);
    }
  size = GUINT32_TO_LE (out->len);
  memcpy (out->data + SIZE_OFFSET, &size, sizeof size);
  return g_byte_array_free_to_bytes (out);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

/* (nullable) (transfer full): NULL when empty, cut off, or holding a NUL, which then fails the caller's checks. */
static char *
read_text (PvCursor *c)
{
  guint32 size = pv_cursor_le32 (c);
  const guint8 *bytes = pv_cursor_bytes (c, size);

  if (size == 0 || bytes == NULL)
    return NULL;
  if (memchr (bytes, '\0', size) != NULL)
    {
      c->overrun = TRUE;
      return NULL;
    }
  return g_strndup ((const char *) bytes, size);
}

/* Reserved bytes must be zero: a later version may have given them a meaning. */
static gboolean
read_reserved (PvCursor *c, gsize size, GError **error)
{
  const guint8 *bytes = pv_cursor_bytes (c, size);

  if (bytes == NULL)
    return pv_cursor_ok (c, error);
  if (!pv_is_zero (bytes, size))
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "a reserved byte is not zero: made by a newer pagevault");
  return TRUE;
}

static gboolean
parse_header (PvCursor *c, gboolean *encrypted, guint8 *encoding, GError **error)
{
  const guint8 *found = pv_cursor_bytes (c, MAGIC_SIZE);
  guint16 version = pv_cursor_le16 (c);
  guint8 cipher = pv_cursor_u8 (c);
  guint32 size;

  *encoding = pv_cursor_u8 (c);
  size = pv_cursor_le32 (c);
  if (!pv_cursor_ok (c, error))
    return FALSE;
  if (memcmp (found, magic, MAGIC_SIZE) != 0)
    return pv_corrupt (error, "wrong magic");
  if (version != FORMAT_VERSION || cipher > CIPHER_AES_256_GCM || *encoding > ENCODING_ZSTD)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "version %u, cipher %u, encoding %u: made by a newer pagevault",
                     version, cipher, *encoding);
  if (size != c->size)
    return pv_corrupt (error, "%u bytes wanted, %" G_GSIZE_FORMAT " there", size, c->size);
  *encrypted = cipher != CIPHER_NONE;
  return TRUE;
}

static gboolean
parse_volumes (PvSnapshot *self, PvCursor *c, guint32 n_volumes, GError **error)
{
  if (n_volumes > PV_VOLUMES_MAX)
    return pv_corrupt (error, "%u volumes", n_volumes);
  for (guint32 i = 0; i < n_volumes; i++)
    {
      PvVolume volume = { .kind = pv_cursor_u8 (c) };

      if (!read_reserved (c, VOLUME_RESERVED, error))
        return FALSE;
      volume.name = read_text (c);
      volume.size = pv_cursor_le64 (c);
      pv_cursor_copy (c, volume.root.bytes, PV_NAME_SIZE);
      g_array_append_val (self->volumes, volume);
      if (!pv_cursor_ok (c, error))
        return FALSE;
      if (volume.name == NULL
          || (i > 0 && pv_snapshot_compare_volumes (&g_array_index (self->volumes, PvVolume, i - 1), &volume) >= 0))
        return pv_corrupt (error, "volume %u is malformed or out of order", i);
    }
  return TRUE;
}

static gboolean
parse_attachments (PvSnapshot *self, PvCursor *c, guint32 n_attachments, GBytes *bytes, GError **error)
{
  const char *previous = NULL;

  if (n_attachments > PV_ATTACHMENTS_MAX)
    return pv_corrupt (error, "%u attachments", n_attachments);
  for (guint i = 0; i < n_attachments; i++)
    {
      g_autofree char *name = read_text (c);
      guint32 size = pv_cursor_le32 (c);
      gsize offset = c->offset;

      pv_cursor_bytes (c, size);
      if (!pv_cursor_ok (c, error))
        return FALSE;
      if (name == NULL || size > PV_ATTACHMENT_MAX || (previous != NULL && strcmp (previous, name) >= 0))
        return pv_corrupt (error, "attachment %u is malformed or out of order", i);
      previous = name;
      g_hash_table_insert (self->attachments, g_steal_pointer (&name), g_bytes_new_from_bytes (bytes, offset, size));
    }
  return TRUE;
}

static gboolean
parse_body (PvSnapshot *self, GBytes *bytes, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  PvCursor cursor = PV_CURSOR_INIT (data, size), *c = &cursor;
  guint32 n_attachments;
  guint32 n_volumes;

  self->state = pv_cursor_u8 (c);
  if (!read_reserved (c, STATE_RESERVED, error))
    return FALSE;
  self->time = (gint64) pv_cursor_le64 (c);
  n_volumes = pv_cursor_le32 (c);
  n_attachments = pv_cursor_le32 (c);
  self->domain = read_text (c);
  self->name = read_text (c);
  self->parent = read_text (c);
  self->description = read_text (c);
  if (!pv_cursor_ok (c, error))
    return FALSE;
  if (self->domain == NULL || self->name == NULL)
    return pv_corrupt (error, "it has no name");
  return parse_volumes (self, c, n_volumes, error) && parse_attachments (self, c, n_attachments, bytes, error)
         && pv_cursor_end (c, error);
}

/* (transfer full): what is behind the header. */
static GBytes *
decode_body (PvCursor *c, guint8 encoding, GBytes *bytes, GError **error)
{
  guint32 size;

  if (encoding == ENCODING_RAW)
    return g_bytes_new_from_bytes (bytes, c->offset, c->size - c->offset);
  size = pv_cursor_le32 (c);
  if (!pv_cursor_ok (c, error))
    return NULL;
  if (size > PV_SNAPSHOT_OBJECT_MAX)
    {
      pv_corrupt (error, "a body of %u bytes", size);
      return NULL;
    }
  return pv_decompress (c->data + c->offset, c->size - c->offset, size, error);
}

/* --- encryption --------------------------------------------------------------------------------------------------- */

/* (transfer full): header, salt, encrypted body, tag. */
GBytes *
pv_snapshot_encrypt (GBytes *bytes, PvStoreKey *key, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  gsize total = size + PV_SALT_SIZE + PV_SEAL_TAG_SIZE;
  guint32 wire = GUINT32_TO_LE ((guint32) total);
  guint8 salt[PV_SALT_SIZE];
  const PvSeal seal = { key, PV_SEAL_SNAPSHOT, salt, 0 };
  g_autofree guint8 *out = NULL;
  guint8 *body;

  if (total > PV_SNAPSHOT_OBJECT_MAX)
    {
      pv_throw (error, PV_ERROR_INVALID, "snapshot object of %" G_GSIZE_FORMAT " bytes: it is too large", total);
      return NULL;
    }
  if (!pv_random_bytes (salt, sizeof salt, error))
    return NULL;
  out = g_malloc (total);
  body = out + HEADER_SIZE + PV_SALT_SIZE;
  memcpy (out, data, HEADER_SIZE);
  out[CIPHER_OFFSET] = CIPHER_AES_256_GCM;
  memcpy (out + SIZE_OFFSET, &wire, sizeof wire);
  memcpy (out + HEADER_SIZE, salt, sizeof salt);
  memcpy (body, data + HEADER_SIZE, size - HEADER_SIZE);
  pv_seal_close (&seal, out, HEADER_SIZE, body, size - HEADER_SIZE, body + size - HEADER_SIZE);
  return g_bytes_new_take (g_steal_pointer (&out), total);
}

/* (transfer full): the object as it would be without encryption, but for its header. */
static GBytes *
decrypt (const guint8 *data, gsize size, PvStoreKey *key, GError **error)
{
  const PvSeal seal = { key, PV_SEAL_SNAPSHOT, data + HEADER_SIZE, 0 };
  const guint8 *body = data + HEADER_SIZE + PV_SALT_SIZE;
  g_autofree guint8 *plain = NULL;
  gsize body_size;

  if (size < HEADER_SIZE + PV_SALT_SIZE + PV_SEAL_TAG_SIZE)
    {
      pv_corrupt (error, "only %" G_GSIZE_FORMAT " bytes", size);
      return NULL;
    }
  body_size = size - HEADER_SIZE - PV_SALT_SIZE - PV_SEAL_TAG_SIZE;
  plain = g_malloc (HEADER_SIZE + body_size);
  memcpy (plain, data, HEADER_SIZE);
  if (!pv_seal_open (&seal, data, HEADER_SIZE, body, body_size, body + body_size, plain + HEADER_SIZE))
    {
      pv_corrupt (error, "it was tampered with, or is of another key");
      return NULL;
    }
  return g_bytes_new_take (g_steal_pointer (&plain), HEADER_SIZE + body_size);
}

/* (transfer full): @bytes, decrypted if need be. */
static GBytes *
open_object (GBytes *bytes, gboolean encrypted, PvStoreKey *key, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);

  if (encrypted && key != NULL)
    return decrypt (data, size, key, error);
  if (!encrypted && key == NULL)
    return g_bytes_ref (bytes);
  if (encrypted)
    pv_throw (error, PV_ERROR_DENIED, "it is encrypted: the key of its store is needed");
  else
    pv_corrupt (error, "it is not encrypted, but its store is: somebody else has put it there");
  return NULL;
}

gboolean
pv_snapshot_decode (PvSnapshot *self, GBytes *bytes, PvStoreKey *key, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  PvCursor c = PV_CURSOR_INIT (data, size);
  g_autoptr(GBytes) object = NULL;
  g_autoptr(GBytes) body = NULL;
  gboolean encrypted = FALSE;
  guint8 encoding;

  if (!parse_header (&c, &encrypted, &encoding, error))
    return FALSE;
  object = open_object (bytes, encrypted, key, error);
  if (object == NULL)
    return FALSE;
  c.data = g_bytes_get_data (object, &c.size);
  body = decode_body (&c, encoding, object, error);
  return body != NULL && parse_body (self, body, error);
}
