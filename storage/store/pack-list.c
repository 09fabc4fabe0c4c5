/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/pack-list.h"

#include <string.h>

#include "pack/pack-table.h"
#include "util/cursor.h"
#include "util/error.h"

/* docs/format-remote.md, "Pack list" */
static const guint8 magic[] = { 'P', 'V', 'l', 'i', 's', 't', '\r', '\n' };

enum
{
  MAGIC_SIZE = 8,
  VERSION = 1,
  RESERVED = 8,
  HEADER_SIZE = 64,
  ENTRY_SIZE = 48,
  KEY_DIGITS = 2 * PV_NAME_SIZE,
  GENERATION_DIGITS = 10,
};
G_STATIC_ASSERT (sizeof magic == MAGIC_SIZE);
G_STATIC_ASSERT (HEADER_SIZE + (guint64) PV_PACK_LIST_MAX * ENTRY_SIZE + PV_NAME_SIZE <= PV_PACK_LIST_SIZE_MAX);

#define KEY_PREFIX "packs/"
G_STATIC_ASSERT (PV_REMOTE_PACK_SIZE_MIN == PV_PACK_HEADER_SIZE + PV_PACK_FOOTER_SIZE + 1);

PvPackList *
pv_pack_list_new (PvPackListKind kind, const PvName *snapshot)
{
  PvPackList *self = g_new0 (PvPackList, 1);

  self->kind = kind;
  if (snapshot != NULL)
    self->snapshot = *snapshot;
  self->packs = g_array_new (FALSE, FALSE, sizeof (PvRemotePack));
  return self;
}

void
pv_pack_list_free (PvPackList *self)
{
  if (self == NULL)
    return;
  g_array_unref (self->packs);
  g_free (self);
}

void
pv_pack_list_add (PvPackList *self, const PvName *name, guint64 size, guint32 generation)
{
  PvRemotePack pack = { .name = *name, .size = size, .generation = generation };

  g_array_append_val (self->packs, pack);
}

gint
pv_remote_pack_compare (gconstpointer a, gconstpointer b)
{
  const PvRemotePack *pa = a, *pb = b;
  gint by_name = memcmp (pa->name.bytes, pb->name.bytes, PV_NAME_SIZE);

  if (by_name != 0)
    return by_name;
  return pa->generation < pb->generation ? -1 : pa->generation > pb->generation ? 1 : 0;
}

guint
pv_remote_pack_hash (gconstpointer pack)
{
  return pv_name_hash (&((const PvRemotePack *) pack)->name) ^ ((const PvRemotePack *) pack)->generation;
}

gboolean
pv_remote_pack_equal (gconstpointer a, gconstpointer b)
{
  return pv_remote_pack_compare (a, b) == 0;
}

/* --- writing ------------------------------------------------------------------------------------------------------ */

static void
sort_packs (PvPackList *self)
{
  guint n = 0;

  g_array_sort (self->packs, pv_remote_pack_compare);
  for (guint i = 0; i < self->packs->len; i++)
    {
      PvRemotePack *pack = &g_array_index (self->packs, PvRemotePack, i);

      if (n == 0 || pv_remote_pack_compare (&g_array_index (self->packs, PvRemotePack, n - 1), pack) != 0)
        g_array_index (self->packs, PvRemotePack, n++) = *pack;
    }
  g_array_set_size (self->packs, n);
}

GBytes *
pv_pack_list_serialize (PvPackList *self)
{
  GByteArray *out = g_byte_array_new ();
  PvName digest;

  sort_packs (self);
  g_return_val_if_fail (self->packs->len <= PV_PACK_LIST_MAX, g_byte_array_free_to_bytes (out));
  g_byte_array_append (out, magic, MAGIC_SIZE);
  pv_append_le16 (out, VERSION);
  pv_append_u8 (out, (guint8) self->kind);
  pv_append_u8 (out, 0);
  pv_append_le32 (out, self->packs->len);
  pv_append_le64 (out, (guint64) self->time);
  pv_append_zeros (out, RESERVED);
  g_byte_array_append (out, self->snapshot.bytes, PV_NAME_SIZE);
  g_assert (out->len == HEADER_SIZE);
  for (guint i = 0; i < self->packs->len; i++)
    {
      const PvRemotePack *pack = &g_array_index (self->packs, PvRemotePack, i);

      g_byte_array_append (out, pack->name.bytes, PV_NAME_SIZE);
      pv_append_le64 (out, pack->size);
      pv_append_le32 (out, pack->generation);
      pv_append_le32 (out, 0);
    }
  pv_digest (out->data, out->len, &digest);
  g_byte_array_append (out, digest.bytes, PV_NAME_SIZE);
  return g_byte_array_free_to_bytes (out);
}

/* --- reading ------------------------------------------------------------------------------------------------------ */

static gboolean
parse_pack (PvPackList *self, PvCursor *cursor, GError **error)
{
  PvRemotePack pack;
  guint32 reserved;

  pv_cursor_copy (cursor, pack.name.bytes, PV_NAME_SIZE);
  pack.size = pv_cursor_le64 (cursor);
  pack.generation = pv_cursor_le32 (cursor);
  reserved = pv_cursor_le32 (cursor);
  if (reserved != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "a reserved byte is not zero: made by a newer pagevault");
  if (pv_name_is_zero (&pack.name) || pack.size < PV_REMOTE_PACK_SIZE_MIN || pack.size > PV_PACK_SIZE_MAX)
    return pv_corrupt (error, "a pack of %" G_GUINT64_FORMAT " bytes", pack.size);
  if (self->packs->len > 0
      && pv_remote_pack_compare (&g_array_index (self->packs, PvRemotePack, self->packs->len - 1), &pack) >= 0)
    return pv_corrupt (error, "packs are out of order");
  g_array_append_val (self->packs, pack);
  return TRUE;
}

static gboolean
parse_header (PvPackList *self, PvCursor *cursor, guint32 *n, GError **error)
{
  const guint8 *found = pv_cursor_bytes (cursor, MAGIC_SIZE);
  guint16 version = pv_cursor_le16 (cursor);
  guint8 kind = pv_cursor_u8 (cursor), flags = pv_cursor_u8 (cursor);
  guint64 reserved;
  PvName snapshot;

  *n = pv_cursor_le32 (cursor);
  self->time = (gint64) pv_cursor_le64 (cursor);
  reserved = pv_cursor_le64 (cursor);
  pv_cursor_copy (cursor, snapshot.bytes, PV_NAME_SIZE);
  if (!pv_cursor_ok (cursor, error))
    return FALSE;
  if (memcmp (found, magic, MAGIC_SIZE) != 0)
    return pv_corrupt (error, "wrong magic");
  if (version != VERSION || flags != 0 || reserved != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "version %u: made by a newer pagevault", version);
  if (kind != self->kind || !pv_name_equal (&snapshot, &self->snapshot))
    return pv_corrupt (error, "it is not what its key says");
  if (*n > PV_PACK_LIST_MAX)
    return pv_corrupt (error, "%u packs", *n);
  return TRUE;
}

static gboolean
parse (PvPackList *self, GBytes *bytes, GError **error)
{
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  PvCursor cursor = PV_CURSOR_INIT (data, size);
  PvName digest, found;
  guint32 n;

  if (size < HEADER_SIZE + PV_NAME_SIZE || size > PV_PACK_LIST_SIZE_MAX)
    return pv_corrupt (error, "%" G_GSIZE_FORMAT " bytes", size);
  pv_digest (data, size - PV_NAME_SIZE, &digest);
  if (memcmp (data + size - PV_NAME_SIZE, digest.bytes, PV_NAME_SIZE) != 0)
    return pv_corrupt (error, "its digest is wrong");
  if (!parse_header (self, &cursor, &n, error))
    return FALSE;
  if (pv_cursor_left (&cursor) != (gsize) n * ENTRY_SIZE + PV_NAME_SIZE)
    return pv_corrupt (error, "%" G_GSIZE_FORMAT " bytes for %u packs", size, n);
  for (guint32 i = 0; i < n; i++)
    if (!parse_pack (self, &cursor, error))
      return FALSE;
  pv_cursor_copy (&cursor, found.bytes, PV_NAME_SIZE);
  return pv_cursor_end (&cursor, error);
}

PvPackList *
pv_pack_list_parse (GBytes *bytes, PvPackListKind kind, const PvName *snapshot, GError **error)
{
  g_autoptr(PvPackList) self = pv_pack_list_new (kind, snapshot);

  if (parse (self, bytes, error))
    return g_steal_pointer (&self);
  g_prefix_error (error, "pack list: ");
  return NULL;
}

/* --- keys --------------------------------------------------------------------------------------------------------- */

char *
pv_remote_pack_key (const PvName *name, guint32 generation)
{
  g_autofree char *hex = pv_name_to_hex (name);

  if (generation == 0)
    return g_strdup_printf (KEY_PREFIX "%.2s/%s", hex, hex);
  return g_strdup_printf (KEY_PREFIX "%.2s/%s.%u", hex, hex, generation);
}

gboolean
pv_remote_pack_parse_key (const char *key, PvName *name, guint32 *generation)
{
  g_autofree char *hex = NULL, *again = NULL;
  const char *digits = NULL;
  guint64 value = 0;

  if (!g_str_has_prefix (key, KEY_PREFIX) || strlen (key) < strlen (KEY_PREFIX) + 3 + KEY_DIGITS)
    return FALSE;
  key += strlen (KEY_PREFIX);
  hex = g_strndup (key + 3, KEY_DIGITS);
  if (!pv_name_from_hex (hex, name, NULL))
    return FALSE;
  digits = key + 3 + KEY_DIGITS;
  if (*digits == '.'
      && (strlen (digits + 1) > GENERATION_DIGITS
          || !g_ascii_string_to_unsigned (digits + 1, 10, 1, G_MAXUINT32, &value, NULL)))
    return FALSE;
  *generation = (guint32) value;
  again = pv_remote_pack_key (name, *generation); /* one key for each: no capitals, no leading zeros */
  return g_str_equal (again + strlen (KEY_PREFIX), key);
}
