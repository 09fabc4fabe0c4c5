/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pool/disk-name.h"

#include <string.h>

#include "util/snapshot-name.h"

#define SUFFIX ".raw"

char *
pv_disk_name_make (PvSnapshot *snapshot, const PvVolume *disk)
{
  g_autofree char *name = g_strconcat (pv_snapshot_full_name (snapshot), ".", disk->name, SUFFIX, NULL);

  if (strlen (name) > PV_DISK_NAME_MAX || strpbrk (disk->name, "./") != NULL)
    return NULL;
  return g_steal_pointer (&name);
}

gboolean
pv_disk_name_parse (const char *name, char **domain, char **snapshot, char **target)
{
  g_autofree char *stem = NULL;
  char *dot;

  if (!g_str_has_suffix (name, SUFFIX))
    return FALSE;
  stem = g_strndup (name, strlen (name) - strlen (SUFFIX));
  dot = strrchr (stem, '.');
  if (dot == NULL || dot[1] == '\0')
    return FALSE;
  *dot = '\0';
  if (!pv_snapshot_name_parse (stem, domain, snapshot, NULL))
    return FALSE;
  *target = g_strdup (dot + 1);
  return TRUE;
}
