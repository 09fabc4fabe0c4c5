/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "hooks/ask-daemon.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

#define STEP_US 5000 /* between two tries of a socket whose queue is full */

/* A unix socket connects at once, or says that its queue is full. */
static int
connect_to_daemon (gint64 deadline, GError **error)
{
  g_autofree char *path = pv_hook_socket_path ();
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  g_auto(PvFd) fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd < 0 || g_strlcpy (address.sun_path, path, sizeof address.sun_path) >= sizeof address.sun_path)
    {
      pv_throw (error, PV_ERROR_FAILED, "no socket for '%s'", path);
      return -1;
    }
  while (connect (fd, (const struct sockaddr *) &address, sizeof address) < 0)
    {
      if ((errno != EAGAIN && errno != EINTR) || g_get_monotonic_time () > deadline)
        {
          pv_throw_errno (error, errno, "'%s'", path);
          return -1;
        }
      g_usleep (STEP_US);
    }
  return pv_fd_steal (&fd);
}

char *
pv_ask_daemon (PvHookVerb question, const char *text, guint timeout_ms, PvHookVerb *verb, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + timeout_ms * G_GINT64_CONSTANT (1000);
  g_auto(PvFd) fd = connect_to_daemon (deadline, error);

  if (fd < 0 || !pv_hook_message_send (fd, question, text, deadline, error))
    return NULL;
  return pv_hook_message_receive (fd, verb, deadline, error);
}

gboolean
pv_tell_daemon (PvHookVerb what, const char *text, guint timeout_ms, GError **error)
{
  gint64 deadline = g_get_monotonic_time () + timeout_ms * G_GINT64_CONSTANT (1000);
  g_auto(PvFd) fd = connect_to_daemon (deadline, error);

  return fd >= 0 && pv_hook_message_send (fd, what, text, deadline, error);
}
