/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the remote of a mirror is, and which mirrors a store is attached to. */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "store/mirror-private.h"
#include "store/store-private.h"
#include "util/error.h"

gboolean
pv_mirror_remember (PvMirror *self, const char *url, const PvRemoteOptions *options, GError **error)
{
  g_autoptr(PvRemotePlace) place = pv_remote_place_new (url, options);

  return pv_mirror_place_write (self->store, self->name, place, TRUE, error);
}

PvRemote *
pv_mirror_connect (const char *store, const char *name, guint64 limit_rate, GError **error)
{
  g_autoptr(PvRemotePlace) place = pv_mirror_place_read (store, name, error);

  return place != NULL ? pv_remote_place_open (place, limit_rate, error) : NULL;
}

/* --- attaching ---------------------------------------------------------------------------------------------------- */

gboolean
pv_mirror_attach (PvMirror *self, guint64 size, GError **error)
{
  g_autofree char *text = g_strdup_printf ("%" G_GUINT64_FORMAT "\n", size != 0 ? size : PV_MIRROR_CACHE_DEFAULT);

  return pv_write_file (self->attached, text, strlen (text), error);
}

gboolean
pv_mirror_detach (PvMirror *self, GError **error)
{
  return pv_unlink (self->attached, error);
}

gboolean
pv_mirror_is_attached (PvMirror *self)
{
  return access (self->attached, F_OK) == 0;
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
pv_mirror_open_attached (PvStore *store, GPtrArray *warnings)
{
  g_autoptr(GPtrArray) mirrors = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_mirror_unref);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *path = g_build_filename (store->directory, PV_MIRRORS, NULL);
  g_autoptr(GDir) dir = g_dir_open (path, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *attached = g_build_filename (path, name, "attached", NULL);

      if (access (attached, F_OK) == 0)
        g_ptr_array_add (names, g_strdup (name));
    }
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    {
      g_autoptr(GError) why = NULL;
      PvMirror *mirror = pv_mirror_open (store, names->pdata[i], NULL, &why);

      if (mirror != NULL)
        g_ptr_array_add (mirrors, mirror);
      else if (warnings != NULL)
        g_ptr_array_add (warnings, g_strdup (why->message));
    }
  return g_steal_pointer (&mirrors);
}
