/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <json-glib/json-glib.h>

#include "restore/restore-job-private.h"
#include "virt/attachments.h"

enum
{
  PATIENCE_US = 20 * 1000 * 1000, /* for an agent whose memory is still coming */
  RETRY_US = 200 * 1000,
};

/* The snapshot was taken with the file systems frozen (create --quiesce). */
static gboolean
is_frozen (PvSnapshot *snapshot)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, PV_ATTACH_CAPTURE);
  g_autoptr(JsonParser) parser = json_parser_new ();
  gsize size = 0;
  const char *text = bytes != NULL ? g_bytes_get_data (bytes, &size) : NULL;
  JsonNode *root;

  if (text == NULL || !json_parser_load_from_data (parser, text, (gssize) size, NULL))
    return FALSE;
  root = json_parser_get_root (parser);
  return root != NULL && JSON_NODE_HOLDS_OBJECT (root)
         && json_object_get_boolean_member_with_default (json_node_get_object (root), "quiesced", FALSE);
}

void
pv_restore_thaw (PvRestore *self, PvRestoreResult *result)
{
  g_autoptr(PvGuest) guest = NULL;
  g_autoptr(GError) error = NULL;
  gint64 deadline = g_get_monotonic_time () + PATIENCE_US;

  if (!self->has_memory || !is_frozen (self->snapshot))
    return;
  if (!self->run)
    {
      result->frozen = g_strdup_printf ("its file systems are frozen, as in the snapshot: when it runs, thaw them by "
                                        "virsh domfsthaw %s", self->domain);
      return;
    }
  guest = pv_guest_lookup_uuid (self->connection, pv_domain_xml_uuid (self->live), &error);
  while (guest != NULL)
    {
      g_clear_error (&error);
      if (pv_guest_fsthaw (guest, &error))
        return;
      if (g_get_monotonic_time () > deadline)
        break;
      g_usleep (RETRY_US);
    }
  result->frozen = g_strdup_printf ("its file systems are still frozen (%s): thaw them by virsh domfsthaw %s",
                                    error->message, self->domain);
}
