/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/secret-value.h"

#include <stdlib.h>
#include <string.h>

#include <libvirt/virterror.h>

static gboolean
throw_secret (const char *uuid, const char *what, GError **error)
{
  virErrorPtr why = virGetLastError ();

  switch (why != NULL ? why->code : VIR_ERR_OK)
    {
    case VIR_ERR_NO_SECRET:
      return pv_throw (error, PV_ERROR_NOT_FOUND,
                       "libvirt has no secret %s, or no value of it: see 'virsh secret-list' and "
                       "'virsh secret-set-value'", uuid);
    case VIR_ERR_INVALID_SECRET:
      return pv_throw (error, PV_ERROR_DENIED, "libvirt does not hand out secret %s: it is private", uuid);
    default:
      return pv_throw_libvirt (error, "%s secret %s", what, uuid);
    }
}

guint8 *
pv_secret_value_fetch (PvConnection *connection, const char *uuid, gsize *size, GError **error)
{
  virSecretPtr secret = virSecretLookupByUUIDString (pv_connection_get (connection), uuid);
  guint8 *value = NULL;

  if (secret == NULL)
    {
      throw_secret (uuid, "cannot find", error);
      return NULL;
    }
  value = virSecretGetValue (secret, size, 0);
  if (value == NULL)
    throw_secret (uuid, "cannot get the value of", error);
  virSecretFree (secret);
  return value;
}

void
pv_secret_value_free (guint8 *value, gsize size)
{
  if (value == NULL)
    return;
  explicit_bzero (value, size);
  free (value);
}
