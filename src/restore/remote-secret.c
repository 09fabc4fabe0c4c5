/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/remote-secret.h"

#include "remote/remote.h"
#include "virt/secret-value.h"

static char *installed_uri; /* (owned): for as long as the process lives */

static char *
read_secret (const char *uuid, gpointer data, GError **error)
{
  g_autoptr(PvConnection) connection = pv_connection_open (installed_uri, error);
  guint8 *value;
  char *text;
  gsize size;

  if (connection == NULL)
    return NULL;
  value = pv_secret_value_fetch (connection, uuid, &size, error);
  if (value == NULL)
    return NULL;
  text = g_strndup ((const char *) value, size);
  pv_secret_value_free (value, size);
  return text;
}

void
pv_remote_secret_install (const char *uri)
{
  g_free (installed_uri);
  installed_uri = g_strdup (uri);
  pv_remote_set_secret_reader (read_secret, NULL);
}
