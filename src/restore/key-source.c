/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/key-source.h"

#include <string.h>

#include "restore/passphrase.h"
#include "store/unlock.h"
#include "util/error.h"
#include "virt/secret-value.h"

enum
{
  UUID_TEXT_SIZE = 37,
};

/* --- UUIDs -------------------------------------------------------------------------------------------------------- */

static void
format_uuid (const guint8 *bytes, char *text)
{
  for (guint i = 0; i < PV_KEY_UUID_SIZE; i++)
    {
      if (i == 4 || i == 6 || i == 8 || i == 10)
        *text++ = '-';
      g_snprintf (text, 3, "%02x", bytes[i]);
      text += 2;
    }
}

static gboolean
parse_uuid (const char *text, guint8 *bytes, GError **error)
{
  guint n = 0;

  if (!g_uuid_string_is_valid (text))
    return pv_throw (error, PV_ERROR_INVALID, "'%s' is no UUID of a secret: see 'virsh secret-list'", text);
  for (const char *at = text; *at != '\0'; at++)
    if (*at != '-')
      {
        int digit = g_ascii_xdigit_value (*at);

        bytes[n / 2] = (guint8) (n % 2 == 0 ? digit << 4 : bytes[n / 2] | digit);
        n++;
      }
  return TRUE;
}

/* --- opening ------------------------------------------------------------------------------------------------------ */

/* Tries the slots of @kind, with @secret_uuid (nullable) only those of that secret. NULL without @error: none opens. */
static PvStoreKey *
try_slots (PvKeySource *self, const PvStoreFormat *format, PvKeySlotKind kind, const guint8 *secret_uuid,
           const guint8 *secret, gsize size, GError **error)
{
  guint8 uuid[PV_KEY_UUID_SIZE];

  pv_store_format_uuid (format, uuid);
  for (guint i = 0; i < format->n_key_slots; i++)
    {
      const PvKeySlot *slot = &format->key_slots[i];
      g_autoptr(GError) why = NULL;
      PvStoreKey *key;

      if (pv_key_slot_kind (slot) != kind
          || (secret_uuid != NULL && memcmp (pv_key_slot_secret_uuid (slot), secret_uuid, PV_KEY_UUID_SIZE) != 0))
        continue;
      key = pv_key_slot_unwrap (slot, secret, size, uuid, &why);
      if (key != NULL)
        {
          self->slot = i + 1;
          return key;
        }
      if (!g_error_matches (why, PV_ERROR, PV_ERROR_DENIED))
        return g_propagate_error (error, g_steal_pointer (&why)), NULL;
    }
  return NULL;
}

static PvStoreKey *
open_with_passphrase (PvKeySource *self, const char *directory, const PvStoreFormat *format, GError **error)
{
  g_autofree char *prompt = g_strdup_printf ("Pass phrase of the store in '%s': ", directory);
  g_autoptr(PvPassphrase) passphrase = self->passphrase_file != NULL
                                         ? pv_passphrase_read (self->passphrase_file, error)
                                         : pv_passphrase_ask (prompt, error);
  g_autoptr(GError) why = NULL;
  PvStoreKey *key;

  if (passphrase == NULL)
    return NULL;
  key = try_slots (self, format, PV_KEY_SLOT_PASSPHRASE, NULL, passphrase->bytes, passphrase->size, &why);
  if (why != NULL)
    g_propagate_error (error, g_steal_pointer (&why));
  else if (key == NULL)
    pv_throw (error, PV_ERROR_DENIED, "this is not the pass phrase of the store in '%s'", directory);
  return key;
}

static PvStoreKey *
open_with_secret (PvKeySource *self, const char *directory, const PvStoreFormat *format, const char *secret_uuid,
                  GError **error)
{
  g_autoptr(PvConnection) connection = NULL;
  guint8 uuid[PV_KEY_UUID_SIZE];
  guint8 *value;
  PvStoreKey *key;
  gsize size;
  g_autoptr(GError) why = NULL;

  if (!parse_uuid (secret_uuid, uuid, error) || (connection = pv_connection_open (self->uri, error)) == NULL)
    return NULL;
  value = pv_secret_value_fetch (connection, secret_uuid, &size, error);
  if (value == NULL)
    return NULL;
  key = try_slots (self, format, PV_KEY_SLOT_SECRET, uuid, value, size, &why);
  pv_secret_value_free (value, size);
  if (why != NULL)
    g_propagate_error (error, g_steal_pointer (&why));
  else if (key == NULL)
    pv_throw (error, PV_ERROR_DENIED, "libvirt's secret %s does not open the store in '%s'", secret_uuid, directory);
  return key;
}

/* The secrets that the store itself names: what unattended use needs no option for. */
static PvStoreKey *
open_with_named_secrets (PvKeySource *self, const char *directory, const PvStoreFormat *format, GError **why)
{
  PvStoreKey *key = NULL;

  for (guint i = 0; key == NULL && i < format->n_key_slots; i++)
    {
      char uuid[UUID_TEXT_SIZE];

      if (pv_key_slot_kind (&format->key_slots[i]) != PV_KEY_SLOT_SECRET)
        continue;
      g_clear_error (why);
      format_uuid (pv_key_slot_secret_uuid (&format->key_slots[i]), uuid);
      key = open_with_secret (self, directory, format, uuid, why);
    }
  return key;
}

static PvStoreKey *
unlock (const char *directory, const PvStoreFormat *format, gpointer data, GError **error)
{
  PvKeySource *self = data;
  g_autoptr(GError) why = NULL;
  PvStoreKey *key = NULL;

  if (self->secret_uuid != NULL)
    return open_with_secret (self, directory, format, self->secret_uuid, error);
  if (self->passphrase_file == NULL)
    key = open_with_named_secrets (self, directory, format, &why);
  if (key != NULL)
    return key;
  if (self->passphrase_file != NULL || self->ask)
    return open_with_passphrase (self, directory, format, error);
  if (why != NULL)
    g_propagate_error (error, g_steal_pointer (&why));
  else
    pv_throw (error, PV_ERROR_DENIED,
              "the store in '%s' is encrypted: give --passphrase-file or --secret, or set PAGEVAULT_PASSPHRASE_FILE",
              directory);
  return NULL;
}

void
pv_key_source_install (PvKeySource *self)
{
  pv_unlock_set_func (unlock, self, self->passphrase_file != NULL || self->secret_uuid != NULL);
}

/* --- new slots ---------------------------------------------------------------------------------------------------- */

static gboolean
wrap_secret (const PvKeySource *self, const PvStoreKey *key, const guint8 *store_uuid, PvKeySlot *slot, GError **error)
{
  g_autoptr(PvConnection) connection = NULL;
  guint8 uuid[PV_KEY_UUID_SIZE];
  guint8 *value;
  gboolean done;
  gsize size;

  if (!parse_uuid (self->secret_uuid, uuid, error) || (connection = pv_connection_open (self->uri, error)) == NULL)
    return FALSE;
  value = pv_secret_value_fetch (connection, self->secret_uuid, &size, error);
  if (value == NULL)
    return FALSE;
  done = pv_key_slot_wrap_secret (slot, key, value, size, uuid, store_uuid, error);
  pv_secret_value_free (value, size);
  return done;
}

static PvPassphrase *
ask_twice (GError **error)
{
  g_autoptr(PvPassphrase) one = pv_passphrase_ask ("New pass phrase: ", error);
  g_autoptr(PvPassphrase) two = one != NULL ? pv_passphrase_ask ("The same again: ", error) : NULL;

  if (two == NULL)
    return NULL;
  if (pv_passphrase_equal (one, two))
    return g_steal_pointer (&one);
  pv_throw (error, PV_ERROR_INVALID, "the two pass phrases differ");
  return NULL;
}

gboolean
pv_key_source_wrap (const PvKeySource *self, const PvStoreKey *key, guint cost, const guint8 *store_uuid,
                    PvKeySlot *slot, GError **error)
{
  g_autoptr(PvPassphrase) passphrase = NULL;

  if (self->secret_uuid != NULL)
    return wrap_secret (self, key, store_uuid, slot, error);
  passphrase = self->passphrase_file != NULL ? pv_passphrase_read (self->passphrase_file, error) : ask_twice (error);
  return passphrase != NULL
         && pv_key_slot_wrap_passphrase (slot, key, passphrase->bytes, passphrase->size, cost, store_uuid, error);
}
