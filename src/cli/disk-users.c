/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/disk-users.h"

#include <fcntl.h>
#include <string.h>

#include "pool/disk-name.h"
#include "util/error.h"
#include "util/file.h"
#include "virt/host.h"
#include "xml/domain-xml.h"

#define LAYERS_MAX 64      /* of a chain: QEMU itself has trouble with more */
#define BACKING_MAX 1023   /* bytes of a backing file's name: QEMU reads no more */
#define HEADER_READ 20     /* bytes: up to the length of that name */

/* (transfer full) (nullable): what the qcow2 file @path says that it lies over; QEMU's docs/interop/qcow2.txt. */
static char *
backing_of (const char *path)
{
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY | O_NONBLOCK, 0, NULL);
  char name[BACKING_MAX + 1] = "";
  guint8 head[HEADER_READ];
  guint64 at;
  guint32 length;
  g_autofree char *directory = NULL;

  if (fd < 0 || !pv_pread_exact (fd, head, sizeof head, 0, path, NULL) || memcmp (head, "QFI\xfb", 4) != 0)
    return NULL;
  memcpy (&at, head + 8, sizeof at);
  memcpy (&length, head + 16, sizeof length);
  at = GUINT64_FROM_BE (at);
  length = GUINT32_FROM_BE (length);
  if (at == 0 || at > G_MAXINT64 - BACKING_MAX || length == 0 || length > BACKING_MAX
      || !pv_pread_exact (fd, name, length, at, path, NULL))
    return NULL;
  directory = g_path_get_dirname (path);
  return g_canonicalize_filename (name, directory);
}

static void
note_file (GHashTable *users, const char *guest, const char *path)
{
  g_autofree char *name = g_path_get_basename (path);
  g_autofree char *domain = NULL, *snapshot = NULL, *target = NULL;

  if (pv_disk_name_parse (name, &domain, &snapshot, &target))
    g_hash_table_replace (users, g_strconcat (domain, "@", snapshot, NULL), g_strdup (guest));
}

static void
note_chain (GHashTable *users, const char *guest, const char *path)
{
  g_autofree char *layer = g_strdup (path);

  for (guint i = 0; layer != NULL && i < LAYERS_MAX; i++)
    {
      char *below;

      note_file (users, guest, layer);
      below = backing_of (layer);
      g_free (layer);
      layer = below;
    }
}

static gboolean
note_guest (GHashTable *users, PvGuest *guest, guint flags, GError **error)
{
  g_autofree char *text = pv_guest_xml (guest, flags, error);
  g_autoptr(PvDomainXml) xml = text != NULL ? pv_domain_xml_parse (text, error) : NULL;
  GPtrArray *disks = xml != NULL ? pv_domain_xml_disks (xml) : NULL;

  for (guint i = 0; disks != NULL && i < disks->len; i++)
    {
      const PvDomainDisk *disk = disks->pdata[i];

      for (guint j = 0; j < disk->backing->len; j++)
        note_file (users, pv_guest_name (guest), disk->backing->pdata[j]);
      if (disk->path != NULL)
        note_chain (users, pv_guest_name (guest), disk->path);
    }
  return xml != NULL;
}

GHashTable *
pv_disk_users_find (PvConnection *connection, GError **error)
{
  g_autoptr(GHashTable) users = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  g_autoptr(GPtrArray) names = pv_host_domains (connection, FALSE, error);

  for (guint i = 0; names != NULL && i < names->len; i++)
    {
      g_autoptr(GError) local = NULL;
      g_autoptr(PvGuest) guest = pv_guest_lookup (connection, names->pdata[i], &local);

      if (guest != NULL && note_guest (users, guest, 0, &local)
          && (!pv_guest_is_persistent (guest) || note_guest (users, guest, VIR_DOMAIN_XML_INACTIVE, &local)))
        continue;
      if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
        continue; /* it ended just now */
      g_propagate_prefixed_error (error, g_steal_pointer (&local), "guest %s: ", (const char *) names->pdata[i]);
      return NULL;
    }
  return names != NULL ? g_steal_pointer (&users) : NULL;
}
