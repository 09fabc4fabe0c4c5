/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/libvirt-socket.h"

#include <errno.h>
#include <gio/gio.h>
#include <grp.h>
#include <libvirt/virterror.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "daemon/named-socket.h"
#include "daemon/peer-connect.h"
#include "util/error.h"
#include "util/file.h"

#define GROUP "libvirt"
#define CLIENTS_MAX 500 /* at once; others wait in the socket's queue */
#define PATIENCE_S 2    /* with a client that is turned away */
#define PAUSE_US (100 * 1000) /* after an accept(2) that failed: descriptors may be free again */

struct _PvLibvirtSocket
{
  char *path;              /* (owned) */
  PvFd fd;
  PvLibvirtCallFunc func;
  gpointer data;           /* (not owned): of func */
  GThread *thread;         /* (owned): accepts */
  GMutex lock;
  GCond cond;
  GHashTable *clients;     /* (owned) (element-type PvLibvirtClient): connected; under lock */
  guint n_threads;         /* that serve one; under lock */
  gboolean over;           /* under lock */
};

typedef struct
{
  PvLibvirtSocket *socket; /* (not owned): waits for us */
  PvFd fd;
} Arrival;

char *
pv_libvirt_socket_upstream (const char *uri)
{
  static const char *const usual[] = { "/run/libvirt/libvirt-sock", "/run/libvirt/virtqemud-sock" };
  const char *query = uri != NULL ? strchr (uri, '?') : NULL;
  g_autoptr(GHashTable) values
      = query != NULL ? g_uri_parse_params (query + 1, -1, "&", G_URI_PARAMS_NONE, NULL) : NULL;
  const char *named = values != NULL ? g_hash_table_lookup (values, "socket") : NULL;

  if (named != NULL)
    return g_strdup (named);
  return g_strdup (usual[!g_file_test (usual[0], G_FILE_TEST_EXISTS) && g_file_test (usual[1], G_FILE_TEST_EXISTS)]);
}

/* --- one client -------------------------------------------------------------------------------------------------- */

/* FALSE when all is over. */
static gboolean
enter (PvLibvirtSocket *self, PvLibvirtClient *client)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  if (!self->over)
    g_hash_table_add (self->clients, client);
  return !self->over;
}

/* Says why, in answer to the first call: who is just cut off may die of what it writes. */
static void
turn_away (int fd, const GError *error)
{
  const struct timeval patience = { .tv_sec = PATIENCE_S };
  g_autofree char *text = g_strdup_printf ("pagevaultd cannot connect to libvirtd for you: %s", error->message);
  g_autoptr(GByteArray) reply = NULL;
  guint8 data[PV_RPC_HEAD];
  PvRpcHead head;

  g_message ("the libvirt socket: a client is turned away: %s", error->message);
  if (setsockopt (fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) < 0
      || recv (fd, data, sizeof data, MSG_WAITALL) != sizeof data)
    return;
  pv_rpc_head_read (data, &head);
  reply = pv_rpc_reply_error (&head, VIR_FROM_RPC, VIR_ERR_SYSTEM_ERROR, text);
  if (head.type == PV_RPC_CALL && send (fd, reply->data, reply->len, MSG_NOSIGNAL) == (gssize) reply->len)
    while (recv (fd, data, sizeof data, 0) > 0) /* until it has read it, and goes */
      ;
}

static void
serve (PvLibvirtSocket *self, int fd)
{
  g_autofree char *path = pv_libvirt_socket_upstream (g_getenv ("LIBVIRT_DEFAULT_URI"));
  g_autoptr(GError) error = NULL;
  int libvirtd = pv_peer_connect (fd, path, &error);
  g_autoptr(PvLibvirtClient) client = NULL;

  if (libvirtd < 0)
    {
      turn_away (fd, error);
      close (fd);
      return;
    }
  client = pv_libvirt_client_new (fd, libvirtd, self->func, self->data);
  if (enter (self, client))
    pv_libvirt_client_run (client);
  g_mutex_lock (&self->lock);
  g_hash_table_remove (self->clients, client);
  g_mutex_unlock (&self->lock);
}

static gpointer
run_client (gpointer data)
{
  g_autofree Arrival *arrival = data;
  PvLibvirtSocket *self = arrival->socket;

  serve (self, arrival->fd);
  g_mutex_lock (&self->lock);
  self->n_threads--;
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* --- all of them ------------------------------------------------------------------------------------------------- */

/* TRUE when there is room for one more; FALSE when all is over. */
static gboolean
wait_room (PvLibvirtSocket *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  while (!self->over && self->n_threads >= CLIENTS_MAX)
    g_cond_wait (&self->cond, &self->lock);
  if (!self->over)
    self->n_threads++;
  return !self->over;
}

static void
leave_room (PvLibvirtSocket *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->n_threads--;
  g_cond_broadcast (&self->cond);
}

/* @fd: taken over. */
static void
start_client (PvLibvirtSocket *self, int fd)
{
  g_autoptr(GError) error = NULL;
  Arrival *arrival = g_new0 (Arrival, 1);
  GThread *thread;

  *arrival = (Arrival) { .socket = self, .fd = fd };
  thread = g_thread_try_new ("libvirt-client", run_client, arrival, &error);
  if (thread != NULL)
    {
      g_thread_unref (thread);
      return;
    }
  g_warning ("the libvirt socket: a client is turned away: %s", error->message);
  close (fd);
  g_free (arrival);
  leave_room (self);
}

static gpointer
accept_clients (gpointer data)
{
  PvLibvirtSocket *self = data;

  while (wait_room (self))
    {
      int fd = TEMP_FAILURE_RETRY (accept4 (self->fd, NULL, NULL, SOCK_CLOEXEC));
      gboolean shut = fd < 0 && errno == EINVAL;

      if (fd >= 0)
        {
          start_client (self, fd);
          continue;
        }
      leave_room (self);
      if (!shut)
        g_usleep (PAUSE_US);
    }
  return NULL;
}

PvLibvirtSocket *
pv_libvirt_socket_new (const char *path, PvLibvirtCallFunc func, gpointer data, GError **error)
{
  struct group *group = geteuid () == 0 ? getgrnam (GROUP) : NULL; /* nothing else asks for groups */
  gid_t gid = group != NULL ? group->gr_gid : (gid_t) -1;
  g_auto(PvFd) fd = pv_named_socket_listen (path, group != NULL ? 0660 : 0600, gid, error);
  PvLibvirtSocket *self;

  if (fd < 0)
    {
      g_prefix_error (error, "the libvirt socket '%s': ", path);
      return NULL;
    }
  self = g_new0 (PvLibvirtSocket, 1);
  self->path = g_strdup (path);
  self->fd = pv_fd_steal (&fd);
  self->func = func;
  self->data = data;
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->clients = g_hash_table_new (NULL, NULL);
  self->thread = g_thread_new ("libvirt-socket", accept_clients, self);
  return self;
}

void
pv_libvirt_socket_free (PvLibvirtSocket *self)
{
  GHashTableIter iter;
  gpointer client;

  unlink (self->path);
  g_mutex_lock (&self->lock);
  self->over = TRUE;
  g_hash_table_iter_init (&iter, self->clients);
  while (g_hash_table_iter_next (&iter, &client, NULL))
    pv_libvirt_client_end (client);
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  shutdown (self->fd, SHUT_RDWR);
  g_thread_join (self->thread);
  g_mutex_lock (&self->lock);
  while (self->n_threads > 0)
    g_cond_wait (&self->cond, &self->lock);
  g_mutex_unlock (&self->lock);
  pv_fd_clear (&self->fd);
  g_hash_table_unref (self->clients);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self->path);
  g_free (self);
}
