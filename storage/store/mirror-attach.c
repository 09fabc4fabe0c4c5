/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Where the remote of a mirror is, and which mirrors a store is attached to. */
#include "config.h"

#include <string.h>
#include <unistd.h>

#include "store/mirror-private.h"
#include "store/store-private.h"
#include "util/error.h"

#define GROUP "remote"

enum
{
  NAME_MAX_BYTES = 64,
  REMOTE_MAX = 64 << 10, /* bytes of the file that says where it is */
};

gboolean
pv_mirror_name_check (const char *name, GError **error)
{
  gsize length = strlen (name);

  if (length >= 1 && length <= NAME_MAX_BYTES && *name != '.' && *name != '-'
      && strspn (name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-") == length)
    return TRUE;
  return pv_throw (error, PV_ERROR_INVALID, "a remote is called by 1 to %d letters, digits, '.', '_' and '-', and does"
                                            " not begin with '.' or '-'",
                   NAME_MAX_BYTES);
}

static void
set_string (GKeyFile *file, const char *key, const char *value)
{
  if (value != NULL)
    g_key_file_set_string (file, GROUP, key, value);
}

gboolean
pv_mirror_remember (PvMirror *self, const char *url, const PvRemoteOptions *options, GError **error)
{
  g_autofree char *path = g_build_filename (self->directory, "remote", NULL);
  g_autoptr(GKeyFile) file = g_key_file_new ();
  g_autofree char *text = NULL;
  gsize size;

  set_string (file, "url", url);
  set_string (file, "endpoint", options->endpoint);
  set_string (file, "region", options->region);
  set_string (file, "ca", options->ca_file);
  set_string (file, "credentials", options->credentials_file);
  set_string (file, "profile", options->profile);
  g_key_file_set_integer (file, GROUP, "addressing", (int) options->addressing);
  text = g_key_file_to_data (file, &size, NULL);
  return pv_write_file (path, text, size, error);
}

PvRemote *
pv_mirror_connect (const char *store, const char *name, guint64 limit_rate, GError **error)
{
  g_autofree char *path = g_build_filename (store, PV_MIRRORS, name, "remote", NULL);
  g_autoptr(GBytes) bytes = NULL;
  g_autoptr(GKeyFile) file = g_key_file_new ();
  g_autofree char *url = NULL, *endpoint = NULL, *region = NULL, *ca = NULL, *credentials = NULL, *profile = NULL;
  PvRemoteOptions options = { .limit_rate = limit_rate };

  if (!pv_mirror_name_check (name, error))
    return NULL;
  bytes = pv_read_file (path, REMOTE_MAX, NULL);
  if (bytes == NULL || !g_key_file_load_from_bytes (file, bytes, G_KEY_FILE_NONE, NULL)
      || (url = g_key_file_get_string (file, GROUP, "url", NULL)) == NULL)
    {
      pv_throw (error, PV_ERROR_NOT_FOUND, "there is no remote '%s': give its URL, or see 'pagevault attach --help'",
                name);
      return NULL;
    }
  options.endpoint = endpoint = g_key_file_get_string (file, GROUP, "endpoint", NULL);
  options.region = region = g_key_file_get_string (file, GROUP, "region", NULL);
  options.ca_file = ca = g_key_file_get_string (file, GROUP, "ca", NULL);
  options.credentials_file = credentials = g_key_file_get_string (file, GROUP, "credentials", NULL);
  options.profile = profile = g_key_file_get_string (file, GROUP, "profile", NULL);
  options.addressing = (PvRemoteAddressing) g_key_file_get_integer (file, GROUP, "addressing", NULL);
  return pv_remote_open (url, &options, error);
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
