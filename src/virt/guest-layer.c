/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt describes QEMU's block nodes with one -blockdev argument each, in JSON. A node "file" opens the layer, and
 * other nodes name it as their "file" or "backing". These are given a node of another name that reads the new
 * descriptor; the old node is deleted and made again under its own name; then they are given that one. */
#include "config.h"

#include "virt/guest-layer.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "virt/guest-private.h"
#include "virt/guest-process.h"

#define MEANWHILE "pagevault-%08x" /* name of the node in between: another each time, one may have been left */
#define OPAQUE "pagevault-layer" /* what descriptors that QEMU gets are called */

/* --- QEMU's command line ----------------------------------------------------------------------------------------- */

/* (element-type JsonObject) (transfer full): what the -blockdev arguments say. */
static GPtrArray *
read_nodes (PvGuest *self)
{
  GPtrArray *nodes = g_ptr_array_new_with_free_func ((GDestroyNotify) json_object_unref);
  pid_t pid = pv_guest_process_find (pv_guest_uuid (self));
  g_autoptr(GPtrArray) arguments = pid != 0 ? pv_guest_process_arguments (pid) : NULL;

  for (guint i = 1; arguments != NULL && i < arguments->len; i++)
    {
      g_autoptr(JsonNode) node = NULL;

      if (!g_str_equal (arguments->pdata[i - 1], "-blockdev"))
        continue;
      node = json_from_string (arguments->pdata[i], NULL);
      if (node != NULL && JSON_NODE_HOLDS_OBJECT (node))
        g_ptr_array_add (nodes, json_node_dup_object (node));
    }
  return nodes;
}

/* (nullable): member @name when it is a string. */
static const char *
text_of (JsonObject *node, const char *name)
{
  return json_object_has_member (node, name) ? json_object_get_string_member_with_default (node, name, NULL) : NULL;
}

static gboolean
is_file (JsonObject *node)
{
  return g_strcmp0 (text_of (node, "driver"), "file") == 0 && text_of (node, "filename") != NULL;
}

GPtrArray *
pv_guest_layers_below (PvGuest *self, const char *directory)
{
  g_autoptr(GPtrArray) nodes = read_nodes (self);
  g_autofree char *prefix = g_strconcat (directory, "/", NULL);
  GPtrArray *paths = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; i < nodes->len; i++)
    if (is_file (nodes->pdata[i]) && g_str_has_prefix (text_of (nodes->pdata[i], "filename"), prefix))
      g_ptr_array_add (paths, g_strdup (text_of (nodes->pdata[i], "filename")));
  return paths;
}

gboolean
pv_guest_has_dead_layer (PvGuest *self)
{
  pid_t pid = pv_guest_process_find (pv_guest_uuid (self));
  g_autofree char *directory = g_strdup_printf ("/proc/%d/fd", (int) pid);
  g_autoptr(GDir) dir = pid != 0 ? g_dir_open (directory, 0, NULL) : NULL;
  const char *name;

  while (dir != NULL && (name = g_dir_read_name (dir)) != NULL)
    {
      g_autofree char *path = g_build_filename (directory, name, NULL);
      struct stat st;

      if (stat (path, &st) < 0 && errno == ENOTCONN)
        return TRUE;
    }
  return FALSE;
}

/* --- its nodes --------------------------------------------------------------------------------------------------- */

/* (transfer full) */
static JsonObject *
copy_object (JsonObject *object)
{
  g_autoptr(JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  g_autofree char *text = NULL;
  g_autoptr(JsonNode) copy = NULL;

  json_node_set_object (node, object);
  text = json_to_string (node, FALSE);
  copy = json_from_string (text, NULL);
  return json_node_dup_object (copy);
}

static gboolean
run (PvGuest *self, const char *command, JsonObject *arguments, GError **error)
{
  g_autoptr(JsonNode) reply = pv_guest_qmp (self, command, arguments, error);

  return reply != NULL;
}

static gboolean
is_mine (JsonObject *set)
{
  JsonArray *fds = json_object_has_member (set, "fds") ? json_object_get_array_member (set, "fds") : NULL;

  return fds != NULL && json_array_get_length (fds) > 0
         && g_strcmp0 (text_of (json_array_get_object_element (fds, 0), "opaque"), OPAQUE) == 0;
}

void
pv_guest_forget_layers (PvGuest *self)
{
  g_autoptr(JsonNode) reply = pv_guest_qmp (self, "query-fdsets", NULL, NULL);
  JsonArray *sets = reply != NULL && JSON_NODE_HOLDS_ARRAY (reply) ? json_node_get_array (reply) : NULL;

  for (guint i = 0; sets != NULL && i < json_array_get_length (sets); i++)
    {
      JsonObject *set = json_array_get_object_element (sets, i);

      if (is_mine (set))
        pv_guest_take_fd_back (self, json_object_get_int_member_with_default (set, "fdset-id", -1));
    }
}

/* A node called @name, like @node, that reads descriptor set @set. */
static gboolean
add_node (PvGuest *self, JsonObject *node, const char *name, gint64 set, GError **error)
{
  g_autoptr(JsonObject) arguments = copy_object (node);
  g_autofree char *filename = g_strdup_printf ("/dev/fdset/%" G_GINT64_FORMAT, set);

  json_object_set_string_member (arguments, "filename", filename);
  json_object_set_string_member (arguments, "node-name", name);
  json_object_set_boolean_member (arguments, "read-only", TRUE);
  return run (self, "blockdev-add", arguments, error);
}

/* All nodes that stand on @name stand on @other from now on. */
static gboolean
move_users (PvGuest *self, GPtrArray *nodes, const char *name, const char *other, GError **error)
{
  static const char *const children[] = { "file", "backing" };

  for (guint i = 0; i < nodes->len; i++)
    for (guint j = 0; j < G_N_ELEMENTS (children); j++)
      {
        JsonObject *node = nodes->pdata[i];
        g_autoptr(JsonObject) arguments = NULL;
        JsonArray *list;
        JsonObject *changed;

        if (g_strcmp0 (text_of (node, children[j]), name) != 0)
          continue;
        arguments = json_object_new ();
        list = json_array_new ();
        changed = copy_object (node);
        json_object_set_string_member (changed, children[j], other);
        json_array_add_object_element (list, changed);
        json_object_set_array_member (arguments, "options", list);
        if (!run (self, "blockdev-reopen", arguments, error))
          return FALSE;
      }
  return TRUE;
}

static gboolean
replace (PvGuest *self, GPtrArray *nodes, JsonObject *node, gint64 set, GError **error)
{
  const char *name = text_of (node, "node-name");
  g_autofree char *meanwhile = g_strdup_printf (MEANWHILE, g_random_int ());

  return add_node (self, node, meanwhile, set, error) && move_users (self, nodes, name, meanwhile, error)
         && pv_guest_delete_node (self, name, error) && add_node (self, node, name, set, error)
         && move_users (self, nodes, name, name, error) && pv_guest_delete_node (self, meanwhile, error);
}

gboolean
pv_guest_reopen_layer (PvGuest *self, const char *path, int fd, GError **error)
{
  g_autoptr(GPtrArray) nodes = read_nodes (self);

  for (guint i = 0; i < nodes->len; i++)
    {
      JsonObject *node = nodes->pdata[i];
      gint64 set = -1;
      gboolean ok;

      if (!is_file (node) || !g_str_equal (text_of (node, "filename"), path) || text_of (node, "node-name") == NULL)
        continue;
      if (!pv_guest_give_fd (self, fd, OPAQUE, &set, error))
        return FALSE;
      ok = replace (self, nodes, node, set, error);
      pv_guest_take_fd_back (self, set);
      return ok;
    }
  return pv_throw (error, PV_ERROR_NOT_FOUND, "guest %s: QEMU was not started with a layer '%s'", pv_guest_name (self),
                   path);
}
