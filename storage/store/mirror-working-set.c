/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <unistd.h>

#include "store/mirror-private.h"
#include "util/error.h"

#define DIRECTORY "working-sets" /* STORE/working-sets, and the keys likewise */

enum
{
  WORKING_SET_MAX = 1 << 20, /* bytes */
};

static char *
local_path (PvMirror *self, const PvName *id)
{
  g_autofree char *hex = pv_name_to_hex (id);

  return g_build_filename (self->store, DIRECTORY, hex, NULL);
}

static char *
key_of (const PvName *id)
{
  g_autofree char *hex = pv_name_to_hex (id);

  return g_strconcat (DIRECTORY "/", hex, NULL);
}

void
pv_mirror_send_working_set (PvMirror *self, const PvName *id, GCancellable *cancellable)
{
  g_autofree char *path = local_path (self, id), *key = key_of (id);
  g_autoptr(GBytes) bytes = self->key == NULL ? pv_read_file (path, WORKING_SET_MAX, NULL) : NULL; /* it tells much */
  g_autoptr(PvRemote) remote = bytes != NULL ? pv_mirror_remote (self, NULL) : NULL;
  g_autoptr(GError) why = NULL;

  if (remote != NULL && !pv_remote_put (remote, key, bytes, PV_REMOTE_PUT_DEFAULT, cancellable, &why))
    g_debug ("%s", why->message);
}

void
pv_mirror_fetch_working_set (PvMirror *self, const PvName *id, GCancellable *cancellable)
{
  g_autofree char *path = local_path (self, id), *directory = g_path_get_dirname (path), *key = key_of (id);
  g_autoptr(PvRemote) remote = access (path, F_OK) != 0 ? pv_mirror_remote (self, NULL) : NULL;
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GError) why = NULL;

  if (remote != NULL)
    bytes = pv_remote_get_all (remote, key, WORKING_SET_MAX, cancellable, &why);
  if (bytes != NULL && pv_mkdirs (directory, 0700, &why))
    pv_write_file (path, g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes), &why);
  if (why != NULL)
    g_debug ("%s", why->message);
}
