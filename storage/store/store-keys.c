/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/store-keys.h"

#include <string.h>
#include <sys/file.h>

#include "store/store-private.h"
#include "util/error.h"

PvStoreKey *
pv_store_get_key (PvStore *self)
{
  return self->key;
}

static gboolean
read_marker (const char *path, PvStoreFormat *format, GError **error)
{
  g_autoptr(GBytes) bytes = pv_read_file (path, PV_STORE_FORMAT_MAX, error);

  if (bytes == NULL)
    return FALSE;
  if (pv_store_format_parse (bytes, format, error))
    return TRUE;
  g_prefix_error (error, "'%s': ", path);
  return FALSE;
}

gboolean
pv_store_read_format (const char *directory, PvStoreFormat *format, GError **error)
{
  g_autofree char *path = g_build_filename (directory, "format", NULL);
  g_autoptr(GError) why = NULL;

  if (read_marker (path, format, &why))
    return TRUE;
  if (g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND))
    return pv_throw (error, PV_ERROR_NOT_FOUND, "there is no store in '%s'", directory);
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

/* Under STORE/lock, exclusively. */
static gboolean
write_marker (PvStore *self, const PvStoreFormat *format, GError **error)
{
  g_autoptr(GBytes) bytes = pv_store_format_serialize (format);

  return pv_write_file (self->format, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), error);
}

static gboolean
find_slot (const PvStoreFormat *format, guint number, const PvKeySlot *expected, GError **error)
{
  if (number == 0 || number > format->n_key_slots)
    return pv_throw (error, PV_ERROR_NOT_FOUND, "there is no key slot %u: see 'pagevault key list'", number);
  return memcmp (&format->key_slots[number - 1], expected, sizeof *expected) == 0
         || pv_throw (error, PV_ERROR_BUSY, "somebody else has changed the keys meanwhile: see 'pagevault key list'");
}

gboolean
pv_store_keys_add (PvStore *self, const PvKeySlot *slot, guint *number, GError **error)
{
  g_auto(PvFd) guard = pv_store_lock (self, LOCK_EX, error);
  PvStoreFormat format;

  if (guard < 0 || !read_marker (self->format, &format, error))
    return FALSE;
  if (format.n_key_slots == PV_STORE_KEY_SLOTS)
    return pv_throw (error, PV_ERROR_FAILED, "all %u key slots are in use: remove one first", PV_STORE_KEY_SLOTS);
  format.key_slots[format.n_key_slots++] = *slot;
  *number = format.n_key_slots;
  return write_marker (self, &format, error);
}

gboolean
pv_store_keys_replace (PvStore *self, guint number, const PvKeySlot *expected, const PvKeySlot *slot, GError **error)
{
  g_auto(PvFd) guard = pv_store_lock (self, LOCK_EX, error);
  PvStoreFormat format;

  if (guard < 0 || !read_marker (self->format, &format, error) || !find_slot (&format, number, expected, error))
    return FALSE;
  format.key_slots[number - 1] = *slot;
  return write_marker (self, &format, error);
}

gboolean
pv_store_keys_remove (PvStore *self, guint number, const PvKeySlot *expected, GError **error)
{
  g_auto(PvFd) guard = pv_store_lock (self, LOCK_EX, error);
  PvStoreFormat format;

  if (guard < 0 || !read_marker (self->format, &format, error) || !find_slot (&format, number, expected, error))
    return FALSE;
  if (format.n_key_slots == 1)
    return pv_throw (error, PV_ERROR_INVALID, "this is the last key of the store: without it nothing could be read");
  for (guint i = number; i < format.n_key_slots; i++)
    format.key_slots[i - 1] = format.key_slots[i];
  format.n_key_slots--;
  memset (&format.key_slots[format.n_key_slots], 0, sizeof format.key_slots[0]);
  return write_marker (self, &format, error);
}
