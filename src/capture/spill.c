/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/spill.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "chunk/scratch-cipher.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

enum
{
  PUNCH_STEP = 16 << 20, /* bytes given back at once */
};

struct _PvSpill
{
  char *directory;         /* (owned) */
  PvFd fd;                 /* the pusher's to open */
  PvScratchCipher *cipher; /* (owned) (nullable): likewise */
  GByteArray *encrypted;   /* (owned): the pusher's */
  GMutex lock;
  guint64 head, tail; /* bytes into the file: popped, pushed; under lock */
  guint64 total;      /* bytes ever pushed; under lock */
  guint64 punched;    /* bytes from the start given back; the popper's */
};

PvSpill *
pv_spill_new (const char *directory)
{
  PvSpill *self = g_new0 (PvSpill, 1);

  g_mutex_init (&self->lock);
  self->directory = g_strdup (directory);
  self->fd = PV_FD_NONE;
  self->encrypted = g_byte_array_new ();
  return self;
}

void
pv_spill_free (PvSpill *self)
{
  if (self == NULL)
    return;
  pv_fd_clear (&self->fd);
  pv_scratch_cipher_free (self->cipher);
  g_byte_array_unref (self->encrypted);
  g_mutex_clear (&self->lock);
  g_free (self->directory);
  g_free (self);
}

/* Not every file system has files without a name: there it loses its name at once. */
static gboolean
open_file (PvSpill *self, GError **error)
{
  g_autofree char *path = g_build_filename (self->directory, "spill-XXXXXX", NULL);

  self->cipher = pv_scratch_cipher_new (error);
  if (self->cipher == NULL)
    return FALSE;
  self->fd = open (self->directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (self->fd >= 0)
    return TRUE;
  self->fd = g_mkstemp_full (path, O_RDWR | O_CLOEXEC, 0600);
  if (self->fd < 0)
    return pv_throw_errno (error, errno, "cannot make a spill file in '%s'", self->directory);
  return pv_unlink (path, error);
}

gboolean
pv_spill_push (PvSpill *self, const guint8 *bytes, gsize n, GError **error)
{
  guint64 at;

  if (self->fd < 0 && !open_file (self, error))
    return FALSE;
  g_mutex_lock (&self->lock);
  at = self->tail;
  g_mutex_unlock (&self->lock);
  g_byte_array_set_size (self->encrypted, (guint) n);
  pv_scratch_cipher_apply (self->cipher, at, bytes, n, self->encrypted->data);
  if (!pv_fault ("capture.spill", error)
      || !pv_pwrite_all (self->fd, self->encrypted->data, n, at, "spill file", error))
    return FALSE;
  g_mutex_lock (&self->lock);
  self->tail += n;
  self->total += n;
  g_mutex_unlock (&self->lock);
  return TRUE;
}

/* Best effort: where holes cannot be punched the file just stays as long as it is. */
static void
give_back (PvSpill *self, guint64 head)
{
  if (head - self->punched < PUNCH_STEP)
    return;
  if (fallocate (self->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t) self->punched,
                 (off_t) (head - self->punched))
      < 0)
    g_debug ("cannot punch holes into the spill file: %s", g_strerror (errno));
  self->punched = head;
}

gssize
pv_spill_pop (PvSpill *self, guint8 *bytes, gsize max, GError **error)
{
  guint64 head, tail;
  gsize n;

  g_mutex_lock (&self->lock);
  head = self->head;
  tail = self->tail;
  g_mutex_unlock (&self->lock);
  n = MIN (max, tail - head);
  if (n == 0)
    return 0;
  if (!pv_pread_exact (self->fd, bytes, n, head, "spill file", error))
    return -1;
  pv_scratch_cipher_apply (self->cipher, head, bytes, n, bytes);
  give_back (self, head + n);
  g_mutex_lock (&self->lock);
  self->head += n;
  g_mutex_unlock (&self->lock);
  return (gssize) n;
}

guint64
pv_spill_size (PvSpill *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->tail - self->head;
}

guint64
pv_spill_total (PvSpill *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  return self->total;
}
