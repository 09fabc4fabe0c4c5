/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/capture-record.h"

#include <string.h>

#include "virt/attachments.h"

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
  if (entry->layers != NULL)
    {
      json_builder_set_member_name (builder, "layers");
      pv_layers_write (entry->layers, builder);
    }
  json_builder_end_object (builder);
}

gboolean
pv_capture_record_attach (const PvCaptureRecord *self, PvTxn *txn, PvGuest *guest, PvDomainXml *domain, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  g_autoptr(JsonNode) node = NULL;
  g_autoptr(GBytes) bytes = NULL;
  PvConnection *connection = pv_guest_connection (guest);
  char *text;

  json_builder_begin_object (builder);
  add_string (builder, "pagevault", PV_VERSION);
  add_string (builder, "engine", self->engine);
  json_builder_set_member_name (builder, "passed_over");
  json_builder_begin_array (builder);
  for (guint i = 0; i < self->passed_over->len; i++)
    json_builder_add_string_value (builder, self->passed_over->pdata[i]);
  json_builder_end_array (builder);
  json_builder_set_member_name (builder, "tracked");
  json_builder_add_boolean_value (builder, self->tracked);
  json_builder_set_member_name (builder, "pause_ms");
  json_builder_add_double_value (builder, self->pause_ms);
  json_builder_set_member_name (builder, "quiesced");
  json_builder_add_boolean_value (builder, self->quiesced);
  add_int (builder, "libvirt", pv_connection_libvirt_version (connection));
  add_int (builder, "qemu", pv_connection_qemu_version (connection));
  add_string (builder, "machine", pv_domain_xml_machine (domain));
  add_string (builder, "nvram_format",
              pv_domain_xml_nvram (domain) != NULL ? pv_domain_xml_nvram_format (domain) : NULL);
  json_builder_set_member_name (builder, "disks");
  json_builder_begin_array (builder);
  for (guint i = 0; i < self->plan->entries->len; i++)
    add_disk (builder, self->plan->entries->pdata[i]);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  node = json_builder_get_root (builder);
  text = json_to_string (node, TRUE);
  bytes = g_bytes_new_take (text, strlen (text));
  return pv_txn_attach (txn, PV_ATTACH_CAPTURE, bytes, error);
}

/* --- reading ----------------------------------------------------------------------------------- */

/* (transfer none) (nullable) */
static JsonArray *
array_member (JsonNode *node, const char *name)
{
  JsonNode *member = node != NULL && JSON_NODE_HOLDS_OBJECT (node)
                         ? json_object_get_member (json_node_get_object (node), name)
                         : NULL;

  return member != NULL && JSON_NODE_HOLDS_ARRAY (member) ? json_node_get_array (member) : NULL;
}

PvLayers *
pv_capture_record_layers (PvSnapshot *snapshot, const char *target)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, PV_ATTACH_CAPTURE);
  g_autoptr(JsonParser) parser = json_parser_new ();
  gsize size = 0;
  const char *text = bytes != NULL ? g_bytes_get_data (bytes, &size) : NULL;
  JsonArray *disks = NULL;

  if (text != NULL && json_parser_load_from_data (parser, text, (gssize) size, NULL))
    disks = array_member (json_parser_get_root (parser), "disks");
  for (guint i = 0; disks != NULL && i < json_array_get_length (disks); i++)
    {
      JsonNode *node = json_array_get_element (disks, i);
      JsonObject *disk = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;

      if (disk != NULL
          && g_strcmp0 (json_object_get_string_member_with_default (disk, "target", NULL), target) == 0)
        return pv_layers_read (json_object_get_member (disk, "layers"));
    }
  return NULL;
}
