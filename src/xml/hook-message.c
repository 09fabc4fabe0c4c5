/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "xml/hook-message.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "util/cursor.h"
#include "util/error.h"

#define MAGIC "PVH1"
#define HEADER_SIZE 9u

char *
pv_hook_socket_path (void)
{
  const char *path = g_getenv ("PAGEVAULT_HOOK_SOCKET");

  return g_strdup (path != NULL && *path != '\0' ? path : PV_HOOK_SOCKET);
}

/* Until @fd can be read or written. */
static gboolean
wait_for (int fd, short events, gint64 deadline, GError **error)
{
  for (;;)
    {
      struct pollfd entry = { .fd = fd, .events = events };
      gint64 left = (deadline - g_get_monotonic_time () + 999) / 1000;
      int n = left > 0 ? poll (&entry, 1, (int) MIN (left, G_MAXINT)) : 0;

      if (n > 0)
        return TRUE;
      if (n == 0)
        return pv_throw (error, PV_ERROR_BUSY, "no answer in time");
      if (errno != EINTR)
        return pv_throw_errno (error, errno, "poll");
    }
}

static gboolean
set_nonblocking (int fd, GError **error)
{
  int flags = fcntl (fd, F_GETFL);

  return (flags >= 0 && fcntl (fd, F_SETFL, flags | O_NONBLOCK) == 0) || pv_throw_errno (error, errno, "socket");
}

static gboolean
send_all (int fd, const guint8 *data, gsize size, gint64 deadline, GError **error)
{
  while (size > 0)
    {
      gssize n = send (fd, data, size, MSG_NOSIGNAL);

      if (n < 0 && errno != EAGAIN && errno != EINTR)
        return pv_throw_errno (error, errno, "cannot send");
      if (n <= 0 && !wait_for (fd, POLLOUT, deadline, error))
        return FALSE;
      data += MAX (n, 0);
      size -= (gsize) MAX (n, 0);
    }
  return TRUE;
}

static gboolean
receive_all (int fd, guint8 *data, gsize size, gint64 deadline, GError **error)
{
  while (size > 0)
    {
      gssize n = recv (fd, data, size, 0);

      if (n == 0)
        return pv_corrupt (error, "the answer ends early");
      if (n < 0 && errno != EAGAIN && errno != EINTR)
        return pv_throw_errno (error, errno, "cannot receive");
      if (n < 0 && !wait_for (fd, POLLIN, deadline, error))
        return FALSE;
      data += MAX (n, 0);
      size -= (gsize) MAX (n, 0);
    }
  return TRUE;
}

gboolean
pv_hook_message_send (int fd, PvHookVerb verb, const char *text, gint64 deadline, GError **error)
{
  g_autoptr(GByteArray) header = g_byte_array_new ();
  gsize size = strlen (text);

  if (size > PV_HOOK_TEXT_MAX)
    return pv_throw (error, PV_ERROR_INVALID, "%" G_GSIZE_FORMAT " bytes are too much for a message", size);
  g_byte_array_append (header, (const guint8 *) MAGIC, 4);
  pv_append_u8 (header, (guint8) verb);
  pv_append_le32 (header, (guint32) size);
  return set_nonblocking (fd, error) && send_all (fd, header->data, header->len, deadline, error)
         && send_all (fd, (const guint8 *) text, size, deadline, error);
}

char *
pv_hook_message_receive (int fd, PvHookVerb *verb, gint64 deadline, GError **error)
{
  guint8 header[HEADER_SIZE];
  PvCursor cursor = PV_CURSOR_INIT (header + 4, HEADER_SIZE - 4);
  g_autofree char *text = NULL;
  guint32 size;

  if (!set_nonblocking (fd, error) || !receive_all (fd, header, HEADER_SIZE, deadline, error))
    return NULL;
  *verb = pv_cursor_u8 (&cursor);
  size = pv_cursor_le32 (&cursor);
  if (memcmp (header, MAGIC, 4) != 0 || size > PV_HOOK_TEXT_MAX)
    {
      pv_corrupt (error, "what came is no answer");
      return NULL;
    }
  text = g_malloc (size + 1);
  if (!receive_all (fd, (guint8 *) text, size, deadline, error))
    return NULL;
  text[size] = '\0';
  if (strlen (text) != size)
    {
      pv_corrupt (error, "what came is no text");
      return NULL;
    }
  return g_steal_pointer (&text);
}
