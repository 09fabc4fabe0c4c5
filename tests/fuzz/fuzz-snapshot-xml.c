/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What users ask for: a snapshot description, and virsh's --diskspec. */
#include "config.h"

#include "xml/snapshot-xml.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree char *text = g_strndup ((const char *) data, size);
  g_autoptr(PvSnapshotRequest) request = pv_snapshot_request_parse (text, NULL);
  g_autoptr(PvSnapshotRequest) libvirt = pv_snapshot_request_parse_libvirt (text, NULL);
  g_autoptr(PvDiskSpec) spec = pv_disk_spec_parse (text, NULL);

  if (libvirt != NULL)
    g_assert_true (g_path_is_absolute (libvirt->memory_file));
  if (spec != NULL)
    g_assert (*spec->target != '\0');
  return 0;
}
