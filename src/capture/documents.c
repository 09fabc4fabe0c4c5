/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/documents.h"

#include <string.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"
#include "virt/attachments.h"

#define NVRAM_MAX (256u << 20) /* bytes */

void
pv_documents_clear (PvDocuments *self)
{
  g_clear_pointer (&self->domain, g_free);
  g_clear_pointer (&self->inactive, g_free);
  g_clear_pointer (&self->cookie, g_free);
  g_clear_pointer (&self->nvram, g_bytes_unref);
}

gboolean
pv_documents_take_early (PvDocuments *self, PvGuest *guest, PvDomainXml *live, GError **error)
{
  if (live != NULL)
    self->cookie = pv_domain_xml_save_cookie (live);
  if (!pv_guest_is_persistent (guest))
    return TRUE;
  self->inactive = pv_guest_xml (guest, VIR_DOMAIN_XML_INACTIVE, error);
  return self->inactive != NULL;
}

/* The guest's pflash writes went to the file before QEMU stopped: it is as the guest knows it. */
static gboolean
take_nvram (PvDocuments *self, const char *path, GError **error)
{
  if (path == NULL)
    return TRUE;
  self->nvram = pv_fault ("capture.nvram", error) ? pv_read_file (path, NVRAM_MAX, error) : NULL;
  if (self->nvram == NULL)
    g_prefix_error (error, "UEFI variables: ");
  return self->nvram != NULL;
}

gboolean
pv_documents_take (PvDocuments *self, PvGuest *guest, const char *nvram, GError **error)
{
  self->domain = pv_fault ("capture.xml", error) ? pv_guest_xml (guest, VIR_DOMAIN_XML_MIGRATABLE, error) : NULL;
  return self->domain != NULL && take_nvram (self, nvram, error);
}

gboolean
pv_documents_take_off (PvDocuments *self, PvGuest *guest, const char *nvram, GError **error)
{
  self->domain = pv_guest_xml (guest, VIR_DOMAIN_XML_INACTIVE, error);
  self->inactive = g_strdup (self->domain);
  /* a domain that was never started has none yet */
  if (self->domain == NULL || nvram == NULL || !g_file_test (nvram, G_FILE_TEST_EXISTS))
    return self->domain != NULL;
  return take_nvram (self, nvram, error);
}

static gboolean
attach_text (PvTxn *txn, const char *name, const char *text, GError **error)
{
  g_autoptr(GBytes) bytes = text != NULL ? g_bytes_new (text, strlen (text)) : NULL;

  return bytes == NULL || pv_txn_attach (txn, name, bytes, error);
}

gboolean
pv_documents_attach (const PvDocuments *self, PvTxn *txn, GError **error)
{
  return attach_text (txn, PV_ATTACH_DOMAIN_XML, self->domain, error)
         && attach_text (txn, PV_ATTACH_INACTIVE_XML, self->inactive, error)
         && attach_text (txn, PV_ATTACH_COOKIE, self->cookie, error)
         && (self->nvram == NULL || pv_txn_add_blob (txn, PV_BLOB_NVRAM, self->nvram, error));
}

static void
add_string (JsonBuilder *builder, const char *name, const char *value)
{
  json_builder_set_member_name (builder, name);
  if (value != NULL)
    json_builder_add_string_value (builder, value);
  else
    json_builder_add_null_value (builder);
}

static void
add_int (JsonBuilder *builder, const char *name, guint64 value)
{
  json_builder_set_member_name (builder, name);
  json_builder_add_int_value (builder, (gint64) value);
}

static void
add_disk (JsonBuilder *builder, const PvDiskPlanEntry *entry)
{
  json_builder_begin_object (builder);
  add_string (builder, "target", entry->target);
  json_builder_set_member_name (builder, "taken");
  json_builder_add_boolean_value (builder, entry->taken);
  add_string (builder, "path", entry->path);
  add_string (builder, "format", entry->format);
  add_string (builder, "source", entry->block ? "block" : "file");
  if (entry->taken)
    add_int (builder, "size", entry->size);
  json_builder_set_member_name (builder, "backing");
  json_builder_begin_array (builder);
  for (guint i = 0; i < entry->backing->len; i++)
    json_builder_add_string_value (builder, entry->backing->pdata[i]);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
}

gboolean
pv_documents_attach_capture (PvTxn *txn, PvGuest *guest, PvDomainXml *domain, const char *engine, double pause_ms,
                             const PvDiskPlan *plan, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  g_autoptr(JsonNode) node = NULL;
  g_autofree char *text = NULL;
  PvConnection *connection = pv_guest_connection (guest);

  json_builder_begin_object (builder);
  add_string (builder, "pagevault", PV_VERSION);
  add_string (builder, "engine", engine);
  json_builder_set_member_name (builder, "pause_ms");
  json_builder_add_double_value (builder, pause_ms);
  add_int (builder, "libvirt", pv_connection_libvirt_version (connection));
  add_int (builder, "qemu", pv_connection_qemu_version (connection));
  add_string (builder, "machine", pv_domain_xml_machine (domain));
  add_string (builder, "nvram_format",
              pv_domain_xml_nvram (domain) != NULL ? pv_domain_xml_nvram_format (domain) : NULL);
  json_builder_set_member_name (builder, "disks");
  json_builder_begin_array (builder);
  for (guint i = 0; i < plan->entries->len; i++)
    add_disk (builder, plan->entries->pdata[i]);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  node = json_builder_get_root (builder);
  text = json_to_string (node, TRUE);
  return attach_text (txn, PV_ATTACH_CAPTURE, text, error);
}
