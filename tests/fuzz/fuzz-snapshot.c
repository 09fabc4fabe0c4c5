/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A snapshot object that parses is written again with the same content, and from then on always the same. */
#include "config.h"

#include "store/snapshot.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr(GBytes) bytes = g_bytes_new (data, size);
  g_autoptr(GError) error = NULL;
  g_autoptr(PvSnapshot) snapshot = pv_snapshot_parse (bytes, 0, &error);
  g_autoptr(PvSnapshot) again = NULL;
  g_autoptr(GHashTable) attachments = NULL;
  g_autoptr(GPtrArray) names = NULL;
  g_autoptr(GBytes) written = NULL;
  g_autoptr(PvSnapshot) parsed = NULL;
  PvSnapshotMeta meta;

  g_assert_true ((snapshot != NULL) == (error == NULL));
  if (snapshot == NULL)
    return 0;
  meta.domain = pv_snapshot_domain (snapshot);
  meta.name = pv_snapshot_name (snapshot);
  meta.parent = pv_snapshot_parent (snapshot);
  meta.description = pv_snapshot_description (snapshot);
  meta.time = pv_snapshot_time (snapshot);
  meta.state = pv_snapshot_state (snapshot);
  attachments = g_hash_table_new (g_str_hash, g_str_equal);
  names = pv_snapshot_attachments (snapshot);
  for (guint i = 0; i < names->len; i++)
    g_hash_table_insert (attachments, names->pdata[i], pv_snapshot_attachment (snapshot, names->pdata[i]));
  again = pv_snapshot_new (&meta, pv_snapshot_n_volumes (snapshot) > 0 ? pv_snapshot_volume (snapshot, 0) : NULL,
                           pv_snapshot_n_volumes (snapshot), attachments, 0, &error);
  g_assert_no_error (error);
  written = pv_snapshot_serialize (again);
  parsed = pv_snapshot_parse (written, 0, &error);
  g_assert_no_error (error);
  g_assert_true (pv_name_equal (pv_snapshot_id (parsed), pv_snapshot_id (again)));
  g_assert_cmpstr (pv_snapshot_full_name (parsed), ==, pv_snapshot_full_name (snapshot));
  g_assert_cmpuint (pv_snapshot_n_volumes (parsed), ==, pv_snapshot_n_volumes (snapshot));
  for (guint i = 0; i < names->len; i++)
    g_assert_true (g_bytes_equal (pv_snapshot_attachment (parsed, names->pdata[i]),
                                  pv_snapshot_attachment (snapshot, names->pdata[i])));
  return 0;
}
