/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/snapshot.h"

#include <string.h>

#include "util/cursor.h"
#include "util/error.h"
#include "util/snapshot-name.h"

/* docs/format-store.md, "Snapshot object" */
static const guint8 magic[8] = { 'P', 'V', 's', 'n', 'a', 'p', '\r', '\n' };

enum
{
  FORMAT_VERSION = 1,
  CIPHER_NONE = 0,
  MAGIC_SIZE = 8,
  SIZE_OFFSET = 12,
  STATE_RESERVED = 7,
  VOLUME_RESERVED = 3,
  HEADER_SIZE = 16,
};
G_STATIC_ASSERT (sizeof magic == MAGIC_SIZE);
G_STATIC_ASSERT (PV_NAME_SIZE == 32);

struct _PvSnapshot
{
  gint ref_count; /* atomic */
  PvName id;
  char *full_name;         /* DOMAIN@NAME */
  char *domain;
  char *name;
  char *parent;            /* (nullable) */
  char *description;       /* (nullable) */
  gint64 time;
  PvGuestState state;
  guint64 stored_size;
  GArray *volumes;         /* of PvVolume (names owned), by kind and name */
  GHashTable *attachments; /* of char* (owned) -> GBytes (owned) */
  GBytes *bytes;           /* the object */
};

static void
clear_volume (gpointer data)
{
  g_free (((PvVolume *) data)->name);
}

static PvSnapshot *
alloc_snapshot (void)
{
  PvSnapshot *self = g_new0 (PvSnapshot, 1);

  self->ref_count = 1;
  self->volumes = g_array_new (FALSE, TRUE, sizeof (PvVolume));
  g_array_set_clear_func (self->volumes, clear_volume);
  self->attachments = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, (GDestroyNotify) g_bytes_unref);
  return self;
}

PvSnapshot *
pv_snapshot_ref (PvSnapshot *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
pv_snapshot_unref (PvSnapshot *self)
{
  if (self == NULL || !g_atomic_int_dec_and_test (&self->ref_count))
    return;
  g_free (self->full_name);
  g_free (self->domain);
  g_free (self->name);
  g_free (self->parent);
  g_free (self->description);
  g_array_unref (self->volumes);
  g_hash_table_unref (self->attachments);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_free (self);
}

/* --- what may be in a snapshot ------------------------------------------------------------------------------------ */

/* Names of volumes and attachments: 1 to @max bytes of printable UTF-8. */
static gboolean
check_text_name (const char *name, gsize max, const char *what, GError **error)
{
  gsize length = strlen (name);

  if (length == 0 || length > max)
    return pv_throw (error, PV_ERROR_INVALID, "a %s name has %" G_GSIZE_FORMAT " bytes; 1 to %" G_GSIZE_FORMAT
                                              " are allowed",
                     what, length, max);
  if (!g_utf8_validate (name, -1, NULL))
    return pv_throw (error, PV_ERROR_INVALID, "a %s name is not valid UTF-8", what);
  for (const char *at = name; *at != '\0'; at = g_utf8_next_char (at))
    if (!g_unichar_isprint (g_utf8_get_char (at)))
      return pv_throw (error, PV_ERROR_INVALID, "a %s name contains a character that cannot be printed", what);
  return TRUE;
}

static gboolean
check_volume (const PvVolume *volume, GError **error)
{
  if (volume->kind < PV_VOLUME_RAM || volume->kind > PV_VOLUME_BLOB)
    return pv_throw (error, PV_ERROR_INVALID, "volume kind %d is not known", (int) volume->kind);
  if (!check_text_name (volume->name, PV_VOLUME_NAME_MAX, "volume", error))
    return FALSE;
  if (volume->size > PV_VOLUME_SIZE_MAX)
    return pv_throw (error, PV_ERROR_INVALID, "volume '%s' has %" G_GUINT64_FORMAT " bytes, more than 64 TiB",
                     volume->name, volume->size);
  if (volume->size == 0 && !pv_name_is_zero (&volume->root))
    return pv_throw (error, PV_ERROR_INVALID, "volume '%s' is empty, but its root is not", volume->name);
  return TRUE;
}

/* Their order in the object: by kind, then name. Equal: the same volume. */
static gint
compare_volumes (gconstpointer a, gconstpointer b)
{
  const PvVolume *va = a;
  const PvVolume *vb = b;

  return va->kind != vb->kind ? (gint) va->kind - (gint) vb->kind : strcmp (va->name, vb->name);
}

static gboolean
check_volumes (PvSnapshot *self, GError **error)
{
  for (guint i = 0; i < self->volumes->len; i++)
    {
      const PvVolume *volume = &g_array_index (self->volumes, PvVolume, i);

      if (!check_volume (volume, error))
        return FALSE;
      if (i > 0 && compare_volumes (volume - 1, volume) == 0)
        return pv_throw (error, PV_ERROR_INVALID, "the %s volume '%s' is there twice",
                         pv_volume_kind_to_string (volume->kind), volume->name);
    }
  return TRUE;
}

/* Everything a parser cannot see from the layout. PV_ERROR_INVALID. */
static gboolean
check_snapshot (PvSnapshot *self, GError **error)
{
  GHashTableIter iter;
  gpointer name;

  if (!pv_domain_name_check (self->domain, error) || !pv_snapshot_name_check (self->name, error))
    return FALSE;
  if (self->parent != NULL && !pv_snapshot_name_check (self->parent, error))
    return FALSE;
  if (self->description != NULL
      && (!g_utf8_validate (self->description, -1, NULL) || strlen (self->description) > PV_DESCRIPTION_MAX))
    return pv_throw (error, PV_ERROR_INVALID, "the description is not valid UTF-8 of at most %d bytes",
                     PV_DESCRIPTION_MAX);
  if (self->state < PV_GUEST_RUNNING || self->state > PV_GUEST_DISK_SNAPSHOT)
    return pv_throw (error, PV_ERROR_INVALID, "guest state %d is not known", (int) self->state);
  if (!check_volumes (self, error))
    return FALSE;
  g_hash_table_iter_init (&iter, self->attachments);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    if (!check_text_name (name, PV_ATTACHMENT_NAME_MAX, "attachment", error))
      return FALSE;
  return TRUE;
}

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

static GBytes *
serialize (PvSnapshot *self)
{
  GByteArray *out = g_byte_array_new ();
  guint32 size;

  g_byte_array_append (out, magic, sizeof magic);
  pv_append_le16 (out, FORMAT_VERSION);
  pv_append_u8 (out, CIPHER_NONE);
  pv_append_u8 (out, 0);
  pv_append_le32 (out, 0); /* the size, when it is known */
  g_assert (out->len == HEADER_SIZE);

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
  size = GUINT32_TO_LE (out->len);
  memcpy (out->data + SIZE_OFFSET, &size, sizeof size);
  return g_byte_array_free_to_bytes (out);
}

/* Takes over @bytes as the object of @self and names it. */
static void
set_bytes (PvSnapshot *self, GBytes *bytes)
{
  g_autoptr(GChecksum) checksum = g_checksum_new (G_CHECKSUM_SHA256);
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  gsize length = PV_NAME_SIZE;

  g_checksum_update (checksum, data, (gssize) size);
  g_checksum_get_digest (checksum, self->id.bytes, &length);
  self->bytes = bytes;
  self->full_name = g_strdup_printf ("%s@%s", self->domain, self->name);
}

/* Copies @attachments; the sum is bounded here because serialize() works in memory. */
static gboolean
copy_attachments (PvSnapshot *self, GHashTable *attachments, GError **error)
{
  GHashTableIter iter;
  gpointer key;
  gpointer value;
  gsize sum = 0;

  if (g_hash_table_size (attachments) > PV_ATTACHMENTS_MAX)
    return pv_throw (error, PV_ERROR_INVALID, "%u attachments; at most %d are allowed", g_hash_table_size (attachments),
                     PV_ATTACHMENTS_MAX);
  g_hash_table_iter_init (&iter, attachments);
  while (g_hash_table_iter_next (&iter, &key, &value))
    {
      gsize size = g_bytes_get_size (value);

      sum += size;
      if (size > PV_ATTACHMENT_MAX || sum > PV_SNAPSHOT_OBJECT_MAX - (8u << 20))
        return pv_throw (error, PV_ERROR_INVALID, "attachment '%s' with %" G_GSIZE_FORMAT " bytes is too large",
                         (const char *) key, size);
      g_hash_table_insert (self->attachments, g_strdup (key), g_bytes_ref (value));
    }
  return TRUE;
}

PvSnapshot *
pv_snapshot_new (const PvSnapshotMeta *meta, const PvVolume *volumes, guint n_volumes, GHashTable *attachments,
                 guint64 stored_size, GError **error)
{
  g_autoptr(PvSnapshot) self = alloc_snapshot ();

  self->domain = g_strdup (meta->domain);
  self->name = g_strdup (meta->name);
  self->parent = g_strdup (meta->parent);
  self->description = g_strdup (meta->description);
  self->time = meta->time;
  self->state = meta->state;
  self->stored_size = stored_size;
  if (n_volumes > PV_VOLUMES_MAX)
    {
      pv_throw (error, PV_ERROR_INVALID, "%u volumes; at most %d are allowed", n_volumes, PV_VOLUMES_MAX);
      return NULL;
    }
  for (guint i = 0; i < n_volumes; i++)
    {
      PvVolume volume = volumes[i];

      volume.name = g_strdup (volumes[i].name);
      g_array_append_val (self->volumes, volume);
    }
  g_array_sort (self->volumes, compare_volumes);
  if ((attachments != NULL && !copy_attachments (self, attachments, error)) || !check_snapshot (self, error))
    return NULL;
  set_bytes (self, serialize (self));
  return g_steal_pointer (&self);
}

GBytes *
pv_snapshot_serialize (PvSnapshot *self)
{
  return g_bytes_ref (self->bytes);
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
parse_header (PvCursor *c, GError **error)
{
  const guint8 *found = pv_cursor_bytes (c, MAGIC_SIZE);
  guint16 version = pv_cursor_le16 (c);
  guint8 cipher = pv_cursor_u8 (c);
  guint8 flags = pv_cursor_u8 (c);
  guint32 size = pv_cursor_le32 (c);

  if (!pv_cursor_ok (c, error))
    return FALSE;
  if (memcmp (found, magic, MAGIC_SIZE) != 0)
    return pv_corrupt (error, "wrong magic");
  if (version != FORMAT_VERSION || cipher != CIPHER_NONE || flags != 0)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "version %u, cipher %u, flags %u: made by a newer pagevault", version,
                     cipher, flags);
  if (size != c->size)
    return pv_corrupt (error, "%u bytes wanted, %" G_GSIZE_FORMAT " there", size, c->size);
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
          || (i > 0 && compare_volumes (&g_array_index (self->volumes, PvVolume, i - 1), &volume) >= 0))
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
parse_body (PvSnapshot *self, PvCursor *c, GBytes *bytes, GError **error)
{
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

PvSnapshot *
pv_snapshot_parse (GBytes *bytes, guint64 stored_size, GError **error)
{
  g_autoptr(PvSnapshot) self = alloc_snapshot ();
  g_autoptr(GError) why = NULL;
  gsize size;
  const guint8 *data = g_bytes_get_data (bytes, &size);
  PvCursor c = PV_CURSOR_INIT (data, size);

  if (size > PV_SNAPSHOT_OBJECT_MAX)
    {
      pv_corrupt (error, "snapshot object of %" G_GSIZE_FORMAT " bytes", size);
      return NULL;
    }
  if (!parse_header (&c, error) || !parse_body (self, &c, bytes, error))
    {
      g_prefix_error (error, "snapshot object: ");
      return NULL;
    }
  if (!check_snapshot (self, &why))
    {
      pv_corrupt (error, "snapshot object: %s", why->message);
      return NULL;
    }
  self->stored_size = stored_size;
  set_bytes (self, g_bytes_ref (bytes));
  return g_steal_pointer (&self);
}

/* --- looking ------------------------------------------------------------------------------------------------------ */

const char *
pv_guest_state_to_string (PvGuestState state)
{
  switch (state)
    {
    case PV_GUEST_RUNNING:
      return "running";
    case PV_GUEST_PAUSED:
      return "paused";
    case PV_GUEST_SHUTOFF:
      return "shutoff";
    case PV_GUEST_DISK_SNAPSHOT:
      return "disk-snapshot";
    default:
      g_return_val_if_reached ("unknown");
    }
}

const char *
pv_volume_kind_to_string (PvVolumeKind kind)
{
  switch (kind)
    {
    case PV_VOLUME_RAM:
      return "ram";
    case PV_VOLUME_DISK:
      return "disk";
    case PV_VOLUME_BLOB:
      return "blob";
    default:
      g_return_val_if_reached ("unknown");
    }
}

const PvName *
pv_snapshot_id (PvSnapshot *self)
{
  return &self->id;
}

const char *
pv_snapshot_full_name (PvSnapshot *self)
{
  return self->full_name;
}

const char *
pv_snapshot_domain (PvSnapshot *self)
{
  return self->domain;
}

const char *
pv_snapshot_name (PvSnapshot *self)
{
  return self->name;
}

const char *
pv_snapshot_parent (PvSnapshot *self)
{
  return self->parent;
}

const char *
pv_snapshot_description (PvSnapshot *self)
{
  return self->description;
}

gint64
pv_snapshot_time (PvSnapshot *self)
{
  return self->time;
}

PvGuestState
pv_snapshot_state (PvSnapshot *self)
{
  return self->state;
}

guint64
pv_snapshot_stored_size (PvSnapshot *self)
{
  return self->stored_size;
}

guint
pv_snapshot_n_volumes (PvSnapshot *self)
{
  return self->volumes->len;
}

const PvVolume *
pv_snapshot_volume (PvSnapshot *self, guint i)
{
  g_return_val_if_fail (i < self->volumes->len, NULL);
  return &g_array_index (self->volumes, PvVolume, i);
}

const PvVolume *
pv_snapshot_find_volume (PvSnapshot *self, PvVolumeKind kind, const char *name)
{
  for (guint i = 0; i < self->volumes->len; i++)
    {
      const PvVolume *volume = &g_array_index (self->volumes, PvVolume, i);

      if (volume->kind == kind && g_str_equal (volume->name, name))
        return volume;
    }
  return NULL;
}

guint64
pv_snapshot_volumes_size (PvSnapshot *self, PvVolumeKind kind)
{
  guint64 sum = 0;

  for (guint i = 0; i < self->volumes->len; i++)
    if (g_array_index (self->volumes, PvVolume, i).kind == kind)
      sum += g_array_index (self->volumes, PvVolume, i).size;
  return sum;
}

GBytes *
pv_snapshot_attachment (PvSnapshot *self, const char *name)
{
  return g_hash_table_lookup (self->attachments, name);
}

static gint
compare_text (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
pv_snapshot_attachments (PvSnapshot *self)
{
  GPtrArray *names = g_ptr_array_new ();
  GHashTableIter iter;
  gpointer name;

  g_hash_table_iter_init (&iter, self->attachments);
  while (g_hash_table_iter_next (&iter, &name, NULL))
    g_ptr_array_add (names, name);
  g_ptr_array_sort (names, compare_text);
  return names;
}
