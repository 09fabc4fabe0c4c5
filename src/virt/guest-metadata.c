/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What others than libvirt keep in a guest's description: one element of each namespace below <metadata>. */
#include "config.h"

#include <libvirt/virterror.h>
#include <stdlib.h>

#include "virt/guest-private.h"

static gboolean
get_metadata (PvGuest *self, const char *uri, guint flags, char **text, GError **error)
{
  char *found = virDomainGetMetadata (pv_guest_get (self), VIR_DOMAIN_METADATA_ELEMENT, uri, flags);

  *text = NULL;
  if (found != NULL)
    {
      *text = g_strdup (found);
      free (found);
      return TRUE;
    }
  return virGetLastErrorCode () == VIR_ERR_NO_DOMAIN_METADATA
         || pv_guest_throw (self, error, "cannot read its metadata");
}

gboolean
pv_guest_metadata (PvGuest *self, const char *uri, char **text, gboolean *differs, GError **error)
{
  g_autofree char *live = NULL;
  g_autofree char *kept = NULL;
  gboolean persistent = pv_guest_is_persistent (self), active = virDomainIsActive (pv_guest_get (self)) == 1;

  if (persistent && !get_metadata (self, uri, VIR_DOMAIN_AFFECT_CONFIG, &kept, error))
    return FALSE;
  if (active && !get_metadata (self, uri, VIR_DOMAIN_AFFECT_LIVE, &live, error))
    return FALSE;
  *differs = persistent && active && g_strcmp0 (live, kept) != 0;
  *text = kept != NULL ? g_steal_pointer (&kept) : g_steal_pointer (&live);
  return TRUE;
}

gboolean
pv_guest_set_metadata (PvGuest *self, const char *uri, const char *prefix, const char *text, GError **error)
{
  guint flags = (pv_guest_is_persistent (self) ? VIR_DOMAIN_AFFECT_CONFIG : 0)
                | (virDomainIsActive (pv_guest_get (self)) == 1 ? VIR_DOMAIN_AFFECT_LIVE : 0);

  if (virDomainSetMetadata (pv_guest_get (self), VIR_DOMAIN_METADATA_ELEMENT, text, prefix, uri, flags) == 0)
    return TRUE;
  return (text == NULL && virGetLastErrorCode () == VIR_ERR_NO_DOMAIN_METADATA)
         || pv_guest_throw (self, error, "cannot change its metadata");
}
