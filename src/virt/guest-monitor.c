/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU's monitor, reached through libvirtd. */
#include "config.h"

#include <libvirt/libvirt-qemu.h>
#include <stdlib.h>
#include <string.h>

#include "virt/guest-private.h"

/* libvirt hands out malloc'ed strings. */
typedef char LibvirtString;
G_DEFINE_AUTOPTR_CLEANUP_FUNC (LibvirtString, free)

static char *
build_command (const char *command, JsonObject *arguments)
{
  g_autoptr(JsonNode) node = json_node_new (JSON_NODE_OBJECT);
  JsonObject *object = json_object_new ();

  json_object_set_string_member (object, "execute", command);
  if (arguments != NULL)
    json_object_set_object_member (object, "arguments", json_object_ref (arguments));
  json_node_take_object (node, object);
  return json_to_string (node, FALSE);
}

static const char *
string_member (JsonObject *object, const char *name)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, name) : NULL;

  return node != NULL && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_string (node) : NULL;
}

static JsonObject *
object_member (JsonObject *object, const char *name)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, name) : NULL;

  return node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
}

static guint64
number_member (JsonObject *object, const char *name)
{
  JsonNode *node = object != NULL ? json_object_get_member (object, name) : NULL;
  gint64 value = node != NULL && JSON_NODE_HOLDS_VALUE (node) ? json_node_get_int (node) : 0;

  return value > 0 ? (guint64) value : 0;
}

static void
throw_qmp (PvGuest *self, const char *command, JsonObject *qmp_error, GError **error)
{
  const char *class = string_member (qmp_error, "class");
  const char *text = string_member (qmp_error, "desc");
  PvError code = PV_ERROR_FAILED;

  if (g_strcmp0 (class, "CommandNotFound") == 0)
    code = PV_ERROR_UNSUPPORTED;
  else if (g_strcmp0 (class, "DeviceNotFound") == 0)
    code = PV_ERROR_NOT_FOUND;
  pv_throw (error, code, "guest %s: %s: %s", pv_guest_name (self), command,
            text != NULL ? text : "QEMU gave no reason");
}

static JsonNode *
parse_reply (PvGuest *self, const char *command, const char *reply, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autoptr(JsonNode) root = json_from_string (reply, &local);
  JsonObject *object = root != NULL && JSON_NODE_HOLDS_OBJECT (root) ? json_node_get_object (root) : NULL;
  JsonNode *result;

  if (object == NULL || (!json_object_has_member (object, "return") && !json_object_has_member (object, "error")))
    {
      pv_throw (error, PV_ERROR_FAILED, "guest %s: %s: QEMU's answer is not understood: %.200s", pv_guest_name (self),
                command, reply);
      return NULL;
    }
  if (json_object_has_member (object, "error"))
    {
      throw_qmp (self, command, object_member (object, "error"), error);
      return NULL;
    }
  result = json_object_get_member (object, "return");
  return json_node_copy (result);
}

JsonNode *
pv_guest_qmp (PvGuest *self, const char *command, JsonObject *arguments, GError **error)
{
  g_autofree char *text = build_command (command, arguments);
  g_autoptr(LibvirtString) reply = NULL;

  if (virDomainQemuMonitorCommand (pv_guest_get (self), text, &reply, VIR_DOMAIN_QEMU_MONITOR_COMMAND_DEFAULT) < 0)
    {
      pv_guest_throw (self, error, "%s", command);
      return NULL;
    }
  return parse_reply (self, command, reply, error);
}

JsonNode *
pv_guest_qmp_with_fds (PvGuest *self, const char *command, JsonObject *arguments, const int *fds, guint n_fds,
                       GError **error)
{
  g_autofree char *text = build_command (command, arguments);
  g_autofree int *copy = g_memdup2 (fds, n_fds * sizeof *fds);
  g_autoptr(LibvirtString) reply = NULL;

  if (virDomainQemuMonitorCommandWithFiles (pv_guest_get (self), text, n_fds, copy, NULL, NULL, &reply, 0) < 0)
    {
      pv_guest_throw (self, error, "%s", command);
      return NULL;
    }
  return parse_reply (self, command, reply, error);
}

gboolean
pv_guest_give_fd (PvGuest *self, int fd, const char *opaque, gint64 *set, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;

  json_object_set_string_member (arguments, "opaque", opaque);
  reply = pv_guest_qmp_with_fds (self, "add-fd", arguments, &fd, 1, error);
  if (reply == NULL)
    return FALSE;
  if (!JSON_NODE_HOLDS_OBJECT (reply) || !json_object_has_member (json_node_get_object (reply), "fdset-id"))
    return pv_throw (error, PV_ERROR_FAILED, "guest %s: add-fd: QEMU's answer is not understood", pv_guest_name (self));
  *set = json_object_get_int_member (json_node_get_object (reply), "fdset-id");
  return TRUE;
}

void
pv_guest_take_fd_back (PvGuest *self, gint64 set)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  g_autoptr(GError) local = NULL;

  json_object_set_int_member (arguments, "fdset-id", set);
  reply = pv_guest_qmp (self, "remove-fd", arguments, &local);
  if (reply == NULL)
    g_debug ("%s", local->message);
}

gboolean
pv_guest_delete_node (PvGuest *self, const char *name, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  g_autoptr(GError) local = NULL;

  json_object_set_string_member (arguments, "node-name", name);
  reply = pv_guest_qmp (self, "blockdev-del", arguments, &local);
  if (reply != NULL || strstr (local->message, "Failed to find node") != NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

char *
pv_guest_hmp (PvGuest *self, const char *line, GError **error)
{
  g_autoptr(LibvirtString) reply = NULL;

  if (virDomainQemuMonitorCommand (pv_guest_get (self), line, &reply, VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP) < 0)
    {
      pv_guest_throw (self, error, "%s", line);
      return NULL;
    }
  return g_strdup (reply);
}

char *
pv_guest_qemu_status (PvGuest *self, GError **error)
{
  g_autoptr(JsonNode) node = pv_guest_qmp (self, "query-status", NULL, error);
  const char *status;

  if (node == NULL)
    return NULL;
  status = JSON_NODE_HOLDS_OBJECT (node) ? string_member (json_node_get_object (node), "status") : NULL;
  if (status == NULL)
    {
      pv_throw (error, PV_ERROR_FAILED, "guest %s: query-status: QEMU's answer is not understood",
                pv_guest_name (self));
      return NULL;
    }
  return g_strdup (status);
}

gboolean
pv_guest_set_link (PvGuest *self, const char *alias, gboolean up, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;

  json_object_set_string_member (arguments, "name", alias);
  json_object_set_boolean_member (arguments, "up", up);
  reply = pv_guest_qmp (self, "set_link", arguments, error);
  return reply != NULL;
}

gboolean
pv_guest_set_capability (PvGuest *self, const char *capability, gboolean on, GError **error)
{
  g_autoptr(JsonObject) arguments = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  JsonObject *one = json_object_new ();
  JsonArray *all = json_array_new ();

  json_object_set_string_member (one, "capability", capability);
  json_object_set_boolean_member (one, "state", on);
  json_array_add_object_element (all, one);
  json_object_set_array_member (arguments, "capabilities", all);
  reply = pv_guest_qmp (self, "migrate-set-capabilities", arguments, error);
  return reply != NULL;
}

gboolean
pv_guest_has_capability (PvGuest *self, const char *capability, gboolean *on, GError **error)
{
  g_autoptr(JsonNode) reply = pv_guest_qmp (self, "query-migrate-capabilities", NULL, error);
  JsonArray *all;

  if (reply == NULL)
    return FALSE;
  all = JSON_NODE_HOLDS_ARRAY (reply) ? json_node_get_array (reply) : NULL;
  for (guint i = 0; all != NULL && i < json_array_get_length (all); i++)
    {
      JsonNode *node = json_array_get_element (all, i);
      JsonObject *one = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;

      if (g_strcmp0 (string_member (one, "capability"), capability) == 0)
        {
          *on = json_object_get_boolean_member_with_default (one, "state", FALSE);
          return TRUE;
        }
    }
  return pv_throw (error, PV_ERROR_UNSUPPORTED, "guest %s: its QEMU does not know the migration capability %s",
                   pv_guest_name (self), capability);
}

void
pv_migration_info_clear (PvMigrationInfo *self)
{
  g_clear_pointer (&self->status, g_free);
  g_clear_pointer (&self->error_desc, g_free);
  g_clear_pointer (&self->blocked, g_free);
}

/* (transfer full) (nullable): why QEMU would refuse any migration, several joined by "; ". */
static char *
blocked_reasons (JsonObject *info)
{
  JsonNode *node = json_object_get_member (info, "blocked-reasons");
  JsonArray *array = node != NULL && JSON_NODE_HOLDS_ARRAY (node) ? json_node_get_array (node) : NULL;
  g_autoptr(GString) text = g_string_new (NULL);

  for (guint i = 0; array != NULL && i < json_array_get_length (array); i++)
    {
      const char *reason = json_array_get_string_element (array, i);

      if (reason != NULL)
        g_string_append_printf (text, "%s%s", text->len > 0 ? "; " : "", reason);
    }
  return text->len > 0 ? g_string_free (g_steal_pointer (&text), FALSE) : NULL;
}

gboolean
pv_guest_query_migrate (PvGuest *self, PvMigrationInfo *info, GError **error)
{
  g_autoptr(JsonNode) reply = pv_guest_qmp (self, "query-migrate", NULL, error);
  JsonObject *object, *ram;
  const char *status;

  if (reply == NULL)
    return FALSE;
  if (!JSON_NODE_HOLDS_OBJECT (reply))
    return pv_throw (error, PV_ERROR_FAILED, "guest %s: query-migrate: QEMU's answer is not understood",
                     pv_guest_name (self));
  object = json_node_get_object (reply);
  ram = object_member (object, "ram");
  status = string_member (object, "status");
  *info = (PvMigrationInfo){
    .status = g_strdup (status != NULL ? status : "none"),
    .error_desc = g_strdup (string_member (object, "error-desc")),
    .blocked = blocked_reasons (object),
    .ram_normal = number_member (ram, "normal"),
    .ram_total = number_member (ram, "total"),
    .ram_remaining = number_member (ram, "remaining"),
  };
  return TRUE;
}
