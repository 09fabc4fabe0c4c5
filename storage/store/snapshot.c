/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/snapshot.h"

#include <string.h>

#include "store/snapshot-private.h"
#include "util/error.h"
#include "util/snapshot-name.h"

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

gint
pv_snapshot_compare_volumes (gconstpointer a, gconstpointer b)
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
      if (i > 0 && pv_snapshot_compare_volumes (volume - 1, volume) == 0)
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

/* --- making ------------------------------------------------------------------------------------------------------- */

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

/* Copies @attachments; the sum is bounded here because encoding works in memory. */
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
  g_array_sort (self->volumes, pv_snapshot_compare_volumes);
  if ((attachments != NULL && !copy_attachments (self, attachments, error)) || !check_snapshot (self, error))
    return NULL;
  set_bytes (self, pv_snapshot_encode (self));
  return g_steal_pointer (&self);
}

GBytes *
pv_snapshot_serialize (PvSnapshot *self)
{
  return g_bytes_ref (self->bytes);
}

PvSnapshot *
pv_snapshot_parse (GBytes *bytes, guint64 stored_size, GError **error)
{
  return pv_snapshot_parse_with_key (bytes, NULL, stored_size, error);
}

PvSnapshot *
pv_snapshot_parse_with_key (GBytes *bytes, PvStoreKey *key, guint64 stored_size, GError **error)
{
  g_autoptr(PvSnapshot) self = alloc_snapshot ();
  g_autoptr(GError) why = NULL;

  if (g_bytes_get_size (bytes) > PV_SNAPSHOT_OBJECT_MAX)
    {
      pv_corrupt (error, "snapshot object of %" G_GSIZE_FORMAT " bytes", g_bytes_get_size (bytes));
      return NULL;
    }
  if (!pv_snapshot_decode (self, bytes, key, error))
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
