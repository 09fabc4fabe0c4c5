/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/capture-record.h"

#include "virt/attachments.h"
#include "virt/json-members.h"

static void
add_disk (JsonBuilder *builder, const PvDiskPlanEntry *entry)
{
  json_builder_begin_object (builder);
  pv_json_string (builder, "target", entry->target);
  pv_json_boolean (builder, "taken", entry->taken);
  pv_json_string (builder, "path", entry->path);
  pv_json_string (builder, "format", entry->format);
  pv_json_string (builder, "source", entry->block ? "block" : "file");
  if (entry->taken)
    pv_json_size (builder, "size", entry->size);
  pv_json_strings (builder, "backing", entry->backing);
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
  g_autoptr(GBytes) bytes = NULL;
  PvConnection *connection = pv_guest_connection (guest);

  json_builder_begin_object (builder);
  pv_json_string (builder, "pagevault", PV_VERSION);
  pv_json_string (builder, "engine", self->engine);
  pv_json_strings (builder, "passed_over", self->passed_over);
  pv_json_boolean (builder, "tracked", self->tracked);
  pv_json_number (builder, "pause_ms", self->pause_ms);
  pv_json_boolean (builder, "quiesced", self->quiesced);
  pv_json_size (builder, "libvirt", pv_connection_libvirt_version (connection));
  pv_json_size (builder, "qemu", pv_connection_qemu_version (connection));
  pv_json_string (builder, "machine", pv_domain_xml_machine (domain));
  pv_json_string (builder, "nvram_format",
                  pv_domain_xml_nvram (domain) != NULL ? pv_domain_xml_nvram_format (domain) : NULL);
  json_builder_set_member_name (builder, "disks");
  json_builder_begin_array (builder);
  for (guint i = 0; i < self->plan->entries->len; i++)
    add_disk (builder, self->plan->entries->pdata[i]);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  bytes = pv_json_bytes (builder);
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
