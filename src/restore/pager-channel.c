/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-channel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

#include "util/error.h"
#include "util/file.h"

enum
{
  LISTEN_SIZE = 16384,      /* bytes looked at at once */
  SEND_BUFFER = 64 << 10,   /* bytes, which the kernel doubles; POLLOUT is told when a quarter of that is left */
};

struct _PvPagerChannel
{
  int fd;                /* (not owned) */
  PvPagerShared *shared; /* (not owned) */
  PvPagerSource *source; /* (not owned) */
  gboolean closed, shut, shut_failed;
  guint32 expected[2];   /* PONGs, and .. */
  gboolean seen[2];      /* .. which of them came */
  gboolean resumed;      /* RESUME_ACK came */
};

PvPagerChannel *
pv_pager_channel_new (int fd, PvPagerShared *shared, PvPagerSource *source)
{
  PvPagerChannel *self = g_new0 (PvPagerChannel, 1);
  const int size = SEND_BUFFER;

  self->fd = fd;
  self->shared = shared;
  self->source = source;
  if (setsockopt (fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size) < 0)
    g_debug ("cannot set the channel's buffer: %s", g_strerror (errno));
  return self;
}

void
pv_pager_channel_free (PvPagerChannel *self)
{
  g_free (self);
}

int
pv_pager_channel_fd (const PvPagerChannel *self)
{
  return self->fd;
}

gboolean
pv_pager_channel_closed (const PvPagerChannel *self)
{
  return self->closed;
}

gboolean
pv_pager_channel_shut (const PvPagerChannel *self, gboolean *failed)
{
  *failed = self->shut_failed;
  return self->shut;
}

/* --- in ---------------------------------------------------------------------------------------------------------- */

gboolean
pv_pager_channel_put (PvPagerChannel *self, GByteArray *out, PvPagerIntent intent, const guint64 *pages, guint n,
                      gboolean *went, GError **error)
{
  gssize sent;
  int failure;

  pv_pager_shared_intend (self->shared, intent, pages, n);
  if (intent != PV_INTENT_END) /* behind the end nobody reads any more */
    pv_postcopy_append_ping (self->shared->sequence, out);
  do
    sent = send (self->fd, out->data, out->len, MSG_DONTWAIT | MSG_NOSIGNAL);
  while (sent < 0 && errno == EINTR);
  *went = sent == (gssize) out->len;
  if (*went)
    {
      pv_pager_shared_done (self->shared);
      return TRUE;
    }
  if (sent >= 0)
    {
      g_atomic_int_set (&self->shared->intent, PV_INTENT_TORN);
      shutdown (self->fd, SHUT_RDWR);
      return pv_throw (error, PV_ERROR_FAILED, "the kernel took only a part of a page");
    }
  failure = errno;
  pv_pager_shared_forget (self->shared);
  if (failure == EAGAIN || failure == EWOULDBLOCK || failure == ENOBUFS)
    return TRUE;
  self->closed = TRUE;
  return TRUE;
}

gboolean
pv_pager_channel_clear (const PvPagerChannel *self)
{
  struct pollfd pollfd = { .fd = self->fd, .events = POLLOUT };

  return TEMP_FAILURE_RETRY (poll (&pollfd, 1, 0)) > 0;
}

gboolean
pv_pager_channel_write (PvPagerChannel *self, const GByteArray *out, GError **error)
{
  for (gsize at = 0; at < out->len;)
    {
      gssize n = TEMP_FAILURE_RETRY (send (self->fd, out->data + at, out->len - at, MSG_NOSIGNAL));

      if (n < 0)
        {
          self->closed = TRUE;
          return pv_throw_errno (error, errno, "QEMU does not take its memory");
        }
      at += (gsize) n;
    }
  return TRUE;
}

/* --- out --------------------------------------------------------------------------------------------------------- */

/* The ring has what QEMU asks for. FALSE without error: it is full, come again. */
static gboolean
take_request (PvPagerChannel *self, const PvReturnMessage *message, GError **error)
{
  const PvStreamHead *head = pv_pager_source_head (self->source);
  gint64 block = message->name[0] != '\0' ? pv_stream_head_find_block (head, message->name) : self->shared->last_block;
  const PvRamBlock *ram = block >= 0 ? g_ptr_array_index (head->blocks, block) : NULL;
  guint64 first;

  if (ram == NULL || message->offset % PV_POSTCOPY_PAGE != 0 || message->size % PV_POSTCOPY_PAGE != 0
      || message->offset > ram->size || message->size > ram->size - message->offset)
    return pv_corrupt (error, "QEMU asks for %u bytes at %" G_GUINT64_FORMAT " of RAM block '%s', which cannot be",
                       message->size, message->offset, ram != NULL ? ram->name : message->name);
  first = pv_pager_source_first_page (self->source, (guint) block) + message->offset / PV_POSTCOPY_PAGE;
  for (guint i = 0; i < message->size / PV_POSTCOPY_PAGE; i++)
    if (!pv_pager_shared_request (self->shared, first + i))
      return FALSE;
  self->shared->last_block = block;
  return TRUE;
}

static gboolean
take_message (PvPagerChannel *self, const PvReturnMessage *message, GError **error)
{
  switch (message->type)
    {
    case PV_RETURN_PAGES:
      return take_request (self, message, error);
    case PV_RETURN_SHUT:
      self->shut = TRUE;
      self->shut_failed = message->value != 0;
      return TRUE;
    case PV_RETURN_PONG:
      for (guint i = 0; i < G_N_ELEMENTS (self->expected); i++)
        self->seen[i] |= message->value == self->expected[i];
      return TRUE;
    case PV_RETURN_RESUME_ACK:
      self->resumed = TRUE;
      return TRUE;
    case PV_RETURN_RECV_BITMAP:
      return pv_corrupt (error, "QEMU sends a bitmap that nobody asked for");
    case PV_RETURN_OTHER:
    default:
      return TRUE;
    }
}

/* TRUE when there is something to read, or the other end is closed. */
static gboolean
readable (int fd, int timeout_ms)
{
  struct pollfd pollfd = { .fd = fd, .events = POLLIN };

  return TEMP_FAILURE_RETRY (poll (&pollfd, 1, timeout_ms)) > 0;
}

/* Takes the whole messages of @data; *@used: their bytes. */
static gboolean
take_messages (PvPagerChannel *self, const guint8 *data, gsize size, gsize *used, GError **error)
{
  gsize one = 0;

  *used = 0;
  do
    {
      PvReturnMessage message;
      g_autoptr(GError) why = NULL;

      if (!pv_return_message_parse (data + *used, size - *used, &message, &one, error))
        return FALSE;
      if (one > 0 && !take_message (self, &message, &why))
        {
          if (why == NULL)
            return TRUE; /* the ring is full: later */
          g_propagate_error (error, g_steal_pointer (&why));
          return FALSE;
        }
      *used += one;
    }
  while (one > 0 && *used < size);
  return TRUE;
}

/* (S3): looked at first, taken off when all of it is written down. */
gboolean
pv_pager_channel_listen (PvPagerChannel *self, int timeout_ms, GError **error)
{
  guint8 data[LISTEN_SIZE];
  gsize used;
  gssize n;

  if (timeout_ms > 0 && !readable (self->fd, timeout_ms))
    return TRUE;
  n = TEMP_FAILURE_RETRY (recv (self->fd, data, sizeof data, MSG_DONTWAIT | MSG_PEEK));
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EWOULDBLOCK))
    self->closed = TRUE;
  if (n <= 0)
    return TRUE;
  if (!take_messages (self, data, (gsize) n, &used, error))
    return FALSE;
  return used == 0 || TEMP_FAILURE_RETRY (recv (self->fd, data, used, MSG_DONTWAIT)) == (gssize) used
         || pv_throw (error, PV_ERROR_FAILED, "what QEMU said went away while it was read");
}

void
pv_pager_channel_expect (PvPagerChannel *self, guint32 first, guint32 second)
{
  self->expected[0] = first;
  self->expected[1] = second;
  self->seen[0] = self->seen[1] = FALSE;
}

gboolean
pv_pager_channel_seen_first (const PvPagerChannel *self)
{
  return self->seen[0];
}

gboolean
pv_pager_channel_seen_second (const PvPagerChannel *self)
{
  return self->seen[1];
}

/* --- recovery ---------------------------------------------------------------------------------------------------- */

static gboolean
read_exactly (PvPagerChannel *self, guint8 *data, gsize size, int timeout_ms, GError **error)
{
  for (gsize at = 0; at < size;)
    {
      gssize n = readable (self->fd, timeout_ms) ? TEMP_FAILURE_RETRY (recv (self->fd, data + at, size - at, 0)) : -1;

      if (n <= 0)
        return pv_throw (error, PV_ERROR_FAILED, "QEMU breaks off its recovery");
      at += (gsize) n;
    }
  return TRUE;
}

/* Until the next RECV_BITMAP, whose message is taken off; requests before it are kept. */
static gboolean
wait_bitmap (PvPagerChannel *self, const char *name, int timeout_ms, GError **error)
{
  for (;;)
    {
      guint8 data[PV_RETURN_MESSAGE_MAX];
      PvReturnMessage message;
      gssize n;
      gsize used;

      if (!readable (self->fd, timeout_ms))
        return pv_throw (error, PV_ERROR_FAILED, "QEMU does not tell which pages it has");
      n = TEMP_FAILURE_RETRY (recv (self->fd, data, sizeof data, MSG_PEEK));
      if (n <= 0)
        return pv_throw (error, PV_ERROR_FAILED, "QEMU breaks off its recovery");
      if (!pv_return_message_parse (data, (gsize) n, &message, &used, error))
        return FALSE;
      if (used == 0)
        continue;
      if (!read_exactly (self, data, used, timeout_ms, error))
        return FALSE;
      if (message.type == PV_RETURN_RECV_BITMAP)
        return g_str_equal (message.name, name)
               || pv_corrupt (error, "QEMU tells of RAM block '%s' when asked for '%s'", message.name, name);
      if (!take_message (self, &message, error))
        return FALSE;
    }
}

static gboolean
recover_block (PvPagerChannel *self, guint index, int timeout_ms, GError **error)
{
  const PvStreamHead *head = pv_pager_source_head (self->source);
  const PvRamBlock *block = g_ptr_array_index (head->blocks, index);
  guint64 n_pages = block->size / PV_POSTCOPY_PAGE;
  gsize size = pv_return_bitmap_size (n_pages);
  g_autofree guint8 *data = g_malloc (size);
  g_autoptr(GByteArray) out = g_byte_array_new ();
  const guint8 *bits;

  pv_postcopy_append_recv_bitmap (head, index, out);
  if (!pv_pager_channel_write (self, out, error) || !wait_bitmap (self, block->name, timeout_ms, error)
      || !read_exactly (self, data, size, timeout_ms, error))
    return FALSE;
  bits = pv_return_bitmap_parse (data, size, n_pages, error);
  if (bits == NULL)
    return FALSE;
  pv_pager_shared_load_sent (self->shared, pv_pager_source_first_page (self->source, index), n_pages, bits);
  return TRUE;
}

gboolean
pv_pager_channel_recover (PvPagerChannel *self, int timeout_ms, GError **error)
{
  g_autoptr(GByteArray) out = g_byte_array_new ();

  self->shared->last_block = -1;
  for (guint i = 0; i < pv_pager_source_n_blocks (self->source); i++)
    if (!recover_block (self, i, timeout_ms, error))
      return FALSE;
  pv_pager_shared_forget (self->shared);
  pv_postcopy_append_resume (out);
  if (!pv_pager_channel_write (self, out, error))
    return FALSE;
  while (!self->resumed)
    {
      if (self->closed || !readable (self->fd, timeout_ms))
        return pv_throw (error, PV_ERROR_FAILED, "QEMU does not go on after its recovery");
      if (!pv_pager_channel_listen (self, 0, error))
        return FALSE;
    }
  return TRUE;
}
