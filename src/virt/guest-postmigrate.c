/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* QEMU 7.2 leaves a guest that was paused when a migration failed in the state "postmigrate", and refuses every later
 * migration and save of it. Only running leads out of that state, and running is what nobody has allowed.
 *
 * QEMU's gdb stub knows the one way to run and stop again within one turn of QEMU's main loop, without giving its lock
 * away between the two, so that no processor of the guest gets to execute an instruction: a packet "continue" and a
 * byte that breaks it off, received in one piece. The stub speaks to a socket that is ours alone, and goes again
 * right after.
 */
#include "config.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "util/file.h"
#include "virt/guest-private.h"

#define NAME "pagevault-gdb"

static const char continue_and_break[] = "$c#63\x03";

enum
{
  ANSWER_MS = 10 * 1000,
  SETTLE_MS = 5 * 1000, /* until libvirt has heard that the guest is paused */
  POLL_US = 2000,
};

/* Whether QEMU has a character device labelled @label. */
static gboolean
has_chardev (PvGuest *self, const char *label, gboolean *has, GError **error)
{
  g_autoptr(JsonNode) reply = pv_guest_qmp (self, "query-chardev", NULL, error);
  JsonArray *all = reply != NULL && JSON_NODE_HOLDS_ARRAY (reply) ? json_node_get_array (reply) : NULL;

  *has = FALSE;
  for (guint i = 0; all != NULL && i < json_array_get_length (all); i++)
    {
      JsonNode *node = json_array_get_element (all, i);
      JsonObject *one = JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;

      *has |= one != NULL && g_str_equal (json_object_get_string_member_with_default (one, "label", ""), label);
    }
  return reply != NULL;
}

/* (transfer full): a socket's client end that is the descriptor NAME. */
static JsonObject *
describe_socket (void)
{
  static const char text[] = "{'id':'" NAME "','backend':{'type':'socket','data':{'server':false,"
                             "'addr':{'type':'fd','data':{'str':'" NAME "'}}}}}";
  g_autofree char *json = g_strdelimit (g_strdup (text), "'", '"');
  g_autoptr(JsonNode) node = json_from_string (json, NULL);

  return json_object_ref (json_node_get_object (node));
}

static gboolean
start_stub (PvGuest *self, int fd, GError **error)
{
  g_autoptr(JsonObject) name = json_object_new ();
  g_autoptr(JsonObject) device = describe_socket ();
  g_autoptr(JsonNode) given = NULL;
  g_autoptr(JsonNode) added = NULL;
  g_autofree char *said = NULL;

  json_object_set_string_member (name, "fdname", NAME);
  given = pv_guest_qmp_with_fds (self, "getfd", name, &fd, 1, error);
  added = given != NULL ? pv_guest_qmp (self, "chardev-add", device, error) : NULL;
  said = added != NULL ? pv_guest_hmp (self, "gdbserver chardev:" NAME, error) : NULL;
  return said != NULL;
}

/* What is not there any more is no error. */
static void
stop_stub (PvGuest *self)
{
  g_autoptr(JsonObject) name = json_object_new ();
  g_autoptr(JsonObject) device = json_object_new ();
  g_autofree char *said = pv_guest_hmp (self, "gdbserver none", NULL);
  g_autoptr(JsonNode) removed = NULL;
  g_autoptr(JsonNode) closed = NULL;

  json_object_set_string_member (device, "id", NAME);
  removed = pv_guest_qmp (self, "chardev-remove", device, NULL);
  json_object_set_string_member (name, "fdname", NAME);
  closed = pv_guest_qmp (self, "closefd", name, NULL);
}

/* Waits for the stub to tell that the guest stopped: the last of both. */
static gboolean
run_and_stop (PvGuest *self, int fd, GError **error)
{
  struct pollfd pollfd = { .fd = fd, .events = POLLIN };
  const gsize size = sizeof continue_and_break - 1;
  char answer[256];
  gssize n;

  if (send (fd, continue_and_break, size, MSG_NOSIGNAL) != (gssize) size)
    return pv_throw_errno (error, errno, "guest %s: cannot talk to QEMU's gdb stub", pv_guest_name (self));
  while (TEMP_FAILURE_RETRY (poll (&pollfd, 1, ANSWER_MS)) > 0)
    {
      n = TEMP_FAILURE_RETRY (recv (fd, answer, sizeof answer, 0));
      if (n <= 0)
        break;
      if (memchr (answer, '$', (gsize) n) != NULL)
        return TRUE;
    }
  return pv_throw (error, PV_ERROR_FAILED, "guest %s: QEMU's gdb stub does not answer", pv_guest_name (self));
}

/* libvirt hears of both a moment later. */
static void
wait_for_libvirt (PvGuest *self)
{
  gint64 deadline = g_get_monotonic_time () + SETTLE_MS * 1000;
  PvRunState state;

  while (pv_guest_state (self, &state, NULL, NULL) && state != PV_RUN_PAUSED && g_get_monotonic_time () < deadline)
    g_usleep (POLL_US);
}

static gboolean
leave (PvGuest *self, GError **error)
{
  int ends[2];
  g_auto(PvFd) ours = PV_FD_NONE;
  g_auto(PvFd) theirs = PV_FD_NONE;
  g_autofree char *status = NULL;
  gboolean done;

  if (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    return pv_throw_errno (error, errno, "cannot make a socket");
  ours = ends[0];
  theirs = ends[1];
  done = start_stub (self, theirs, error) && run_and_stop (self, ours, error);
  stop_stub (self);
  if (!done)
    return FALSE;
  wait_for_libvirt (self);
  status = pv_guest_qemu_status (self, error);
  if (status == NULL || g_str_equal (status, "paused"))
    return status != NULL;
  return pv_throw (error, PV_ERROR_FAILED, "guest %s: QEMU stays in the state '%s'", pv_guest_name (self), status);
}

gboolean
pv_guest_leave_postmigrate (PvGuest *self, GError **error)
{
  g_autofree char *status = pv_guest_qemu_status (self, error);
  gboolean users = FALSE, left_over = FALSE;

  if (status == NULL || !g_str_equal (status, "postmigrate"))
    return status != NULL;
  if (!has_chardev (self, "gdb", &users, error) || !has_chardev (self, NAME, &left_over, error))
    return FALSE;
  if (users)
    return pv_throw (error, PV_ERROR_BUSY, "guest %s: somebody uses its gdb stub", pv_guest_name (self));
  if (left_over)
    stop_stub (self);
  return leave (self, error);
}
