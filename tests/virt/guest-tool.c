/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* guest-tool DOMAIN VERB [ARGUMENT…] [VERB …]: calls src/virt/guest.h verb after verb over one connection, for shell
 * tests.
 *
 * Each verb prints one line, "VERB ok [VALUE]" or "VERB error CODE MESSAGE" (CODE: pv_error code in words), and takes
 * the next; the exit status is 1 when one failed. `--time` first adds the microseconds that each call took.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "util/file.h"
#include "virt/guest.h"
#include "xml/snapshot-xml.h"

typedef struct
{
  PvGuest *guest;
  PvGuestEvents *events;
  char *value; /* (owned) (nullable): what the verb found */
} Tool;

typedef gboolean (*Verb) (Tool *tool, char **arguments, GError **error);

static const char *
code_name (const GError *error)
{
  static const char *const names[] = { "failed", "not-found",   "exists",   "corrupt",   "invalid",
                                       "busy",   "unsupported", "no-space", "cancelled", "denied" };

  if (error->domain != PV_ERROR || error->code < 0 || (guint) error->code >= G_N_ELEMENTS (names))
    return "foreign";
  return names[error->code];
}

static gboolean
set_value (Tool *tool, char *value)
{
  tool->value = value;
  return value != NULL;
}

static gboolean
set_json (Tool *tool, JsonNode *node)
{
  if (node == NULL)
    return FALSE;
  tool->value = json_to_string (node, FALSE);
  json_node_unref (node);
  return TRUE;
}

static gboolean
verb_state (Tool *tool, char **arguments, GError **error)
{
  static const char *const names[] = { "running", "paused", "shutoff", "other" };
  PvRunState state;

  if (!pv_guest_state (tool->guest, &state, NULL, error))
    return FALSE;
  return set_value (tool, g_strdup (names[state]));
}

static gboolean
verb_qemu_status (Tool *tool, char **arguments, GError **error)
{
  return set_value (tool, pv_guest_qemu_status (tool->guest, error));
}

static gboolean
verb_suspend (Tool *tool, char **arguments, GError **error)
{
  return pv_guest_suspend (tool->guest, error);
}

static gboolean
verb_resume (Tool *tool, char **arguments, GError **error)
{
  return pv_guest_resume (tool->guest, error);
}

/* xml FLAGS FILE */
static gboolean
verb_xml (Tool *tool, char **arguments, GError **error)
{
  g_autofree char *xml = pv_guest_xml (tool->guest, (guint) atoi (arguments[0]), error);

  return xml != NULL && g_file_set_contents (arguments[1], xml, -1, error);
}

static gboolean
verb_cookie (Tool *tool, char **arguments, GError **error)
{
  g_autofree char *text = pv_guest_xml (tool->guest, 0, error);
  g_autoptr(PvDomainXml) xml = text != NULL ? pv_domain_xml_parse (text, error) : NULL;
  g_autofree char *cookie = xml != NULL ? pv_domain_xml_save_cookie (xml) : NULL;

  if (xml == NULL)
    return FALSE;
  return g_file_set_contents (arguments[0], cookie != NULL ? cookie : "", -1, error);
}

static gboolean
verb_qmp (Tool *tool, char **arguments, GError **error)
{
  g_autoptr(JsonNode) node = *arguments[1] != '\0' ? json_from_string (arguments[1], error) : NULL;

  return set_json (tool,
                   pv_guest_qmp (tool->guest, arguments[0], node != NULL ? json_node_get_object (node) : NULL, error));
}

static gboolean
verb_hmp (Tool *tool, char **arguments, GError **error)
{
  char *answer = pv_guest_hmp (tool->guest, arguments[0], error);

  return set_value (tool, answer != NULL ? g_strdelimit (answer, "\r\n", ' ') : NULL);
}

/* Hands QEMU the end of a pipe, has it write there, and reads what came: the descriptor is the right one. */
static gboolean
verb_getfd (Tool *tool, char **arguments, GError **error)
{
  g_autoptr(JsonObject) object = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  int fds[2];

  if (pipe (fds) < 0)
    return pv_throw_errno (error, errno, "pipe");
  json_object_set_string_member (object, "fdname", arguments[0]);
  reply = pv_guest_qmp_with_fds (tool->guest, "getfd", object, &fds[1], 1, error);
  close (fds[1]);
  close (fds[0]);
  return reply != NULL;
}

/* add-fd of a pipe's end, then closes all of ours: the reader sees the end only when QEMU has let go as well. */
static gboolean
verb_addfd (Tool *tool, char **arguments, GError **error)
{
  g_autoptr(JsonObject) object = json_object_new ();
  g_autoptr(JsonObject) removal = json_object_new ();
  g_autoptr(JsonNode) reply = NULL;
  g_autoptr(JsonNode) removed = NULL;
  g_auto(PvFd) reader = PV_FD_NONE;
  char byte;
  int fds[2];

  if (pipe (fds) < 0)
    return pv_throw_errno (error, errno, "pipe");
  reader = fds[0];
  json_object_set_int_member (object, "fdset-id", 77);
  reply = pv_guest_qmp_with_fds (tool->guest, "add-fd", object, &fds[1], 1, error);
  close (fds[1]);
  if (reply == NULL)
    return FALSE;
  json_object_set_int_member (removal, "fdset-id", 77);
  removed = pv_guest_qmp (tool->guest, "remove-fd", removal, error);
  return removed != NULL && pv_read_full (reader, &byte, 1, "pipe", error) == 0;
}

static gboolean
verb_capability (Tool *tool, char **arguments, GError **error)
{
  gboolean on;

  if (strcmp (arguments[1], "get") != 0
      && !pv_guest_set_capability (tool->guest, arguments[0], strcmp (arguments[1], "on") == 0, error))
    return FALSE;
  if (!pv_guest_has_capability (tool->guest, arguments[0], &on, error))
    return FALSE;
  return set_value (tool, g_strdup (on ? "on" : "off"));
}

static gboolean
verb_migration (Tool *tool, char **arguments, GError **error)
{
  g_auto(PvMigrationInfo) info = { 0 };

  if (!pv_guest_query_migrate (tool->guest, &info, error))
    return FALSE;
  return set_value (tool, g_strdup_printf ("%s total=%" G_GUINT64_FORMAT " normal=%" G_GUINT64_FORMAT " error=%s "
                                                                                                      "blocked=%s",
                                           info.status, info.ram_total, info.ram_normal,
                                           info.error_desc != NULL ? info.error_desc : "-",
                                           info.blocked != NULL ? info.blocked : "-"));
}

static gboolean
verb_events (Tool *tool, char **arguments, GError **error)
{
  g_clear_pointer (&tool->events, pv_guest_events_free);
  tool->events = pv_guest_events_new (tool->guest, error);
  return tool->events != NULL;
}

/* wait EVENT SEEN MILLISECONDS: prints how far QEMU's time is from ours, in whole seconds */
static gboolean
verb_wait (Tool *tool, char **arguments, GError **error)
{
  gint64 time_us;

  if (!pv_guest_events_wait (tool->events, arguments[0], (guint) atoi (arguments[1]), (guint) atoi (arguments[2]),
                             &time_us))
    return pv_throw (error, PV_ERROR_BUSY, "no %s", arguments[0]);
  return set_value (tool, g_strdup_printf ("%" G_GINT64_FORMAT, (g_get_real_time () - time_us) / G_USEC_PER_SEC));
}

static gboolean
verb_count (Tool *tool, char **arguments, GError **error)
{
  return set_value (tool, g_strdup_printf ("%u", pv_guest_events_count (tool->events, arguments[0])));
}

static gboolean
verb_data (Tool *tool, char **arguments, GError **error)
{
  char *data = pv_guest_events_data (tool->events, arguments[0]);

  return set_value (tool, data) || pv_throw (error, PV_ERROR_NOT_FOUND, "no data of %s", arguments[0]);
}

/* (transfer container): from TARGET=OVERLAY[;TARGET=OVERLAY…], where an empty OVERLAY leaves the disk out. The array
 * ends with an empty element; its strings are those of @parts. */
static PvOverlay *
read_overlays (char **parts, guint *n)
{
  PvOverlay *overlays = g_new0 (PvOverlay, g_strv_length (parts) + 1);

  for (*n = 0; parts[*n] != NULL; ++*n)
    {
      char *equals = strchr (parts[*n], '=');

      g_assert (equals != NULL);
      *equals = '\0';
      overlays[*n] = (PvOverlay){ .target = parts[*n], .overlay = equals[1] != '\0' ? equals + 1 : NULL };
    }
  return overlays;
}

/* freeze OVERLAYS */
static gboolean
verb_freeze (Tool *tool, char **arguments, GError **error)
{
  g_auto(GStrv) parts = g_strsplit (arguments[0], ";", -1);
  guint n;
  g_autofree PvOverlay *overlays = read_overlays (parts, &n);
  g_autofree char *xml = pv_snapshot_xml_disks ("frozen", overlays, n);

  return pv_guest_snapshot_disks (tool->guest, xml, error);
}

static gboolean
verb_commit (Tool *tool, char **arguments, GError **error)
{
  return pv_guest_commit_overlay (tool->guest, arguments[0], arguments[1], NULL, error);
}

static gboolean
verb_commit_cancelled (Tool *tool, char **arguments, GError **error)
{
  g_autoptr(GCancellable) cancellable = g_cancellable_new ();

  g_cancellable_cancel (cancellable);
  return pv_guest_commit_overlay (tool->guest, arguments[0], arguments[1], cancellable, error);
}

static gboolean
verb_active (Tool *tool, char **arguments, GError **error)
{
  return set_value (tool, pv_guest_active_layer (tool->guest, arguments[0], error));
}

/* redefine NAME STATE PARENT MEMORY-FILE OVERLAYS: with the present descriptions; "" for none */
static gboolean
verb_redefine (Tool *tool, char **arguments, GError **error)
{
  g_autofree char *live_text = pv_guest_xml (tool->guest, 0, error);
  g_autofree char *inactive_text =
      live_text != NULL ? pv_guest_xml (tool->guest, VIR_DOMAIN_XML_INACTIVE, error) : NULL;
  g_autoptr(PvDomainXml) live = inactive_text != NULL ? pv_domain_xml_parse (live_text, error) : NULL;
  g_autoptr(PvDomainXml) inactive = live != NULL ? pv_domain_xml_parse (inactive_text, error) : NULL;
  g_auto(GStrv) parts = g_strsplit (arguments[4], ";", -1);
  guint n;
  g_autofree PvOverlay *overlays = read_overlays (parts, &n);
  g_autofree char *xml = NULL;

  if (inactive == NULL)
    return FALSE;
  xml = pv_snapshot_xml_redefine (arguments[0], "made by guest-tool", 1700000000, arguments[1],
                                  *arguments[2] != '\0' ? arguments[2] : NULL,
                                  *arguments[3] != '\0' ? arguments[3] : NULL, overlays, n, live, inactive);
  return pv_guest_redefine_snapshot (tool->guest, xml, TRUE, error);
}

static gboolean
verb_fsfreeze (Tool *tool, char **arguments, GError **error)
{
  return pv_guest_fsfreeze (tool->guest, error);
}

static gboolean
verb_fsthaw (Tool *tool, char **arguments, GError **error)
{
  return pv_guest_fsthaw (tool->guest, error);
}

static gboolean
verb_alive (Tool *tool, char **arguments, GError **error)
{
  return set_value (tool, g_strdup (pv_connection_alive (pv_guest_connection (tool->guest)) ? "yes" : "no"));
}

static gboolean
verb_reopen (Tool *tool, char **arguments, GError **error)
{
  PvGuest *again = pv_guest_reopen (tool->guest, (guint) atoi (arguments[0]), error);

  if (again == NULL)
    return FALSE;
  g_clear_pointer (&tool->events, pv_guest_events_free);
  pv_guest_unref (tool->guest);
  tool->guest = again;
  return TRUE;
}

/* Waits for a line on the standard input: the test does something in between. */
static gboolean
verb_line (Tool *tool, char **arguments, GError **error)
{
  char line[80];

  return fgets (line, sizeof line, stdin) != NULL || pv_throw (error, PV_ERROR_FAILED, "no line came");
}

static const struct
{
  const char *name;
  guint n_arguments;
  Verb run;
} verbs[] = {
  { "state", 0, verb_state },
  { "qemu-status", 0, verb_qemu_status },
  { "suspend", 0, verb_suspend },
  { "resume", 0, verb_resume },
  { "xml", 2, verb_xml },
  { "cookie", 1, verb_cookie },
  { "qmp", 2, verb_qmp },
  { "hmp", 1, verb_hmp },
  { "getfd", 1, verb_getfd },
  { "addfd", 0, verb_addfd },
  { "capability", 2, verb_capability },
  { "migration", 0, verb_migration },
  { "events", 0, verb_events },
  { "wait", 3, verb_wait },
  { "count", 1, verb_count },
  { "data", 1, verb_data },
  { "freeze", 1, verb_freeze },
  { "commit", 2, verb_commit },
  { "commit-cancelled", 2, verb_commit_cancelled },
  { "active", 1, verb_active },
  { "redefine", 5, verb_redefine },
  { "fsfreeze", 0, verb_fsfreeze },
  { "fsthaw", 0, verb_fsthaw },
  { "alive", 0, verb_alive },
  { "reopen", 1, verb_reopen },
  { "line", 0, verb_line },
};

/* Runs the verb at arguments[0]; the number of arguments taken. */
static guint
run_verb (Tool *tool, char **arguments, gboolean timed, gboolean *failed)
{
  g_autoptr(GError) error = NULL;
  gint64 start, took;
  guint i = 0;
  gboolean done;

  while (i < G_N_ELEMENTS (verbs) && strcmp (verbs[i].name, arguments[0]) != 0)
    i++;
  if (i == G_N_ELEMENTS (verbs) || g_strv_length (arguments + 1) < verbs[i].n_arguments)
    g_error ("guest-tool: no verb '%s', or too few arguments for it", arguments[0]);
  start = g_get_monotonic_time ();
  done = verbs[i].run (tool, arguments + 1, &error);
  took = g_get_monotonic_time () - start;
  printf ("%s", arguments[0]);
  if (timed)
    printf (" us=%" G_GINT64_FORMAT, took);
  if (done)
    printf (" ok%s%s\n", tool->value != NULL ? " " : "", tool->value != NULL ? tool->value : "");
  else
    printf (" error %s %s\n", code_name (error), error->message);
  fflush (stdout);
  g_clear_pointer (&tool->value, g_free);
  *failed |= !done;
  return 1 + verbs[i].n_arguments;
}

int
main (int argc, char **argv)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvConnection) connection = NULL;
  Tool tool = { 0 };
  gboolean failed = FALSE;
  gboolean timed = argc > 1 && strcmp (argv[1], "--time") == 0;
  char **at = argv + (timed ? 2 : 1);

  if (*at == NULL)
    g_error ("usage: guest-tool [--time] DOMAIN VERB…");
  connection = pv_connection_open (NULL, &error);
  if (connection != NULL)
    tool.guest = pv_guest_lookup (connection, *at, &error);
  if (tool.guest == NULL)
    {
      printf ("lookup error %s %s\n", code_name (error), error->message);
      return 1;
    }
  at++;
  while (*at != NULL)
    at += run_verb (&tool, at, timed, &failed);
  g_clear_pointer (&tool.events, pv_guest_events_free);
  pv_guest_unref (tool.guest);
  return failed;
}
