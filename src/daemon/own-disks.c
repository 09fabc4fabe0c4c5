/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/own-disks.h"

#include <string.h>

#include "virt/json-members.h"

#define DEFINITIONS "/etc/libvirt/qemu" /* libvirt's, one file for each guest */

gboolean
pv_own_disks_attach (PvTxn *txn, GHashTable *layers, GError **error)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  g_autoptr(GBytes) bytes = NULL;
  GHashTableIter iter;
  gpointer target, value;

  json_builder_begin_object (builder);
  g_hash_table_iter_init (&iter, layers);
  while (g_hash_table_iter_next (&iter, &target, &value))
    {
      json_builder_set_member_name (builder, target);
      pv_layers_write (value, builder);
    }
  json_builder_end_object (builder);
  bytes = pv_json_bytes (builder);
  return pv_txn_attach (txn, PV_ATTACH_OWN_DISKS, bytes, error);
}

/* FALSE when libvirt's definition of the guest names another file for the disk. */
static gboolean
is_still_own (PvSnapshot *snapshot, const PvDomainDisk *disk)
{
  g_autofree char *name = g_strconcat (pv_snapshot_domain (snapshot), ".xml", NULL);
  g_autofree char *path = g_build_filename (DEFINITIONS, name, NULL);
  g_autofree char *text = NULL;
  g_autoptr(PvDomainXml) definition = NULL;
  const PvDomainDisk *now;

  if (!g_file_get_contents (path, &text, NULL, NULL))
    return TRUE; /* it has none: nobody can have changed it */
  definition = pv_domain_xml_parse (text, NULL);
  now = definition != NULL ? pv_domain_xml_find_disk (definition, disk->target) : NULL;
  return now != NULL && g_strcmp0 (now->path, disk->path) == 0;
}

gboolean
pv_own_disks_untouched (PvSnapshot *snapshot, const PvDomainDisk *disk)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, PV_ATTACH_OWN_DISKS);
  g_autoptr(JsonParser) parser = json_parser_new ();
  g_autoptr(PvLayers) then = NULL;
  g_autoptr(PvLayers) now = NULL;
  JsonNode *root;

  if (bytes == NULL || disk->path == NULL || !is_still_own (snapshot, disk)
      || !json_parser_load_from_data (parser, g_bytes_get_data (bytes, NULL), (gssize) g_bytes_get_size (bytes), NULL))
    return FALSE;
  root = json_parser_get_root (parser);
  if (root == NULL || !JSON_NODE_HOLDS_OBJECT (root))
    return FALSE;
  then = pv_layers_read (json_object_get_member (json_node_get_object (root), disk->target));
  now = then != NULL ? pv_layers_look (disk->path, disk->format, NULL) : NULL;
  return pv_layers_unwritten (now, then);
}
