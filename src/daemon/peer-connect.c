/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/peer-connect.h"

#include <errno.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "daemon/named-socket.h"
#include "util/error.h"
#include "util/file.h"

#define PATIENCE_S 30
#define GROUPS_MAX 65536 /* the kernel's own limit */

/* The C library changes all threads; the kernel changes one. */
#ifdef SYS_setgroups32
#define THREAD_SETGROUPS SYS_setgroups32
#define THREAD_SETRESUID SYS_setresuid32
#define THREAD_SETRESGID SYS_setresgid32
#else
#define THREAD_SETGROUPS SYS_setgroups
#define THREAD_SETRESUID SYS_setresuid
#define THREAD_SETRESGID SYS_setresgid
#endif

/* (transfer full): the supplementary groups that the peer had when it connected. */
static gid_t *
peer_groups (int client, guint *n, GError **error)
{
  socklen_t size = 0;
  g_autofree gid_t *groups = NULL;

  *n = 0;
  if (getsockopt (client, SOL_SOCKET, SO_PEERGROUPS, NULL, &size) == 0 || size == 0)
    return g_new0 (gid_t, 1); /* none */
  if (errno != ERANGE || size > GROUPS_MAX * sizeof (gid_t))
    {
      pv_throw_errno (error, errno, "the groups of a client are not known");
      return NULL;
    }
  groups = g_malloc0 (size);
  if (getsockopt (client, SOL_SOCKET, SO_PEERGROUPS, groups, &size) < 0)
    {
      pv_throw_errno (error, errno, "the groups of a client are not known");
      return NULL;
    }
  *n = size / sizeof (gid_t);
  return g_steal_pointer (&groups);
}

/* The effective ones of this thread; the kernel lets go of all capabilities with root's number, and gives them back
 * with it. */
static gboolean
become (uid_t uid, gid_t gid, const gid_t *groups, guint n)
{
  return syscall (THREAD_SETGROUPS, (gsize) n, groups) == 0 && syscall (THREAD_SETRESGID, -1, gid, -1) == 0
         && syscall (THREAD_SETRESUID, -1, uid, -1) == 0;
}

static void
become_root (gid_t gid, const gid_t *groups, guint n)
{
  if (syscall (THREAD_SETRESUID, -1, 0, -1) != 0 || syscall (THREAD_SETRESGID, -1, gid, -1) != 0
      || syscall (THREAD_SETGROUPS, (gsize) n, groups) != 0)
    g_error ("a thread cannot get its own rights back: %s", g_strerror (errno));
}

/* Who listens may be busy for a while. */
static gboolean
connect_to (int fd, const struct sockaddr_un *address, GError **error)
{
  const struct timeval patience = { .tv_sec = PATIENCE_S }, forever = { 0 };

  if (setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0
      && TEMP_FAILURE_RETRY (connect (fd, (const struct sockaddr *) address, sizeof *address)) == 0
      && setsockopt (fd, SOL_SOCKET, SO_SNDTIMEO, &forever, sizeof forever) == 0)
    return TRUE;
  return pv_throw_errno (error, errno, "'%s'", address->sun_path);
}

static gboolean
connect_as (int fd, const struct sockaddr_un *address, int client, const struct ucred *peer, GError **error)
{
  guint n = 0;
  g_autofree gid_t *groups = peer_groups (client, &n, error);
  int n_own = groups != NULL ? getgroups (0, NULL) : 0;
  g_autofree gid_t *own = g_new0 (gid_t, (gsize) MAX (n_own, 0) + 1);
  gid_t own_gid = getegid ();
  gboolean ok;

  if (groups == NULL)
    return FALSE;
  n_own = getgroups (n_own, own);
  if (n_own < 0)
    return pv_throw_errno (error, errno, "getgroups");
  ok = become (peer->uid, peer->gid, groups, n)
           ? connect_to (fd, address, error)
           : pv_throw (error, PV_ERROR_DENIED, "user %u cannot be acted for", (guint) peer->uid);
  become_root (own_gid, own, (guint) n_own);
  return ok;
}

int
pv_peer_connect (int client, const char *path, GError **error)
{
  g_auto(PvFd) fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address;
  struct ucred peer = { 0 };
  socklen_t size = sizeof peer;
  gboolean ok;

  if (!pv_named_socket_address (path, &address, error))
    return PV_FD_NONE;
  if (fd < 0 || getsockopt (client, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
    {
      pv_throw_errno (error, errno, "who the client is cannot be told");
      return PV_FD_NONE;
    }
  if (peer.uid == geteuid () && (peer.uid != 0 || peer.gid == getegid ()))
    ok = connect_to (fd, &address, error);
  else if (geteuid () == 0)
    ok = connect_as (fd, &address, client, &peer, error);
  else
    ok = pv_throw (error, PV_ERROR_DENIED, "user %u is not served by user %u", (guint) peer.uid, (guint) geteuid ());
  return ok ? pv_fd_steal (&fd) : PV_FD_NONE;
}
