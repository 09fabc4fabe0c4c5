/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/cli.h"

#include <stdio.h>

#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"
#include "xml/store-xml.h"

static const char *
variable (const char *name)
{
  const char *value = g_getenv (name);

  return value != NULL && *value != '\0' ? value : NULL;
}

void
pv_cli_set_defaults (PvCli *self)
{
  g_autoptr(PvStoreXml) config = NULL;

  self->store_directory = g_strdup (variable ("PAGEVAULT_STORE"));
  self->passphrase_file = g_strdup (variable ("PAGEVAULT_PASSPHRASE_FILE"));
  if (self->store_directory == NULL)
    config = pv_store_xml_read (&self->configuration);
  if (config != NULL)
    self->store_directory = g_steal_pointer (&config->path);
  if (config != NULL && self->passphrase_file == NULL)
    {
      self->passphrase_file = g_steal_pointer (&config->passphrase_file);
      self->secret_uuid = g_steal_pointer (&config->secret_uuid);
      self->key_configured = TRUE;
    }
  if (self->store_directory == NULL)
    self->store_directory = g_strdup (PV_DEFAULT_STORE);
}

void
pv_cli_set_subject (PvCli *self, const char *subject)
{
  char *shown = subject != NULL ? pv_escape_for_message (subject) : NULL;

  g_free (self->subject);
  self->subject = shown;
}

PvStore *
pv_cli_open_store (PvCli *self, PvStoreOpenFlags flags, GError **error)
{
  g_autoptr(GError) local = NULL;
  PvStore *store = pv_store_open (self->store_directory, flags, &local);

  if (store != NULL)
    return store;
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_autofree char *shown = pv_escape_for_message (self->store_directory);

      pv_throw (error, PV_ERROR_NOT_FOUND,
                "there is no store in '%s'; 'pagevault create' and 'pagevault import' make it, or 'pagevault init'",
                shown);
      return NULL;
    }
  g_propagate_error (error, g_steal_pointer (&local));
  return NULL;
}

gboolean
pv_cli_check_scrypt_cost (int cost, GError **error)
{
  return (cost >= (int) PV_KEY_COST_MIN && cost <= (int) PV_KEY_COST_MAX)
         || pv_throw (error, PV_ERROR_INVALID, "--scrypt-cost is a number from %u to %u", PV_KEY_COST_MIN,
                      PV_KEY_COST_MAX);
}

PvConnection *
pv_cli_open_connection (PvCli *self, GError **error)
{
  return pv_connection_open (self->uri, error);
}

gboolean
pv_cli_check_snapshot (PvCli *self, const char *argument, GError **error)
{
  if (!pv_snapshot_name_parse (argument, NULL, NULL, error))
    return FALSE;
  pv_cli_set_subject (self, argument);
  return TRUE;
}

PvSnapshot *
pv_cli_lookup (PvCli *self, PvStore *store, const char *argument, GError **error)
{
  g_autofree char *domain = NULL;
  g_autofree char *name = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;

  g_return_val_if_fail (self->pin == NULL, NULL);

  if (!pv_snapshot_name_parse (argument, &domain, &name, error))
    return NULL;
  snapshot = pv_store_find (store, domain, name, self->cancellable, error);
  if (snapshot == NULL)
    return NULL;
  self->pin = pv_store_pin (store, snapshot, error);
  return self->pin != NULL ? g_steal_pointer (&snapshot) : NULL;
}

void
pv_cli_add_stats (PvTable *table, const PvTxnStats *stats)
{
  g_autofree char *scanned = pv_bytesize_format (stats->scanned_bytes);
  g_autofree char *zero = pv_bytesize_format (stats->zero_bytes);
  g_autofree char *known = pv_bytesize_format (stats->known_bytes);
  g_autofree char *fresh = pv_bytesize_format (stats->new_bytes);
  g_autofree char *stored = pv_bytesize_format (stats->stored_bytes);

  pv_table_row (table, "scanned", scanned, NULL);
  pv_table_row (table, "zero", zero, NULL);
  pv_table_row (table, "known", known, NULL);
  pv_table_row (table, "new", fresh, NULL);
  pv_table_row (table, "stored", stored, NULL);
}

void
pv_cli_print_error (PvCli *self, const char *command, const GError *error)
{
  fprintf (stderr, "pagevault: %s%s%s%s%s\n", command != NULL ? command : "",
           command != NULL && self->subject != NULL ? " " : "", self->subject != NULL ? self->subject : "",
           command != NULL ? ": " : "", error->message);
}

void
pv_cli_clear (PvCli *self)
{
  g_clear_pointer (&self->uri, g_free);
  g_clear_pointer (&self->store_directory, g_free);
  g_clear_pointer (&self->passphrase_file, g_free);
  g_clear_pointer (&self->secret_uuid, g_free);
  g_clear_pointer (&self->subject, g_free);
  g_clear_error (&self->configuration);
  g_clear_pointer (&self->pin, pv_store_pin_free);
  g_clear_object (&self->cancellable);
}
