/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A guest's disks: freezing them into overlays, and what their layers are. guest-commit.c merges the overlays back. */
#include "config.h"

#include <libvirt/virterror.h>

#include "virt/guest-private.h"
#include "xml/domain-xml.h"

gboolean
pv_guest_snapshot_disks (PvGuest *self, const char *snapshot_xml, GError **error)
{
  virDomainSnapshotPtr snapshot =
      virDomainSnapshotCreateXML (pv_guest_get (self), snapshot_xml,
                                  VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY | VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
                                      | VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA | VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC);

  if (snapshot == NULL)
    return pv_guest_throw (self, error, "cannot freeze its disks");
  virDomainSnapshotFree (snapshot);
  return TRUE;
}

gboolean
pv_guest_redefine_snapshot (PvGuest *self, const char *snapshot_xml, gboolean current, GError **error)
{
  virDomainSnapshotPtr snapshot = virDomainSnapshotCreateXML (pv_guest_get (self), snapshot_xml,
                                                              VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
                                                                  | (current ? VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT : 0));

  if (snapshot == NULL)
    return pv_guest_throw (self, error, "cannot register the snapshot with libvirt");
  virDomainSnapshotFree (snapshot);
  return TRUE;
}

gboolean
pv_guest_has_snapshot (PvGuest *self, const char *name, gboolean *has, GError **error)
{
  virDomainSnapshotPtr snapshot = virDomainSnapshotLookupByName (pv_guest_get (self), name, 0);
  const virError *last = snapshot == NULL ? virGetLastError () : NULL;

  *has = snapshot != NULL;
  if (snapshot == NULL && (last == NULL || last->code != VIR_ERR_NO_DOMAIN_SNAPSHOT))
    return pv_guest_throw (self, error, "cannot look for its snapshot '%s'", name);
  if (snapshot != NULL)
    virDomainSnapshotFree (snapshot);
  return TRUE;
}

gboolean
pv_guest_current_snapshot (PvGuest *self, char **name, GError **error)
{
  virDomainSnapshotPtr snapshot;
  int has = virDomainHasCurrentSnapshot (pv_guest_get (self), 0);

  *name = NULL;
  if (has < 0)
    return pv_guest_throw (self, error, "cannot ask for its current snapshot");
  if (has == 0)
    return TRUE;
  snapshot = virDomainSnapshotCurrent (pv_guest_get (self), 0);
  if (snapshot == NULL)
    return pv_guest_throw (self, error, "cannot ask for its current snapshot");
  *name = g_strdup (virDomainSnapshotGetName (snapshot));
  virDomainSnapshotFree (snapshot);
  return TRUE;
}

char *
pv_guest_active_layer (PvGuest *self, const char *target, GError **error)
{
  g_autofree char *text = pv_guest_xml (self, 0, error);
  g_autoptr(PvDomainXml) xml = text != NULL ? pv_domain_xml_parse (text, error) : NULL;
  PvDomainDisk *disk;

  if (xml == NULL)
    return NULL;
  for (guint i = 0; i < pv_domain_xml_disks (xml)->len; i++)
    {
      disk = pv_domain_xml_disks (xml)->pdata[i];
      if (g_strcmp0 (disk->target, target) == 0 && disk->path != NULL)
        return g_strdup (disk->path);
    }
  pv_throw (error, PV_ERROR_NOT_FOUND, "guest %s has no disk %s with an image", pv_guest_name (self), target);
  return NULL;
}
