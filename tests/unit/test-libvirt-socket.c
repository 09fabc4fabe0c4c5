/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A libvirtd made of a listening socket; what it gets and says must be what the client says and gets. */
#include "config.h"

#include "daemon/libvirt-socket.h"

#include <glib/gstdio.h>
#include <gio/gio.h>
#include <grp.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "daemon/named-socket.h"
#include "util/cursor.h"
#include "util/error.h"
#include "util/file.h"

#define NOBODY 65534

static char *directory, *upstream_path;

typedef struct
{
  char *path;
  int listener;
  PvLibvirtSocket *socket;
  GAsyncQueue *taken; /* PvLibvirtClient of each call that was taken */
} Fixture;

static gboolean
take (PvLibvirtClient *client, const guint8 *data, gsize size, gpointer queue)
{
  g_autoptr(PvRpcCall) call = pv_rpc_call_parse (data, size, NULL);

  if (call == NULL || call->flags != 0)
    return FALSE;
  g_async_queue_push (queue, pv_libvirt_client_ref (client));
  g_async_queue_push (queue, g_steal_pointer (&call));
  return TRUE;
}

static void
setup (Fixture *f, gconstpointer data)
{
  g_autoptr(GError) error = NULL;

  f->path = g_build_filename (directory, "ours", NULL);
  f->listener = pv_named_socket_listen (upstream_path, 0666, (gid_t) -1, &error);
  g_assert_no_error (error);
  f->taken = g_async_queue_new ();
  f->socket = pv_libvirt_socket_new (f->path, take, f->taken, &error);
  g_assert_no_error (error);
}

static void
teardown (Fixture *f, gconstpointer data)
{
  g_clear_pointer (&f->socket, pv_libvirt_socket_free);
  g_async_queue_unref (f->taken);
  pv_fd_clear (&f->listener);
  g_assert_cmpint (g_unlink (upstream_path), ==, 0);
  g_free (f->path);
}

static int
dial (const char *path)
{
  int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  struct sockaddr_un address;

  g_assert_true (pv_named_socket_address (path, &address, NULL));
  g_assert_cmpint (connect (fd, (struct sockaddr *) &address, sizeof address), ==, 0);
  return fd;
}

/* A client and its connection at the other end. */
static void
meet (Fixture *f, int *client, int *server)
{
  *client = dial (f->path);
  *server = accept4 (f->listener, NULL, NULL, SOCK_CLOEXEC);
  g_assert_cmpint (*server, >=, 0);
}

/* (transfer full): a message of @size bytes. */
static GByteArray *
message_new (guint size, guint32 procedure, PvRpcType type, guint32 serial)
{
  GByteArray *out = g_byte_array_new ();

  pv_append_be32 (out, size);
  pv_append_be32 (out, PV_RPC_REMOTE_PROGRAM);
  pv_append_be32 (out, PV_RPC_REMOTE_VERSION);
  pv_append_be32 (out, procedure);
  pv_append_be32 (out, type);
  pv_append_be32 (out, serial);
  pv_append_be32 (out, PV_RPC_OK);
  while (out->len < size)
    pv_append_u8 (out, (guint8) (out->len * 31 % 251));
  return out;
}

static void
put (int fd, const GByteArray *message)
{
  g_assert_true (pv_write_all (fd, message->data, message->len, "peer", NULL));
}

static void
assert_comes (int fd, const GByteArray *message)
{
  g_autofree guint8 *got = g_malloc0 (message->len);

  g_assert_cmpint (pv_read_full (fd, got, message->len, "peer", NULL), ==, message->len);
  g_assert_cmpmem (got, message->len, message->data, message->len);
}

static void
assert_end (int fd)
{
  char byte;

  g_assert_cmpint (recv (fd, &byte, 1, 0), <=, 0);
}

typedef struct
{
  int fd;
  const GByteArray *message;
} Writing;

static gpointer
put_thread (gpointer data)
{
  const Writing *writing = data;

  put (writing->fd, writing->message);
  return NULL;
}

static void
both_ways (Fixture *f, gconstpointer data)
{
  static const guint sizes[] = { 28, 32, 65535, 65536, 65537, 3 << 20 };
  g_auto(PvFd) client = PV_FD_NONE, server = PV_FD_NONE;

  meet (f, &client, &server);
  for (guint i = 0; i < G_N_ELEMENTS (sizes) * 2; i++)
    {
      g_autoptr(GByteArray) message = message_new (sizes[i / 2], 9, i % 2 ? PV_RPC_REPLY : PV_RPC_CALL, i);
      Writing writing = { i % 2 ? server : client, message };
      GThread *thread = g_thread_new ("put", put_thread, &writing);

      assert_comes (i % 2 ? client : server, message);
      g_thread_join (thread);
    }
  pv_fd_clear (&client);
  assert_end (server);
}

static void
put_fd (int to, int fd)
{
  union
  {
    struct cmsghdr head;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control = { .head = { .cmsg_len = CMSG_LEN (sizeof (int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS } };
  char byte = '\0';
  struct iovec part = { .iov_base = &byte, .iov_len = 1 };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                            .msg_controllen = sizeof control };

  memcpy (CMSG_DATA (&control.head), &fd, sizeof fd);
  g_assert_cmpint (sendmsg (to, &message, 0), ==, 1);
}

static int
get_fd (int from)
{
  union
  {
    struct cmsghdr head;
    char bytes[CMSG_SPACE (sizeof (int))];
  } control;
  char byte;
  struct iovec part = { .iov_base = &byte, .iov_len = 1 };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control,
                            .msg_controllen = sizeof control };
  int fd = PV_FD_NONE;

  g_assert_cmpint (recvmsg (from, &message, MSG_CMSG_CLOEXEC), ==, 1);
  g_assert_cmpuint (message.msg_controllen, >=, CMSG_LEN (sizeof fd));
  memcpy (&fd, CMSG_DATA (&control.head), sizeof fd);
  return fd;
}

/* Each descriptor with its message, in its place between others. */
static void
descriptors (Fixture *f, gconstpointer data)
{
  g_auto(PvFd) client = PV_FD_NONE, server = PV_FD_NONE;
  g_autoptr(GByteArray) plain = message_new (100, 9, PV_RPC_CALL, 3);

  meet (f, &client, &server);
  for (guint way = 0; way < 2; way++)
    {
      int from = way ? server : client, to = way ? client : server;
      g_autoptr(GByteArray) with = message_new (28, 9, way ? PV_RPC_REPLY_WITH_FDS : PV_RPC_CALL_WITH_FDS, 2);

      pv_append_be32 (with, 2);
      pv_append_zeros (with, 100000);
      with->data[1] = (guint8) (with->len >> 16);
      with->data[2] = (guint8) (with->len >> 8);
      with->data[3] = (guint8) with->len;
      put (from, plain);
      put (from, with);
      for (guint i = 0; i < 2; i++)
        {
          int ends[2];
          guint8 mark = (guint8) (1 + i);

          g_assert_cmpint (pipe (ends), ==, 0);
          put_fd (from, ends[0]);
          g_assert_cmpint (write (ends[1], &mark, 1), ==, 1);
          close (ends[0]);
          close (ends[1]);
        }
      put (from, plain);
      assert_comes (to, plain);
      assert_comes (to, with);
      for (guint i = 0; i < 2; i++)
        {
          g_auto(PvFd) fd = get_fd (to);
          guint8 mark = 0;

          g_assert_cmpint (read (fd, &mark, 1), ==, 1);
          g_assert_cmpint (mark, ==, 1 + i);
        }
      assert_comes (to, plain);
    }
}

static void
garbage (Fixture *f, gconstpointer data)
{
  static const char *const texts[] = { "GET / HTTP/1.1\r\n\r\n", "\0\0\0\1 and so on." };

  for (guint i = 0; i < G_N_ELEMENTS (texts); i++)
    {
      g_auto(PvFd) client = PV_FD_NONE, server = PV_FD_NONE;
      char got[16];

      meet (f, &client, &server);
      g_assert_cmpint (write (client, texts[i], sizeof got), ==, sizeof got);
      g_assert_cmpint (pv_read_full (server, got, sizeof got, "server", NULL), ==, sizeof got);
      g_assert_cmpmem (got, sizeof got, texts[i], sizeof got);
      pv_fd_clear (&server);
      assert_end (client);
    }
}

/* One that does not read, one whose message does not end: others go on. */
static void
slow (Fixture *f, gconstpointer data)
{
  g_autoptr(GByteArray) large = message_new (16 << 20, 9, PV_RPC_REPLY, 1);
  g_autoptr(GByteArray) small = message_new (64, 9, PV_RPC_CALL, 1);
  g_auto(PvFd) client = PV_FD_NONE, server = PV_FD_NONE;
  g_auto(PvFd) half = PV_FD_NONE, half_server = PV_FD_NONE;
  Writing writing = { .message = large };
  GThread *thread;

  meet (f, &client, &server);
  writing.fd = server;
  thread = g_thread_new ("put", put_thread, &writing);
  meet (f, &half, &half_server);
  g_assert_cmpint (write (half, small->data, 50), ==, 50);
  for (guint i = 0; i < 20; i++)
    {
      g_auto(PvFd) other = PV_FD_NONE, other_server = PV_FD_NONE;

      meet (f, &other, &other_server);
      put (other, small);
      assert_comes (other_server, small);
    }
  assert_comes (client, large);
  g_thread_join (thread);
}

/* (transfer full): a message of a call. */
static GByteArray *
snapshot_call (guint32 procedure, guint32 flags)
{
  PvRpcCall call = {
    .head = { .program = PV_RPC_REMOTE_PROGRAM, .version = PV_RPC_REMOTE_VERSION, .procedure = procedure, .serial = 7 },
    .domain = { .name = (char *) "web1", .id = 4 },
    .xml = procedure == PV_RPC_SNAPSHOT_CREATE_XML ? (char *) "x" : NULL,
    .flags = flags,
  };

  return pv_rpc_call_compose (&call, "one");
}

/* What is taken does not come through, all else does; the answer comes between. */
static void
taken (Fixture *f, gconstpointer data)
{
  g_auto(PvFd) client = PV_FD_NONE, server = PV_FD_NONE;
  g_autoptr(GByteArray) ours = snapshot_call (PV_RPC_SNAPSHOT_REVERT, 0);
  g_autoptr(GByteArray) theirs = snapshot_call (PV_RPC_SNAPSHOT_REVERT, 1);
  g_autoptr(GByteArray) event = message_new (200, 5, PV_RPC_EVENT, 0);
  g_autoptr(PvLibvirtClient) self = NULL;
  g_autoptr(PvRpcCall) call = NULL;
  g_autoptr(GByteArray) reply = NULL;

  meet (f, &client, &server);
  put (client, ours);
  put (client, theirs);
  assert_comes (server, theirs);
  self = g_async_queue_pop (f->taken);
  call = g_async_queue_pop (f->taken);
  g_assert_cmpstr (call->snapshot, ==, "one");
  put (server, event);
  assert_comes (client, event);
  reply = pv_rpc_reply_void (call);
  pv_libvirt_client_reply (self, reply);
  assert_comes (client, reply);
  g_assert_false (pv_libvirt_client_is_strange (self));
}

typedef struct
{
  PvLibvirtClient *client;
  GByteArray *call;
} Question;

static gpointer
ask_thread (gpointer data)
{
  Question *question = data;

  return pv_libvirt_client_ask (question->client, question->call);
}

/* A question of ours is not seen by the client, nor is its answer; its serial is one that no client has. */
static void
asked (Fixture *f, gconstpointer data)
{
  g_auto(PvFd) client = PV_FD_NONE, server = PV_FD_NONE;
  g_autoptr(GByteArray) ours = snapshot_call (PV_RPC_SNAPSHOT_DELETE, 0);
  g_autoptr(PvLibvirtClient) self = NULL;
  g_autoptr(PvRpcCall) call = NULL;
  Question question;

  meet (f, &client, &server);
  put (client, ours);
  self = g_async_queue_pop (f->taken);
  call = g_async_queue_pop (f->taken);
  for (guint i = 0; i < 2; i++)
    {
      guint8 head[PV_RPC_HEAD];
      g_autofree guint8 *got = g_malloc (ours->len);
      g_autoptr(GByteArray) reply = NULL, answer = NULL, other = message_new (40, 3, PV_RPC_REPLY, 5);
      PvRpcHead read_head;
      GThread *thread;

      question = (Question) { self, pv_rpc_call_compose (call, "nix") };
      thread = g_thread_new ("ask", ask_thread, &question);
      g_assert_cmpint (pv_read_full (server, head, sizeof head, "server", NULL), ==, sizeof head);
      pv_rpc_head_read (head, &read_head);
      g_assert_cmpuint (read_head.serial, >, 0xf0000000u);
      g_assert_cmpint (pv_read_full (server, got, read_head.length - sizeof head, "server", NULL), >, 0);
      if (i == 0)
        {
          reply = pv_rpc_reply_error (&call->head, 40, 72, "no");
          pv_rpc_set_serial (reply, read_head.serial);
          put (server, other);
          put (server, reply);
          pv_rpc_set_serial (reply, 7);
        }
      else
        pv_fd_clear (&client); /* no answer any more */
      answer = g_thread_join (thread);
      if (i == 0)
        {
          g_assert_cmpmem (answer->data, answer->len, reply->data, reply->len);
          assert_comes (client, other);
        }
      else
        g_assert_null (answer);
      g_byte_array_unref (question.call);
    }
}

/* Who uses serials of ours is served by libvirtd alone. */
static void
strange (Fixture *f, gconstpointer data)
{
  g_auto(PvFd) client = PV_FD_NONE, server = PV_FD_NONE;
  g_autoptr(GByteArray) odd = message_new (64, 9, PV_RPC_CALL, 0xf0000001u);
  g_autoptr(GByteArray) ours = snapshot_call (PV_RPC_SNAPSHOT_CREATE_XML, 0);

  meet (f, &client, &server);
  put (client, odd);
  put (client, ours);
  assert_comes (server, odd);
  assert_comes (server, ours);
  g_assert_cmpint (g_async_queue_length (f->taken), ==, 0);
}

/* libvirtd sees the user that the client is, and none comes further than it would by itself. */
static void
credentials (Fixture *f, gconstpointer data)
{
  g_auto(PvFd) server = PV_FD_NONE;
  struct ucred peer = { 0 };
  socklen_t size = sizeof peer;
  gid_t groups[4] = { 0 };
  int status = 0;
  pid_t child;

  if (geteuid () != 0)
    {
      g_test_skip ("not root");
      return;
    }
  g_assert_cmpint (chmod (f->path, 0666), ==, 0);
  for (guint closed = 0; closed < 2; closed++)
    {
      if (closed)
        g_assert_cmpint (chmod (upstream_path, 0600), ==, 0);
      child = fork ();
      if (child == 0)
        {
          const gid_t two[] = { 4242, 4243 };
          g_autoptr(GByteArray) call = message_new (28, 66, PV_RPC_CALL, 1);
          guint8 reply[PV_RPC_HEAD];
          PvRpcHead head;
          int fd;

          if (setgroups (2, two) < 0 || setresgid (NOBODY, NOBODY, NOBODY) < 0
              || setresuid (NOBODY, NOBODY, NOBODY) < 0)
            _exit (2);
          fd = dial (f->path);
          put (fd, call);
          if (recv (fd, reply, sizeof reply, MSG_WAITALL) != sizeof reply)
            _exit (closed ? 3 : 0);
          pv_rpc_head_read (reply, &head);
          _exit (closed && head.status == PV_RPC_ERROR && head.serial == 1 ? 0 : 4);
        }
      if (!closed)
        {
          server = accept4 (f->listener, NULL, NULL, SOCK_CLOEXEC);
          g_assert_cmpint (getsockopt (server, SOL_SOCKET, SO_PEERCRED, &peer, &size), ==, 0);
          g_assert_cmpuint (peer.uid, ==, NOBODY);
          g_assert_cmpuint (peer.gid, ==, NOBODY);
          size = sizeof groups;
          g_assert_cmpint (getsockopt (server, SOL_SOCKET, SO_PEERGROUPS, groups, &size), ==, 0);
          g_assert_cmpuint (size, ==, 2 * sizeof (gid_t));
          g_assert_cmpuint (groups[0], ==, 4242);
          pv_fd_clear (&server);
        }
      g_assert_cmpint (waitpid (child, &status, 0), ==, child); /* turned away, the second */
      g_assert_cmpint (status, ==, 0);
    }
  g_assert_cmpuint (geteuid (), ==, 0);
}

static void
ends (Fixture *f, gconstpointer data)
{
  g_auto(PvFd) client = PV_FD_NONE, server = PV_FD_NONE;
  g_autoptr(GError) error = NULL;

  g_assert_null (pv_libvirt_socket_new (f->path, NULL, NULL, &error));
  g_assert_error (error, PV_ERROR, PV_ERROR_EXISTS);
  meet (f, &client, &server);
  g_clear_pointer (&f->socket, pv_libvirt_socket_free);
  assert_end (client);
  assert_end (server);
  g_assert_false (g_file_test (f->path, G_FILE_TEST_EXISTS));
}

/* Before there is any thread. */
static void
make_place (void)
{
  g_autoptr(GError) error = NULL;
  g_autofree char *uri = NULL;

  directory = g_dir_make_tmp ("pagevault-XXXXXX", &error);
  g_assert_no_error (error);
  g_assert_cmpint (g_chmod (directory, 0711), ==, 0);
  upstream_path = g_build_filename (directory, "libvirtd", NULL);
  uri = g_strconcat ("qemu+unix:///system?socket=", upstream_path, NULL);
  g_assert_true (g_setenv ("LIBVIRT_DEFAULT_URI", uri, TRUE));
}

static void
upstream (void)
{
  g_autofree char *named = pv_libvirt_socket_upstream ("qemu+unix:///system?mode=direct&socket=/a%20b/c");
  g_autofree char *usual = pv_libvirt_socket_upstream ("qemu:///system");

  g_assert_cmpstr (named, ==, "/a b/c");
  g_assert_true (g_str_has_prefix (usual, "/run/libvirt/"));
}

int
main (int argc, char **argv)
{
  static const struct
  {
    const char *name;
    void (*run) (Fixture *, gconstpointer);
  } tests[] = {
    { "/libvirt-socket/both-ways", both_ways },     { "/libvirt-socket/descriptors", descriptors },
    { "/libvirt-socket/garbage", garbage },         { "/libvirt-socket/slow", slow },
    { "/libvirt-socket/taken", taken },             { "/libvirt-socket/asked", asked },
    { "/libvirt-socket/strange", strange },         { "/libvirt-socket/credentials", credentials },
    { "/libvirt-socket/ends", ends },
  };
  int status;

  g_test_init (&argc, &argv, NULL);
  make_place ();
  for (guint i = 0; i < G_N_ELEMENTS (tests); i++)
    g_test_add (tests[i].name, Fixture, NULL, setup, tests[i].run, teardown);
  g_test_add_func ("/libvirt-socket/upstream", upstream);
  status = g_test_run ();
  g_assert_true (pv_remove_tree (directory, NULL));
  g_free (directory);
  g_free (upstream_path);
  return status;
}
