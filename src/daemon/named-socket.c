/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/named-socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "util/error.h"
#include "util/file.h"

gboolean
pv_named_socket_address (const char *path, struct sockaddr_un *address, GError **error)
{
  *address = (struct sockaddr_un) { .sun_family = AF_UNIX };
  if (strlen (path) >= sizeof address->sun_path)
    return pv_throw (error, PV_ERROR_INVALID, "the name of a socket has %zu bytes at most: choose a shorter one",
                     sizeof address->sun_path - 1);
  memcpy (address->sun_path, path, strlen (path));
  return TRUE;
}

/* TRUE when somebody answers there. */
static gboolean
is_answered (const struct sockaddr_un *address)
{
  g_auto(PvFd) fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  return fd >= 0 && (connect (fd, (const struct sockaddr *) address, sizeof *address) == 0 || errno == EAGAIN);
}

static gboolean
prepare_directory (const char *path, GError **error)
{
  g_autofree char *directory = g_path_get_dirname (path);
  gboolean made = !g_file_test (directory, G_FILE_TEST_EXISTS);

  if (!pv_mkdirs (directory, PV_RUN_DIRECTORY_MODE, error))
    return FALSE;
  /* the umask is strict, and a capture that ran before made the usual one for itself alone */
  return (!made && (strcmp (directory, PV_RUN_DIRECTORY) != 0 || geteuid () != 0))
         || chmod (directory, PV_RUN_DIRECTORY_MODE) == 0
         || pv_throw_errno (error, errno, "the mode of '%s' cannot be set", directory);
}

int
pv_named_socket_listen (const char *path, mode_t mode, gid_t group, GError **error)
{
  g_auto(PvFd) fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_autofree char *draft = g_strconcat (path, ".new", NULL);
  struct sockaddr_un address, draft_address;

  if (!pv_named_socket_address (path, &address, error) || !pv_named_socket_address (draft, &draft_address, error))
    return PV_FD_NONE;
  if (is_answered (&address))
    {
      pv_throw (error, PV_ERROR_EXISTS, "another pagevaultd answers there");
      return PV_FD_NONE;
    }
  if (!prepare_directory (path, error))
    return PV_FD_NONE;
  unlink (draft);
  /* nobody can connect before it listens, and it has its mode by then */
  if (fd < 0 || bind (fd, (struct sockaddr *) &draft_address, sizeof draft_address) < 0
      || chown (draft, (uid_t) -1, group) < 0 || chmod (draft, mode) < 0 || listen (fd, SOMAXCONN) < 0)
    {
      pv_throw_errno (error, errno, "it cannot be listened on");
      return PV_FD_NONE;
    }
  return pv_rename (draft, path, error) ? pv_fd_steal (&fd) : PV_FD_NONE;
}
