/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/restore-path.h"

#include <string.h>

#include "util/snapshot-name.h"

#define PARTS 3

char *
pv_restore_path_make (const char *id, const char *full, const char *target)
{
  g_return_val_if_fail (strlen (id) >= PV_RESTORE_PATH_ID, NULL);

  return g_strdup_printf (PV_RESTORE_PATH_PREFIX "%.*s/%s/%s", PV_RESTORE_PATH_ID, id, full, target);
}

static void
give (char **out, const char *text)
{
  if (out != NULL)
    *out = g_strdup (text);
}

gboolean
pv_restore_path_parse (const char *path, char **id, char **full, char **target)
{
  g_auto(GStrv) parts = NULL;

  if (path == NULL || !g_str_has_prefix (path, PV_RESTORE_PATH_PREFIX))
    return FALSE;
  parts = g_strsplit (path + strlen (PV_RESTORE_PATH_PREFIX), "/", PARTS);
  if (g_strv_length (parts) != PARTS || strlen (parts[0]) != PV_RESTORE_PATH_ID
      || strspn (parts[0], "0123456789abcdef") != PV_RESTORE_PATH_ID || *parts[2] == '\0'
      || strchr (parts[2], '/') != NULL || !pv_snapshot_name_parse (parts[1], NULL, NULL, NULL))
    return FALSE;
  give (id, parts[0]);
  give (full, parts[1]);
  give (target, parts[2]);
  return TRUE;
}
