/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/scratch-file.h"

#include <fcntl.h>
#include <unistd.h>

#include "chunk/scratch-cipher.h"
#include "util/error.h"
#include "util/file.h"

#define BUFFER_SIZE (256u << 10) /* bytes */
#define COPY_SIZE (1u << 20)     /* bytes */

struct _PvScratchFile
{
  PvFd fd;                 /* (owned) */
  PvScratchCipher *cipher; /* (owned) */
  char *name;              /* (owned): for messages */
  GByteArray *pending;     /* (owned): not written yet */
  GByteArray *encrypted;   /* (owned): of what is being written */
  guint64 written;         /* bytes in the file */
};

PvScratchFile *
pv_scratch_file_new (PvStoreScratch *scratch, GError **error)
{
  g_autoptr(PvScratchFile) self = g_new0 (PvScratchFile, 1);

  self->name = g_strdup (pv_store_scratch_path (scratch));
  self->pending = g_byte_array_new ();
  self->encrypted = g_byte_array_new ();
  self->cipher = pv_scratch_cipher_new (error);
  if (self->cipher == NULL)
    return NULL;
  self->fd = pv_openat (AT_FDCWD, self->name, O_TMPFILE | O_RDWR, 0600, error);
  return self->fd >= 0 ? g_steal_pointer (&self) : NULL;
}

void
pv_scratch_file_free (PvScratchFile *self)
{
  if (self == NULL)
    return;
  pv_fd_clear (&self->fd);
  g_byte_array_unref (self->pending);
  g_byte_array_unref (self->encrypted);
  pv_scratch_cipher_free (self->cipher);
  g_free (self->name);
  g_free (self);
}

static gboolean
flush (PvScratchFile *self, GError **error)
{
  g_byte_array_set_size (self->encrypted, self->pending->len);
  pv_scratch_cipher_apply (self->cipher, self->written, self->pending->data, self->pending->len, self->encrypted->data);
  if (!pv_pwrite_all (self->fd, self->encrypted->data, self->encrypted->len, self->written, self->name, error))
    return FALSE;
  self->written += self->pending->len;
  g_byte_array_set_size (self->pending, 0);
  return TRUE;
}

gboolean
pv_scratch_file_append (PvScratchFile *self, gconstpointer data, gsize size, GError **error)
{
  const guint8 *at = data;

  while (size > 0)
    {
      gsize n = MIN (size, BUFFER_SIZE - self->pending->len);

      g_byte_array_append (self->pending, at, (guint) n);
      at += n;
      size -= n;
      if (self->pending->len == BUFFER_SIZE && !flush (self, error))
        return FALSE;
    }
  return TRUE;
}

guint64
pv_scratch_file_size (const PvScratchFile *self)
{
  return self->written + self->pending->len;
}

gboolean
pv_scratch_file_read (PvScratchFile *self, guint64 offset, gpointer data, gsize size, GError **error)
{
  if (!flush (self, error) || !pv_pread_exact (self->fd, data, size, offset, self->name, error))
    return FALSE;
  pv_scratch_cipher_apply (self->cipher, offset, data, size, data);
  return TRUE;
}

gboolean
pv_scratch_file_add_blob (PvScratchFile *self, PvTxn *txn, const char *name, GError **error)
{
  guint64 size = pv_scratch_file_size (self);
  g_autofree guint8 *buffer = g_malloc (COPY_SIZE);
  PvVolumeWriter *writer;

  if (size == 0)
    return TRUE;
  writer = pv_txn_add_volume (txn, PV_VOLUME_BLOB, name, size, error);
  if (writer == NULL)
    return FALSE;
  for (guint64 offset = 0; offset < size; offset += COPY_SIZE)
    {
      gsize n = MIN (size - offset, COPY_SIZE);

      if (!pv_scratch_file_read (self, offset, buffer, n, error)
          || !pv_volume_writer_write (writer, offset, buffer, n, error))
        return FALSE;
    }
  return pv_volume_writer_finish (writer, error);
}
