/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/passphrase.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "chunk/key-slot.h"
#include "util/error.h"
#include "util/file.h"

enum
{
  ROOM = PV_KEY_PASSPHRASE_MAX + 2, /* a newline, and one byte more to tell what is too long */
  CTRL_C = 3,
  CTRL_D = 4,
  BACKSPACE = 8,
  CTRL_U = 21,
  DELETE = 127,
};

static PvPassphrase *
passphrase_new (void)
{
  PvPassphrase *self = g_new0 (PvPassphrase, 1);

  self->bytes = pv_secret_new (ROOM);
  return self;
}

void
pv_passphrase_free (PvPassphrase *self)
{
  if (self == NULL)
    return;
  pv_secret_free (self->bytes, ROOM);
  g_free (self);
}

gboolean
pv_passphrase_equal (const PvPassphrase *a, const PvPassphrase *b)
{
  return a->size == b->size && memcmp (a->bytes, b->bytes, a->size) == 0;
}

static gboolean
check_size (const PvPassphrase *self, const char *whence, GError **error)
{
  if (self->size > 0 && self->size <= PV_KEY_PASSPHRASE_MAX)
    return TRUE;
  return pv_throw (error, PV_ERROR_INVALID, "%s has %s: a pass phrase has 1 to %u bytes", whence,
                   self->size == 0 ? "nothing in it" : "too much in it", PV_KEY_PASSPHRASE_MAX);
}

PvPassphrase *
pv_passphrase_read (const char *path, GError **error)
{
  g_autoptr(PvPassphrase) self = passphrase_new ();
  gboolean standard_input = g_str_equal (path, "-");
  g_autofree char *whence = g_strdup_printf ("'%s'", standard_input ? "standard input" : path);
  g_auto(PvFd) fd = standard_input ? dup (STDIN_FILENO) : pv_openat (AT_FDCWD, path, O_RDONLY | O_NOCTTY, 0, error);
  gssize n;

  if (fd < 0)
    {
      if (standard_input)
        pv_throw_errno (error, errno, "cannot read standard input");
      g_prefix_error (error, "the pass phrase: ");
      return NULL;
    }
  n = pv_read_full (fd, self->bytes, ROOM, whence, error);
  if (n < 0)
    return NULL;
  self->size = (gsize) n;
  if (self->size > 0 && self->bytes[self->size - 1] == '\n')
    self->size--;
  return check_size (self, whence, error) ? g_steal_pointer (&self) : NULL;
}

/* --- the terminal ------------------------------------------------------------------------------------------------- */

/* FALSE at the end of the line, or with an error. */
static gboolean
take (PvPassphrase *self, guint8 byte, GError **error)
{
  switch (byte)
    {
    case '\r':
    case '\n':
    case CTRL_D:
      return FALSE;
    case CTRL_C:
      return pv_throw (error, PV_ERROR_CANCELLED, "stopped");
    case CTRL_U:
      self->size = 0;
      return TRUE;
    case BACKSPACE:
    case DELETE:
      while (self->size > 0 && (self->bytes[self->size - 1] & 0xc0) == 0x80) /* of a character of UTF-8 */
        self->size--;
      self->size -= MIN (self->size, 1);
      return TRUE;
    default:
      if (self->size <= PV_KEY_PASSPHRASE_MAX)
        self->bytes[self->size++] = byte;
      return TRUE;
    }
}

/* The terminal is ours alone meanwhile: not even a signal comes between, so that it is never left without echo. */
static gboolean
read_line (PvPassphrase *self, int terminal, GError **error)
{
  g_autoptr(GError) why = NULL;
  struct termios before, quiet;
  guint8 byte;
  ssize_t n;

  if (tcgetattr (terminal, &before) < 0)
    return pv_throw_errno (error, errno, "cannot ask on the terminal");
  quiet = before;
  quiet.c_lflag &= ~(tcflag_t) (ECHO | ECHONL | ICANON | ISIG);
  quiet.c_cc[VMIN] = 1;
  quiet.c_cc[VTIME] = 0;
  if (tcsetattr (terminal, TCSAFLUSH, &quiet) < 0)
    return pv_throw_errno (error, errno, "cannot ask on the terminal");
  do
    n = TEMP_FAILURE_RETRY (read (terminal, &byte, 1));
  while (n == 1 && take (self, byte, &why));
  (void) tcsetattr (terminal, TCSAFLUSH, &before);
  if (n < 0)
    return pv_throw_errno (error, errno, "cannot read from the terminal");
  if (why == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

PvPassphrase *
pv_passphrase_ask (const char *prompt, GError **error)
{
  g_autoptr(PvPassphrase) self = passphrase_new ();
  g_auto(PvFd) terminal = open ("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);

  if (terminal < 0)
    {
      pv_throw (error, PV_ERROR_DENIED,
                "there is no terminal to ask for the pass phrase on: give --passphrase-file or --secret");
      return NULL;
    }
  if (!pv_write_all (terminal, prompt, strlen (prompt), "the terminal", error) || !read_line (self, terminal, error)
      || !pv_write_all (terminal, "\n", 1, "the terminal", error) || !check_size (self, "what was typed", error))
    return NULL;
  return g_steal_pointer (&self);
}
