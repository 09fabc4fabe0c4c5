/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/mirror-place.h"

#include <string.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/file.h"

#define NAME_MAX_BYTES 64u

gboolean
pv_mirror_name_check (const char *name, GError **error)
{
  gsize length = strlen (name);

  if (length >= 1 && length <= NAME_MAX_BYTES && *name != '.' && *name != '-'
      && strspn (name, G_CSET_A_2_Z G_CSET_a_2_z G_CSET_DIGITS "._-") == length)
    return TRUE;
  return pv_throw (error, PV_ERROR_INVALID, "a remote is called by 1 to %u letters, digits, '.', '_' and '-', and does"
                                            " not begin with '.' or '-'",
                   NAME_MAX_BYTES);
}

/* (transfer full): the file that says where @name is; @directory: (out) (optional): the folder it is in. */
static char *
path_of (const char *store, const char *name, char **directory)
{
  g_autofree char *folder = g_build_filename (store, PV_MIRRORS, name, NULL);
  char *path = g_build_filename (folder, "remote", NULL);

  if (directory != NULL)
    *directory = g_steal_pointer (&folder);
  return path;
}

static gint
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(const char *const *) a, *(const char *const *) b);
}

GPtrArray *
pv_mirror_place_names (const char *store)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  g_autofree char *folder = g_build_filename (store, PV_MIRRORS, NULL);
  g_autoptr(GDir) dir = g_dir_open (folder, 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = path_of (store, name, NULL);

      if (pv_mirror_name_check (name, NULL) && g_file_test (path, G_FILE_TEST_IS_REGULAR))
        g_ptr_array_add (names, g_strdup (name));
    }
  g_ptr_array_sort (names, compare_names);
  return g_steal_pointer (&names);
}

PvRemotePlace *
pv_mirror_place_read (const char *store, const char *name, GError **error)
{
  g_autofree char *path = NULL;
  g_autoptr(GError) local = NULL;
  PvRemotePlace *place;

  if (!pv_mirror_name_check (name, error))
    return NULL;
  path = path_of (store, name, NULL);
  place = pv_remote_place_read (path, &local);
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    pv_throw (error, PV_ERROR_NOT_FOUND, "there is no remote '%s': give its URL, or see 'pagevault remote --help'",
              name);
  else if (place == NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  return place;
}

gboolean
pv_mirror_place_write (const char *store, const char *name, const PvRemotePlace *place, gboolean replace,
                       GError **error)
{
  g_autofree char *directory = NULL, *path = NULL;

  if (!pv_mirror_name_check (name, error))
    return FALSE;
  path = path_of (store, name, &directory);
  if (!replace && g_file_test (path, G_FILE_TEST_EXISTS))
    return pv_throw (error, PV_ERROR_EXISTS, "there is a remote '%s' already: remove it first, or take another name",
                     name);
  return pv_mkdirs (directory, 0700, error) && pv_remote_place_write (place, path, error);
}

gboolean
pv_mirror_place_remove (const char *store, const char *name, GError **error)
{
  g_autofree char *directory = NULL, *path = NULL, *attached = NULL;

  if (!pv_mirror_name_check (name, error))
    return FALSE;
  path = path_of (store, name, &directory);
  attached = g_build_filename (directory, "attached", NULL);
  if (!g_file_test (path, G_FILE_TEST_EXISTS))
    return pv_throw (error, PV_ERROR_NOT_FOUND, "there is no remote '%s': see 'pagevault remote list'", name);
  /* Not read any more before its parts go. */
  return pv_unlink (attached, error) && pv_remove_tree (directory, error);
}
