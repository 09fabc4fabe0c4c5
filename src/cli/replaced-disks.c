/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/replaced-disks.h"

#include <sys/stat.h>

#include "util/file.h"
#include "virt/host.h"
#include "xml/domain-xml.h"

static void
add_disks (GHashTable *used, PvGuest *guest, guint flags)
{
  g_autofree char *text = pv_guest_xml (guest, flags, NULL);
  g_autoptr(PvDomainXml) xml = text != NULL ? pv_domain_xml_parse (text, NULL) : NULL;
  GPtrArray *disks = xml != NULL ? pv_domain_xml_disks (xml) : NULL;

  for (guint i = 0; disks != NULL && i < disks->len; i++)
    {
      const PvDomainDisk *disk = disks->pdata[i];

      g_hash_table_add (used, g_strdup (disk->path != NULL ? disk->path : ""));
      for (guint j = 0; j < disk->backing->len; j++)
        g_hash_table_add (used, g_strdup (disk->backing->pdata[j]));
    }
}

/* (transfer full) (nullable): paths that domains name; NULL when not all could be asked. */
static GHashTable *
used_paths (PvConnection *connection)
{
  g_autoptr(GPtrArray) names = pv_host_domains (connection, FALSE, NULL);
  g_autoptr(GHashTable) used = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      g_autoptr(PvGuest) guest = pv_guest_lookup (connection, names->pdata[i], NULL);

      if (guest == NULL)
        continue;
      add_disks (used, guest, 0);
      add_disks (used, guest, VIR_DOMAIN_XML_INACTIVE);
    }
  return names != NULL ? g_steal_pointer (&used) : NULL;
}

GPtrArray *
pv_replaced_disks_remove (PvConnection *connection, GPtrArray *paths)
{
  g_autoptr(GHashTable) used = used_paths (connection);
  GPtrArray *kept = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < paths->len; i++)
    {
      const char *path = paths->pdata[i];
      struct stat st;

      if (used == NULL || g_hash_table_contains (used, path) || lstat (path, &st) < 0 || !S_ISREG (st.st_mode)
          || !pv_unlink (path, NULL))
        g_ptr_array_add (kept, g_strdup (path));
    }
  return kept;
}
