/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/plain-stream.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <unistd.h>

#include "stream/mapped-ram.h"
#include "util/error.h"
#include "util/file.h"

#define FEED_SIZE (1u << 20) /* bytes given to a decoder at a time */

struct _PvPlainStream
{
  char *name;              /* owned: for messages */
  int fd;                  /* borrowed: read directly when there is no child */
  const char *program;     /* NULL: not compressed */
  GSubprocess *child;      /* owned (nullable) */
  GInputStream *output;    /* of child */
  gboolean ended;          /* the child's end was seen and was good */
};

static const struct
{
  const char *program, *package;
} programs[] = {
  [PV_SAVE_FORMAT_GZIP] = { "gzip", "gzip" },     [PV_SAVE_FORMAT_BZIP2] = { "bzip2", "bzip2" },
  [PV_SAVE_FORMAT_XZ] = { "xz", "xz-utils" },     [PV_SAVE_FORMAT_LZOP] = { "lzop", "lzop" },
  [PV_SAVE_FORMAT_ZSTD] = { "zstd", "zstd" },
};

static gboolean
is_compressed (PvSaveFormat format)
{
  return format != PV_SAVE_FORMAT_RAW && format != PV_SAVE_FORMAT_SPARSE;
}

static gboolean
start_program (PvPlainStream *self, PvSaveFormat format, GError **error)
{
  g_autoptr(GSubprocessLauncher) launcher
      = g_subprocess_launcher_new (G_SUBPROCESS_FLAGS_STDOUT_PIPE | G_SUBPROCESS_FLAGS_STDERR_SILENCE);
  g_autofree char *path = g_find_program_in_path (programs[format].program);
  int input;

  self->program = programs[format].program;
  if (path == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "%s is compressed with %s: install the package '%s'", self->name,
                     self->program, programs[format].package);
  input = fcntl (self->fd, F_DUPFD_CLOEXEC, 3);
  if (input < 0)
    return pv_throw_errno (error, errno, "%s", self->name);
  g_subprocess_launcher_take_stdin_fd (launcher, input);
  self->child = g_subprocess_launcher_spawn (launcher, error, path, "-dc",
                                             format == PV_SAVE_FORMAT_LZOP ? "--ignore-warn" : NULL, NULL);
  if (self->child == NULL)
    return FALSE;
  self->output = g_subprocess_get_stdout_pipe (self->child);
  return TRUE;
}

PvPlainStream *
pv_plain_stream_open (int fd, guint64 offset, PvSaveFormat format, const char *name, GError **error)
{
  g_autoptr(PvPlainStream) self = g_new0 (PvPlainStream, 1);

  g_return_val_if_fail (fd >= 0 && format <= PV_SAVE_FORMAT_SPARSE, NULL);

  self->fd = fd;
  self->name = g_strdup (name);
  if (lseek (fd, (off_t) offset, SEEK_SET) < 0 && !(errno == ESPIPE && offset == 0))
    {
      pv_throw_errno (error, errno, "%s", name);
      return NULL;
    }
  if (is_compressed (format) && !start_program (self, format, error))
    return NULL;
  return g_steal_pointer (&self);
}

/* The child has no more to give: did it come to a good end? */
static gboolean
check_child (PvPlainStream *self, GError **error)
{
  if (!g_subprocess_wait (self->child, NULL, error))
    return FALSE;
  if (!g_subprocess_get_successful (self->child))
    return pv_corrupt (error, "%s: %s refuses the compressed stream as damaged or cut off", self->name, self->program);
  self->ended = TRUE;
  return TRUE;
}

gssize
pv_plain_stream_read (PvPlainStream *self, guint8 *buffer, gsize size, GError **error)
{
  gsize n = 0;

  if (self->child == NULL)
    return pv_read_full (self->fd, buffer, size, self->name, error);
  if (self->ended)
    return 0;
  if (!g_input_stream_read_all (self->output, buffer, size, &n, NULL, error))
    return -1;
  if (n == 0 && size > 0 && !check_child (self, error))
    return -1;
  return n;
}

void
pv_plain_stream_free (PvPlainStream *self)
{
  if (self == NULL)
    return;
  if (self->child != NULL && !self->ended)
    {
      g_subprocess_force_exit (self->child);
      g_subprocess_wait (self->child, NULL, NULL);
    }
  g_clear_object (&self->child);
  g_free (self->name);
  g_free (self);
}

gboolean
pv_plain_stream_decode (int fd, guint64 offset, PvSaveFormat format, const char *name, PvStreamDecoder *decoder,
                        GError **error)
{
  g_autoptr(PvPlainStream) stream = NULL;
  g_autofree guint8 *buffer = NULL;
  gssize n;

  if (!is_compressed (format) && lseek (fd, 0, SEEK_CUR) >= 0 && pv_mapped_ram_probe (fd, offset))
    return pv_mapped_ram_decode (fd, offset, name, decoder, error);
  stream = pv_plain_stream_open (fd, offset, format, name, error);
  if (stream == NULL)
    return FALSE;
  buffer = g_malloc (FEED_SIZE);
  while ((n = pv_plain_stream_read (stream, buffer, FEED_SIZE, error)) > 0)
    if (!pv_stream_decoder_feed (decoder, buffer, n, error))
      return FALSE;
  return n == 0 && pv_stream_decoder_finish (decoder, error);
}
