/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "unit/golden.h"

#include <string.h>

static char *
data_path (const char *path)
{
  const char *data = g_getenv ("PAGEVAULT_TEST_DATA");

  g_assert_nonnull (data);
  return g_build_filename (data, path, NULL);
}

void
golden_assert (const char *path, const char *text)
{
  g_autofree char *full = data_path (path);
  g_autofree char *wanted = NULL;
  g_autoptr(GError) error = NULL;

  if (g_strcmp0 (g_getenv ("PAGEVAULT_TEST_REGENERATE"), "1") == 0)
    {
      g_file_set_contents (full, text, -1, &error);
      g_assert_no_error (error);
      return;
    }
  g_file_get_contents (full, &wanted, NULL, &error);
  g_assert_no_error (error);
  if (strcmp (wanted, text) != 0)
    {
      g_test_message ("%s differs; found:\n%s", path, text);
      g_test_fail_printf ("%s is not as it was", path);
    }
}

static int
compare_names (gconstpointer a, gconstpointer b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

void
golden_foreach (const char *path, GoldenFunc func, GoldenFunc invalid)
{
  g_autofree char *full = data_path (path);
  g_autoptr(GError) error = NULL;
  g_autoptr(GDir) dir = g_dir_open (full, 0, &error);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  guint n_valid = 0;
  const char *entry;

  g_assert_no_error (error);
  while ((entry = g_dir_read_name (dir)) != NULL)
    if (g_str_has_suffix (entry, ".xml"))
      g_ptr_array_add (names, g_strndup (entry, strlen (entry) - strlen (".xml")));
  g_ptr_array_sort (names, compare_names);
  for (guint i = 0; i < names->len; i++)
    {
      const char *name = names->pdata[i];
      g_autofree char *file = g_strdup_printf ("%s/%s.xml", full, name);
      g_autofree char *text = NULL;

      g_file_get_contents (file, &text, NULL, &error);
      g_assert_no_error (error);
      g_test_message ("%s/%s.xml", path, name);
      if (g_str_has_suffix (name, "-invalid"))
        invalid (name, text);
      else
        {
          func (name, text);
          n_valid++;
        }
    }
  g_assert_cmpuint (n_valid, >, 0);
  g_assert_cmpuint (n_valid, <, names->len);
}
