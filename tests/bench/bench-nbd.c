/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A disk of a snapshot over NBD, to be measured beside the same disk in 'pagevault mount' (FUSE).
 *
 *   bench-nbd STORE DOMAIN@NAME TARGET SOCKET       serves until it is killed
 *
 * The least that can be: newstyle handshake without TLS, reads only, simple replies; THREADS threads for each
 * connection take requests in turns, as many as the mount has. Numbers: the NBD protocol, doc/proto.md.
 */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "store/volume-reader.h"
#include "util/cursor.h"
#include "util/file.h"

enum
{
  THREADS = 4,
  REQUEST_MAX = 32 << 20, /* bytes */
  OPTION_MAX = 4096,      /* bytes of what comes with an option */

  FLAG_FIXED_NEWSTYLE = 1,
  OPT_ABORT = 2,
  OPT_INFO = 6,
  OPT_GO = 7,
  REP_ACK = 1,
  REP_INFO = 3,
  INFO_EXPORT = 0,
  TRANSMISSION = 1 | 2 | 1 << 8, /* flags, read-only, several connections at once */
  CMD_READ = 0,
  CMD_DISC = 2,
  REQUEST_SIZE = 28,
};

#define MAGIC 0x4e42444d41474943ull
#define OPTION_MAGIC 0x49484156454f5054ull
#define REPLY_MAGIC 0x3e889045565a9ull
#define REP_ERR_UNSUP 0x80000001u
#define REQUEST_MAGIC 0x25609513u
#define SIMPLE_REPLY 0x67446698u

typedef struct
{
  PvVolumeReader *reader; /* (not owned) */
  int fd;
  GMutex take, give; /* whoever reads requests, and who writes replies */
  gint threads;      /* atomic */
} Connection;

static gboolean
receive (int fd, gpointer data, gsize size)
{
  return size == 0 || recv (fd, data, size, MSG_WAITALL) == (gssize) size;
}

static gboolean
put (int fd, const GByteArray *out)
{
  return pv_write_all (fd, out->data, out->len, "client", NULL);
}

static gboolean
reply_option (int fd, guint32 option, guint32 type, const GByteArray *body)
{
  g_autoptr(GByteArray) out = g_byte_array_new ();

  pv_append_be64 (out, REPLY_MAGIC);
  pv_append_be32 (out, option);
  pv_append_be32 (out, type);
  pv_append_be32 (out, body != NULL ? body->len : 0);
  if (body != NULL)
    g_byte_array_append (out, body->data, body->len);
  return put (fd, out);
}

static gboolean
reply_info (Connection *self, guint32 option)
{
  g_autoptr(GByteArray) body = g_byte_array_new ();

  pv_append_be16 (body, INFO_EXPORT);
  pv_append_be64 (body, pv_volume_reader_size (self->reader));
  pv_append_be16 (body, TRANSMISSION);
  return reply_option (self->fd, option, REP_INFO, body) && reply_option (self->fd, option, REP_ACK, NULL);
}

/* TRUE: requests may come. */
static gboolean
shake_hands (Connection *self)
{
  g_autoptr(GByteArray) hello = g_byte_array_new ();
  guint8 head[16], rest[OPTION_MAX];

  pv_append_be64 (hello, MAGIC);
  pv_append_be64 (hello, OPTION_MAGIC);
  pv_append_be16 (hello, FLAG_FIXED_NEWSTYLE);
  if (!put (self->fd, hello) || !receive (self->fd, rest, 4))
    return FALSE;
  while (receive (self->fd, head, sizeof head))
    {
      PvCursor cursor = PV_CURSOR_INIT (head, sizeof head);
      guint64 magic = pv_cursor_be64 (&cursor);
      guint32 option = pv_cursor_be32 (&cursor), size = pv_cursor_be32 (&cursor);

      if (magic != OPTION_MAGIC || size > sizeof rest || !receive (self->fd, rest, size) || option == OPT_ABORT)
        return FALSE;
      if (option != OPT_GO && option != OPT_INFO)
        {
          if (!reply_option (self->fd, option, REP_ERR_UNSUP, NULL))
            return FALSE;
        }
      else if (!reply_info (self, option))
        return FALSE;
      else if (option == OPT_GO)
        return TRUE;
    }
  return FALSE;
}

static gboolean
answer (Connection *self, guint64 handle, guint64 offset, guint32 size)
{
  g_autoptr(GByteArray) out = g_byte_array_sized_new (16 + size);
  gboolean ok;

  pv_append_be32 (out, SIMPLE_REPLY);
  pv_append_be32 (out, 0);
  pv_append_be64 (out, handle);
  g_byte_array_set_size (out, 16 + size);
  ok = pv_volume_reader_read (self->reader, offset, size, out->data + 16, NULL);
  g_mutex_lock (&self->give);
  ok = ok && put (self->fd, out);
  g_mutex_unlock (&self->give);
  return ok;
}

static gpointer
serve (gpointer data)
{
  Connection *self = data;
  guint8 head[REQUEST_SIZE];

  for (gboolean going = TRUE; going;)
    {
      PvCursor cursor = PV_CURSOR_INIT (head, sizeof head);
      guint64 handle, offset;
      guint32 magic, size;
      guint16 command;

      g_mutex_lock (&self->take);
      going = receive (self->fd, head, sizeof head);
      g_mutex_unlock (&self->take);
      magic = pv_cursor_be32 (&cursor);
      pv_cursor_be16 (&cursor);
      command = pv_cursor_be16 (&cursor);
      handle = pv_cursor_be64 (&cursor);
      offset = pv_cursor_be64 (&cursor);
      size = pv_cursor_be32 (&cursor);
      going = going && magic == REQUEST_MAGIC && command == CMD_READ && size <= REQUEST_MAX
              && answer (self, handle, offset, size);
      if (!going)
        shutdown (self->fd, SHUT_RDWR);
    }
  if (g_atomic_int_dec_and_test (&self->threads))
    {
      close (self->fd);
      g_free (self);
    }
  return NULL;
}

static void
accept_one (PvVolumeReader *reader, int listener)
{
  Connection *self = g_new0 (Connection, 1);

  self->reader = reader;
  self->fd = accept (listener, NULL, NULL);
  self->threads = THREADS;
  g_mutex_init (&self->take);
  g_mutex_init (&self->give);
  if (self->fd < 0 || !shake_hands (self))
    {
      if (self->fd >= 0)
        close (self->fd);
      g_free (self);
      return;
    }
  for (guint i = 0; i < THREADS; i++)
    g_thread_unref (g_thread_new ("nbd", serve, self));
}

int
main (int argc, char **argv)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  int listener = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  g_auto(GStrv) parts = NULL;
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;
  g_autoptr(PvVolumeReader) reader = NULL;
  g_autoptr(GError) error = NULL;
  const PvVolume *volume;

  if (argc != 5)
    {
      fprintf (stderr, "bench-nbd STORE DOMAIN@NAME TARGET SOCKET\n");
      return 2;
    }
  parts = g_strsplit (argv[2], "@", 2);
  store = pv_store_open (argv[1], 0, &error);
  snapshot = store != NULL ? pv_store_find (store, parts[0], parts[1], NULL, &error) : NULL;
  volume = snapshot != NULL ? pv_snapshot_find_volume (snapshot, PV_VOLUME_DISK, argv[3]) : NULL;
  reader = volume != NULL ? pv_volume_reader_new (store, volume, &error) : NULL;
  if (reader == NULL)
    g_error ("%s", error != NULL ? error->message : "no such disk");
  g_strlcpy (address.sun_path, argv[4], sizeof address.sun_path);
  if (bind (listener, (struct sockaddr *) &address, sizeof address) < 0 || listen (listener, 8) < 0)
    g_error ("%s: %s", argv[4], g_strerror (errno));
  for (;;)
    accept_one (reader, listener);
}
