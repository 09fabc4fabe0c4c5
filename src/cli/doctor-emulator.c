/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Asks a QEMU of its own, without a guest, what it can do. */
#include "config.h"

#include <string.h>

#include "cli/doctor.h"
#include "util/error.h"

static const char questions[]
  = "{\"execute\":\"qmp_capabilities\"}\n"
    "{\"execute\":\"query-version\",\"id\":\"version\"}\n"
    "{\"execute\":\"query-migrate-capabilities\",\"id\":\"list\"}\n"
    "{\"execute\":\"migrate-set-capabilities\",\"id\":\"set\","
    "\"arguments\":{\"capabilities\":[{\"capability\":\"background-snapshot\",\"state\":true}]}}\n"
    "{\"execute\":\"quit\"}\n";

static char *
read_version (JsonObject *answer)
{
  JsonObject *result = json_object_has_member (answer, "return") ? json_object_get_object_member (answer, "return")
                                                                 : NULL;
  JsonObject *qemu = result != NULL && json_object_has_member (result, "qemu")
                       ? json_object_get_object_member (result, "qemu")
                       : NULL;

  if (qemu == NULL)
    return g_strdup ("?");
  return g_strdup_printf ("%d.%d.%d", (int) json_object_get_int_member_with_default (qemu, "major", 0),
                          (int) json_object_get_int_member_with_default (qemu, "minor", 0),
                          (int) json_object_get_int_member_with_default (qemu, "micro", 0));
}

gboolean
pv_doctor_probe_emulator (const char *emulator, gboolean *known, gboolean *allowed, char **version, GError **error)
{
  GSubprocessFlags flags
    = G_SUBPROCESS_FLAGS_STDIN_PIPE | G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE;
  g_autoptr(GSubprocess) process
    = g_subprocess_new (flags, error, emulator, "-machine", "none", "-nodefaults", "-nographic", "-S",
                        "-no-user-config", "-qmp", "stdio", NULL);
  g_autofree char *answers = NULL;
  g_auto(GStrv) lines = NULL;

  *known = *allowed = FALSE;
  *version = NULL;
  if (process == NULL || !g_subprocess_communicate_utf8 (process, questions, NULL, &answers, NULL, error))
    return FALSE;
  lines = g_strsplit (answers, "\n", -1);
  for (char **at = lines; *at != NULL; at++)
    {
      g_autoptr(JsonNode) node = json_from_string (*at, NULL);
      JsonObject *answer = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
      const char *id = answer != NULL ? json_object_get_string_member_with_default (answer, "id", "") : "";

      if (g_str_equal (id, "version") && *version == NULL)
        *version = read_version (answer);
      else if (g_str_equal (id, "list"))
        *known = strstr (*at, "\"background-snapshot\"") != NULL;
      else if (g_str_equal (id, "set"))
        *allowed = json_object_has_member (answer, "return");
    }
  if (*version == NULL)
    return pv_throw (error, PV_ERROR_FAILED, "%s does not answer", emulator);
  return TRUE;
}
