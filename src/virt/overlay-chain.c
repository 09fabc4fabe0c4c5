/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/overlay-chain.h"

#include <gio/gio.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/stat.h>

#include "util/error.h"

gboolean
pv_same_image (const char *a, const char *b)
{
  struct stat st_a, st_b;

  if (a == NULL || b == NULL)
    return FALSE;
  if (strcmp (a, b) == 0)
    return TRUE;
  if (stat (a, &st_a) < 0 || stat (b, &st_b) < 0)
    return FALSE;
  if (S_ISBLK (st_a.st_mode) && S_ISBLK (st_b.st_mode))
    return st_a.st_rdev == st_b.st_rdev;
  return st_a.st_dev == st_b.st_dev && st_a.st_ino == st_b.st_ino;
}

/* Runs qemu-img; what it printed. Its words on the standard error become the error. */
static char *
run_qemu_img (const char *const *argv, GError **error)
{
  g_autoptr(GSubprocess) process = NULL;
  g_autofree char *out = NULL;
  g_autofree char *err = NULL;
  PvError code = PV_ERROR_FAILED;

  process = g_subprocess_newv (argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_PIPE, error);
  if (process == NULL)
    return NULL;
  if (!g_subprocess_communicate_utf8 (process, NULL, NULL, &out, &err, error))
    return NULL;
  if (g_subprocess_get_successful (process))
    return g_steal_pointer (&out);
  if (strstr (err, "No space left on device") != NULL)
    code = PV_ERROR_NO_SPACE;
  else if (strstr (err, " lock") != NULL)
    code = PV_ERROR_BUSY;
  else if (strstr (err, "Permission denied") != NULL)
    code = PV_ERROR_DENIED;
  else if (strstr (err, "No such file") != NULL)
    code = PV_ERROR_NOT_FOUND;
  pv_throw (error, code, "%s", g_strdelimit (g_strstrip (err), "\n", ' '));
  return NULL;
}

static const char *
layer_member (JsonArray *layers, guint index, const char *name)
{
  JsonNode *node = json_array_get_element (layers, index);

  return JSON_NODE_HOLDS_OBJECT (node)
             ? json_object_get_string_member_with_default (json_node_get_object (node), name, NULL)
             : NULL;
}

gboolean
pv_overlay_chain_find (const char *overlay, const char *base, char **format, GError **error)
{
  const char *const argv[] = { "qemu-img",        "info", "--force-share", "--output=json",
                               "--backing-chain", "--",   overlay,         NULL };
  g_autofree char *text = run_qemu_img (argv, error);
  g_autoptr(JsonNode) root = NULL;
  JsonArray *layers;

  if (text == NULL)
    {
      g_prefix_error (error, "cannot read the chain of '%s': ", overlay);
      return FALSE;
    }
  root = json_from_string (text, error);
  layers = root != NULL && JSON_NODE_HOLDS_ARRAY (root) ? json_node_get_array (root) : NULL;
  for (guint i = 1; layers != NULL && i < json_array_get_length (layers); i++)
    {
      const char *named = layer_member (layers, i - 1, "backing-filename-format");

      if (!pv_same_image (layer_member (layers, i, "filename"), base))
        continue;
      if (format != NULL)
        *format = g_strdup (named != NULL ? named : layer_member (layers, i, "format"));
      return TRUE;
    }
  if (root == NULL)
    return FALSE;
  return pv_throw (error, PV_ERROR_NOT_FOUND, "'%s' is not beneath '%s'", base, overlay);
}

gboolean
pv_overlay_chain_commit (const char *overlay, const char *base, GError **error)
{
  /* -d: the overlay is about to be deleted, emptying it would be work for nothing */
  const char *const argv[] = { "qemu-img", "commit", "-q", "-d", "-f", "qcow2", "-b", base, "--", overlay, NULL };
  g_autofree char *text = NULL;

  if (!pv_overlay_chain_find (overlay, base, NULL, error))
    return FALSE;
  text = run_qemu_img (argv, error);
  if (text == NULL)
    g_prefix_error (error, "cannot merge '%s' into '%s': ", overlay, base);
  return text != NULL;
}
