/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/store-format.h"

#include <string.h>

#include "chunk/name.h"
#include "util/cursor.h"
#include "util/error.h"

/* docs/format-store.md, "Format marker" */
static const char magic[] = "pagevault store\n";

enum
{
  CIPHER_NONE = 0,
  CIPHER_AES_256_GCM = 1,
  MAGIC_SIZE = 16,
  UUID_SIZE = 16,
  KEY_SLOTS_SIZE = PV_STORE_KEY_SLOTS * PV_KEY_SLOT_SIZE,
  DIGEST_OFFSET = PV_STORE_FORMAT_SIZE - PV_NAME_SIZE,
};
G_STATIC_ASSERT (sizeof magic - 1 == MAGIC_SIZE);
G_STATIC_ASSERT (64 + KEY_SLOTS_SIZE == DIGEST_OFFSET);

void
pv_store_format_init (PvStoreFormat *self)
{
  g_autofree char *uuid = g_uuid_string_random ();

  memset (self, 0, sizeof *self);
  g_strlcpy (self->uuid, uuid, sizeof self->uuid);
  self->time = g_get_real_time ();
}

static void
append_uuid (GByteArray *out, const char *uuid)
{
  for (const char *at = uuid; *at != '\0'; at++)
    {
      if (*at == '-')
        continue;
      pv_append_u8 (out, (guint8) (g_ascii_xdigit_value (at[0]) << 4 | g_ascii_xdigit_value (at[1])));
      at++;
    }
}

void
pv_store_format_uuid (const PvStoreFormat *self, guint8 *uuid)
{
  g_autoptr(GByteArray) bytes = g_byte_array_sized_new (UUID_SIZE);

  append_uuid (bytes, self->uuid);
  g_assert (bytes->len == PV_KEY_UUID_SIZE);
  memcpy (uuid, bytes->data, PV_KEY_UUID_SIZE);
}

static void
uuid_to_string (const guint8 *bytes, char *uuid)
{
  for (guint i = 0; i < UUID_SIZE; i++)
    {
      if (i == 4 || i == 6 || i == 8 || i == 10)
        *uuid++ = '-';
      g_snprintf (uuid, 3, "%02x", bytes[i]);
      uuid += 2;
    }
}

static void
digest (const guint8 *data, gsize size, guint8 *out)
{
  g_autoptr(GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize length = PV_NAME_SIZE;

  g_checksum_update (checksum, data, (gssize) size);
  g_checksum_get_digest (checksum, out, &length);
}

GBytes *
pv_store_format_serialize (const PvStoreFormat *self)
{
  GByteArray *out = g_byte_array_sized_new (PV_STORE_FORMAT_SIZE);

  g_byte_array_append (out, (const guint8 *) magic, MAGIC_SIZE);
  pv_append_le16 (out, PV_STORE_FORMAT_VERSION);
  pv_append_u8 (out, self->n_key_slots > 0 ? CIPHER_AES_256_GCM : CIPHER_NONE);
  pv_append_u8 (out, (guint8) self->n_key_slots);
  pv_append_le32 (out, 0);
  pv_append_le32 (out, 0);
  pv_append_le32 (out, PV_STORE_FORMAT_SIZE);
  append_uuid (out, self->uuid);
  pv_append_le32 (out, PV_CHUNK_SIZE);
  pv_append_le16 (out, PV_NODE_FANOUT);
  pv_append_le16 (out, 0);
  pv_append_le64 (out, (guint64) self->time);
  for (guint i = 0; i < PV_STORE_KEY_SLOTS; i++)
    g_byte_array_append (out, self->key_slots[i].bytes, PV_KEY_SLOT_SIZE);
  pv_append_zeros (out, PV_NAME_SIZE);
  g_assert (out->len == PV_STORE_FORMAT_SIZE);
  digest (out->data, DIGEST_OFFSET, out->data + DIGEST_OFFSET);
  return g_byte_array_free_to_bytes (out);
}

/* What may be newer rather than damaged. */
static gboolean
check_supported (PvCursor *c, PvStoreFormat *self, GError **error)
{
  guint16 version = pv_cursor_le16 (c);
  guint8 cipher = pv_cursor_u8 (c);
  guint8 n_key_slots = pv_cursor_u8 (c);
  guint32 required = pv_cursor_le32 (c);

  if (!pv_cursor_ok (c, error))
    return FALSE;
  if (version != PV_STORE_FORMAT_VERSION || required != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "version %u, features %#x: made by a newer pagevault", version,
                     required);
  if (cipher != CIPHER_NONE && cipher != CIPHER_AES_256_GCM)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "encrypted in a way that this pagevault cannot read");
  if (n_key_slots > PV_STORE_KEY_SLOTS || (n_key_slots > 0) != (cipher != CIPHER_NONE))
    return pv_corrupt (error, "%u key slots with cipher %u", n_key_slots, cipher);
  self->n_key_slots = n_key_slots;
  return TRUE;
}

static gboolean
check_key_slots (PvCursor *c, PvStoreFormat *self, GError **error)
{
  for (guint i = 0; i < PV_STORE_KEY_SLOTS; i++)
    {
      PvKeySlot *slot = &self->key_slots[i];

      pv_cursor_copy (c, slot->bytes, PV_KEY_SLOT_SIZE);
      if (!pv_key_slot_check (slot, error))
        return FALSE;
      if ((pv_key_slot_kind (slot) != PV_KEY_SLOT_EMPTY) != (i < self->n_key_slots))
        return pv_corrupt (error, "key slot %u of %u", i + 1, self->n_key_slots);
    }
  return pv_cursor_ok (c, error);
}

static gboolean
check_rest (PvCursor *c, PvStoreFormat *self, GError **error)
{
  const guint8 *uuid = pv_cursor_bytes (c, UUID_SIZE);
  guint32 chunk_size = pv_cursor_le32 (c);
  guint16 fanout = pv_cursor_le16 (c);
  guint16 reserved = pv_cursor_le16 (c);

  self->time = (gint64) pv_cursor_le64 (c);
  if (pv_is_zero (uuid, UUID_SIZE))
    return pv_corrupt (error, "it has no UUID");
  if (chunk_size != PV_CHUNK_SIZE || fanout != PV_NODE_FANOUT || reserved != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "chunks of %u bytes, nodes of %u names: made by a newer pagevault",
                     chunk_size, fanout);
  uuid_to_string (uuid, self->uuid);
  return check_key_slots (c, self, error);
}

gboolean
pv_store_format_parse (GBytes *bytes, PvStoreFormat *self, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  PvCursor c = PV_CURSOR_INIT (data, size);
  const guint8 *found = pv_cursor_bytes (&c, MAGIC_SIZE);
  guint8 wanted[PV_NAME_SIZE];

  if (found == NULL || memcmp (found, magic, MAGIC_SIZE) != 0)
    return pv_throw (error, PV_ERROR_INVALID, "not the format marker of a store");
  /* Before the version is believed: every version ends with a digest of all before it. */
  if (size < MAGIC_SIZE + PV_NAME_SIZE)
    return pv_corrupt (error, "the format marker has only %" G_GSIZE_FORMAT " bytes", size);
  digest (data, size - PV_NAME_SIZE, wanted);
  if (memcmp (wanted, data + size - PV_NAME_SIZE, PV_NAME_SIZE) != 0)
    return pv_corrupt (error, "the digest of the format marker does not match");
  if (!check_supported (&c, self, error))
    return FALSE;
  pv_cursor_le32 (&c); /* optional features */
  if (pv_cursor_le32 (&c) != PV_STORE_FORMAT_SIZE || size != PV_STORE_FORMAT_SIZE)
    return pv_corrupt (error, "the format marker has %" G_GSIZE_FORMAT " bytes instead of %d", size,
                       PV_STORE_FORMAT_SIZE);
  return check_rest (&c, self, error);
}
