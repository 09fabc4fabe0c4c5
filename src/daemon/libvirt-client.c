/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/libvirt-client.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util/file.h"

#define BUFFER_SIZE (64u << 10)
#define MESSAGE_MAX (64u << 20) /* bytes: libvirt has 32 MiB now, and closes the connection when there are more */
#define OWN_SERIALS 0xf0000000u /* clients count from one */

G_STATIC_ASSERT (BUFFER_SIZE >= PV_RPC_HEAD + PV_RPC_WORD);

struct _PvLibvirtClient
{
  int ref_count;           /* atomic */
  PvFd client, libvirtd;   /* (owned) */
  PvLibvirtCallFunc func;
  gpointer data;           /* (not owned): of func */
  GMutex to_client;        /* held while one message is written there */
  GMutex to_libvirtd;      /* likewise */
  int strange;             /* atomic: gboolean */
  GMutex lock;
  GCond cond;
  GHashTable *questions;   /* (owned): serial -> GByteArray, empty until it is answered; under lock */
  guint32 serial;          /* the last of ours; under lock */
  gboolean over;           /* under lock */
};

/* One direction. */
typedef struct
{
  PvLibvirtClient *self;
  int from, to;
  GMutex *to_lock;
  gboolean up;    /* from the client */
  guint8 *buffer; /* BUFFER_SIZE */
} Pump;

PvLibvirtClient *
pv_libvirt_client_new (int client, int libvirtd, PvLibvirtCallFunc func, gpointer data)
{
  PvLibvirtClient *self = g_new0 (PvLibvirtClient, 1);

  self->ref_count = 1;
  self->client = client;
  self->libvirtd = libvirtd;
  self->func = func;
  self->data = data;
  g_mutex_init (&self->to_client);
  g_mutex_init (&self->to_libvirtd);
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->questions = g_hash_table_new_full (NULL, NULL, NULL, (GDestroyNotify) g_byte_array_unref);
  self->serial = OWN_SERIALS;
  return self;
}

PvLibvirtClient *
pv_libvirt_client_ref (PvLibvirtClient *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
pv_libvirt_client_unref (PvLibvirtClient *self)
{
  if (!g_atomic_int_dec_and_test (&self->ref_count))
    return;
  pv_fd_clear (&self->client);
  pv_fd_clear (&self->libvirtd);
  g_hash_table_unref (self->questions);
  g_mutex_clear (&self->to_client);
  g_mutex_clear (&self->to_libvirtd);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self);
}

/* The descriptors stay open for those who have a reference. What was written before is still read. */
void
pv_libvirt_client_end (PvLibvirtClient *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  self->over = TRUE;
  shutdown (self->client, SHUT_RDWR);
  shutdown (self->libvirtd, SHUT_RDWR);
  g_cond_broadcast (&self->cond);
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

static gboolean
read_exact (int fd, guint8 *data, gsize size)
{
  while (size > 0)
    {
      gssize n = TEMP_FAILURE_RETRY (recv (fd, data, size, 0));

      if (n <= 0)
        return FALSE;
      data += n;
      size -= (gsize) n;
    }
  return TRUE;
}

static gboolean
write_all (int fd, const guint8 *data, gsize size)
{
  while (size > 0)
    {
      gssize n = TEMP_FAILURE_RETRY (send (fd, data, size, MSG_NOSIGNAL));

      if (n < 0)
        return FALSE;
      data += n;
      size -= (gsize) n;
    }
  return TRUE;
}

/* One byte with a descriptor, as libvirt sends each of them behind its message. */
static gboolean
pass_fd (const Pump *pump)
{
  union
  {
    struct cmsghdr align;
    char bytes[CMSG_SPACE (sizeof (int) * PV_RPC_FDS_MAX)];
  } control;
  guint8 byte;
  struct iovec part = { .iov_base = &byte, .iov_len = sizeof byte };
  struct msghdr message = {
    .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control,
  };
  gssize n = TEMP_FAILURE_RETRY (recvmsg (pump->from, &message, MSG_CMSG_CLOEXEC));

  if (n != 1)
    return FALSE;
  if (message.msg_controllen == 0)
    message.msg_control = NULL;
  message.msg_flags = 0;
  n = TEMP_FAILURE_RETRY (sendmsg (pump->to, &message, MSG_NOSIGNAL));
  for (struct cmsghdr *at = CMSG_FIRSTHDR (&message); at != NULL; at = CMSG_NXTHDR (&message, at))
    if (at->cmsg_level == SOL_SOCKET && at->cmsg_type == SCM_RIGHTS)
      for (gsize i = 0; i < (at->cmsg_len - CMSG_LEN (0)) / sizeof (int); i++)
        close (((int *) (gpointer) CMSG_DATA (at))[i]);
  return n == 1;
}

/* No messages any more, or none that we know the form of. */
static void
pass_bytes (const Pump *pump)
{
  gssize n;

  while ((n = TEMP_FAILURE_RETRY (recv (pump->from, pump->buffer, BUFFER_SIZE, 0))) > 0)
    if (!write_all (pump->to, pump->buffer, (gsize) n))
      return;
}

/* --- messages ---------------------------------------------------------------------------------------------------- */

static guint32
read_word (const guint8 *data)
{
  guint32 word;

  memcpy (&word, data, sizeof word);
  return GUINT32_FROM_BE (word);
}

/* The message whose first @have bytes are in the buffer, and its descriptors. */
static gboolean
pass_message (const Pump *pump, const PvRpcHead *head, gsize have)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (pump->to_lock);
  gsize left = head->length - have;
  guint32 n_fds = 0;

  if (pv_rpc_head_has_fds (head) && have >= PV_RPC_HEAD + PV_RPC_WORD)
    n_fds = read_word (pump->buffer + PV_RPC_HEAD);
  if (!write_all (pump->to, pump->buffer, have))
    return FALSE;
  while (left > 0)
    {
      gsize n = MIN (left, BUFFER_SIZE);

      if (!read_exact (pump->from, pump->buffer, n) || !write_all (pump->to, pump->buffer, n))
        return FALSE;
      left -= n;
    }
  for (guint32 i = 0; n_fds <= PV_RPC_FDS_MAX && i < n_fds; i++)
    if (!pass_fd (pump))
      return FALSE;
  return TRUE;
}

/* (transfer full) (nullable): all of the message; NULL when it does not come. */
static GByteArray *
read_rest (const Pump *pump, const PvRpcHead *head, gsize have)
{
  g_autoptr(GByteArray) message = g_byte_array_sized_new (head->length);

  g_byte_array_append (message, pump->buffer, (guint) have);
  g_byte_array_set_size (message, head->length);
  return read_exact (pump->from, message->data + have, head->length - have) ? g_steal_pointer (&message) : NULL;
}

static gboolean
is_call_of_interest (const Pump *pump, const PvRpcHead *head)
{
  return pump->up && pump->self->func != NULL && !pv_libvirt_client_is_strange (pump->self)
         && head->type == PV_RPC_CALL && head->program == PV_RPC_REMOTE_PROGRAM && head->length <= PV_RPC_CALL_MAX
         && (head->procedure == PV_RPC_SNAPSHOT_CREATE_XML || head->procedure == PV_RPC_SNAPSHOT_REVERT
             || head->procedure == PV_RPC_SNAPSHOT_DELETE);
}

/* TRUE when the message is libvirtd's reply to a question of ours. */
static gboolean
is_asked (const Pump *pump, const PvRpcHead *head)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&pump->self->lock);
  GByteArray *answer
      = pump->up ? NULL : g_hash_table_lookup (pump->self->questions, GUINT_TO_POINTER (head->serial));

  return answer != NULL && answer->len == 0 && head->type == PV_RPC_REPLY && head->length <= PV_RPC_CALL_MAX;
}

static void
write_locked (PvLibvirtClient *self, GMutex *lock, int fd, const GByteArray *message)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (lock);

  if (!write_all (fd, message->data, message->len))
    pv_libvirt_client_end (self);
}

static gboolean
take_call (const Pump *pump, const PvRpcHead *head, gsize have)
{
  g_autoptr(GByteArray) message = read_rest (pump, head, have);

  if (message == NULL)
    return FALSE;
  if (!pump->self->func (pump->self, message->data, message->len, pump->self->data))
    pv_libvirt_client_pass (pump->self, message);
  return TRUE;
}

static gboolean
take_answer (const Pump *pump, const PvRpcHead *head, gsize have)
{
  g_autoptr(GByteArray) message = read_rest (pump, head, have);
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&pump->self->lock);
  GByteArray *answer = g_hash_table_lookup (pump->self->questions, GUINT_TO_POINTER (head->serial));

  if (message == NULL)
    return FALSE;
  if (answer != NULL)
    g_byte_array_append (answer, message->data, message->len);
  g_cond_broadcast (&pump->self->cond);
  return TRUE;
}

/* FALSE at the end of what comes. */
static gboolean
pump_one (const Pump *pump)
{
  guint32 length;
  PvRpcHead head;
  gsize have;

  if (!read_exact (pump->from, pump->buffer, PV_RPC_WORD))
    return FALSE;
  length = read_word (pump->buffer);
  if (length < PV_RPC_HEAD || length > MESSAGE_MAX)
    {
      g_atomic_int_set (&pump->self->strange, TRUE); /* serials are not looked at any more */
      if (write_all (pump->to, pump->buffer, PV_RPC_WORD))
        pass_bytes (pump);
      return FALSE;
    }
  have = MIN (length, BUFFER_SIZE);
  if (!read_exact (pump->from, pump->buffer + PV_RPC_WORD, have - PV_RPC_WORD))
    return FALSE;
  pv_rpc_head_read (pump->buffer, &head);
  if (pump->up && head.serial >= OWN_SERIALS)
    g_atomic_int_set (&pump->self->strange, TRUE);
  if (is_call_of_interest (pump, &head))
    return take_call (pump, &head, have);
  if (is_asked (pump, &head))
    return take_answer (pump, &head, have);
  return pass_message (pump, &head, have);
}

static gpointer
run_pump (gpointer data)
{
  Pump *pump = data;

  pump->buffer = g_malloc (BUFFER_SIZE);
  while (pump_one (pump))
    ;
  pv_libvirt_client_end (pump->self);
  g_free (pump->buffer);
  return NULL;
}

void
pv_libvirt_client_run (PvLibvirtClient *self)
{
  Pump up = { .self = self, .from = self->client, .to = self->libvirtd, .to_lock = &self->to_libvirtd, .up = TRUE };
  Pump down = { .self = self, .from = self->libvirtd, .to = self->client, .to_lock = &self->to_client };
  GThread *thread = g_thread_new ("from-libvirtd", run_pump, &down);

  run_pump (&up);
  g_thread_join (thread);
}

/* --- for handlers ------------------------------------------------------------------------------------------------ */

void
pv_libvirt_client_reply (PvLibvirtClient *self, const GByteArray *message)
{
  write_locked (self, &self->to_client, self->client, message);
}

void
pv_libvirt_client_pass (PvLibvirtClient *self, const GByteArray *message)
{
  write_locked (self, &self->to_libvirtd, self->libvirtd, message);
}

gboolean
pv_libvirt_client_is_strange (PvLibvirtClient *self)
{
  return g_atomic_int_get (&self->strange);
}

GByteArray *
pv_libvirt_client_ask (PvLibvirtClient *self, GByteArray *call)
{
  GByteArray *answer = g_byte_array_new ();
  PvRpcHead head;
  guint32 serial;

  pv_rpc_head_read (call->data, &head);
  g_mutex_lock (&self->lock);
  serial = ++self->serial;
  g_hash_table_insert (self->questions, GUINT_TO_POINTER (serial), g_byte_array_ref (answer));
  g_mutex_unlock (&self->lock);
  pv_rpc_set_serial (call, serial);
  pv_libvirt_client_pass (self, call);
  g_mutex_lock (&self->lock);
  while (answer->len == 0 && !self->over)
    g_cond_wait (&self->cond, &self->lock);
  g_hash_table_remove (self->questions, GUINT_TO_POINTER (serial));
  g_mutex_unlock (&self->lock);
  if (answer->len == 0)
    g_clear_pointer (&answer, g_byte_array_unref);
  else
    pv_rpc_set_serial (answer, head.serial);
  return answer;
}
