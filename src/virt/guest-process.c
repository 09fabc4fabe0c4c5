/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/guest-process.h"

#include <string.h>

GPtrArray *
pv_guest_process_arguments (pid_t pid)
{
  g_autofree char *path = g_strdup_printf ("/proc/%d/cmdline", (int) pid);
  g_autofree char *text = NULL;
  GPtrArray *arguments;
  gsize size;

  if (!g_file_get_contents (path, &text, &size, NULL))
    return NULL;
  arguments = g_ptr_array_new_with_free_func (g_free);
  for (const char *word = text; word < text + size; word += strlen (word) + 1)
    g_ptr_array_add (arguments, g_strdup (word));
  return arguments;
}

static gboolean
is_qemu_of (pid_t pid, const char *uuid)
{
  g_autoptr(GPtrArray) arguments = pv_guest_process_arguments (pid);

  if (arguments == NULL || arguments->len == 0 || strstr (arguments->pdata[0], "qemu") == NULL)
    return FALSE;
  for (guint i = 1; i < arguments->len; i++)
    if (g_str_equal (arguments->pdata[i - 1], "-uuid") && g_ascii_strcasecmp (arguments->pdata[i], uuid) == 0)
      return TRUE;
  return FALSE;
}

pid_t
pv_guest_process_find (const char *uuid)
{
  g_autoptr(GDir) dir = g_dir_open ("/proc", 0, NULL);
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    if (g_ascii_isdigit (*name) && is_qemu_of ((pid_t) g_ascii_strtoll (name, NULL, 10), uuid))
      return (pid_t) g_ascii_strtoll (name, NULL, 10);
  return 0;
}
