/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-writer.h"

#include <fcntl.h>
#include <unistd.h>

#include "pack/pack-table-builder.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

#define BUFFER_SIZE (1u << 20)    /* bytes gathered before they are written */
#define WRITEBACK_SIZE (8u << 20) /* bytes after which the kernel is asked to put them on disk */

struct _PvPackWriter
{
  char *path;                /* (owned) */
  PvFd fd;                   /* (owned) */
  PvPackTableBuilder *table; /* (owned) */
  GByteArray *buffer;        /* (owned): not yet written */
  guint64 written;           /* bytes */
  guint64 writeback;         /* bytes that the kernel was told to put on disk */
  gboolean sealed;
};

PvPackWriter *
pv_pack_writer_new (const char *path, GError **error)
{
  g_auto(PvFd) fd = PV_FD_NONE;
  PvPackWriter *self;

  if (!pv_fault ("pack.create", error))
    {
      g_prefix_error (error, "cannot create '%s': ", path);
      return NULL;
    }
  fd = pv_openat (AT_FDCWD, path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0600, error);
  if (fd < 0)
    return NULL;
  self = g_new0 (PvPackWriter, 1);
  self->path = g_strdup (path);
  self->fd = pv_fd_steal (&fd);
  self->table = pv_pack_table_builder_new ();
  self->buffer = g_byte_array_sized_new (BUFFER_SIZE + PV_FRAME_STORED_MAX);
  g_byte_array_append (self->buffer, pv_pack_header, PV_PACK_HEADER_SIZE);
  return self;
}

void
pv_pack_writer_free (PvPackWriter *self)
{
  if (self == NULL)
    return;
  if (!self->sealed)
    unlink (self->path);
  pv_fd_clear (&self->fd);
  pv_pack_table_builder_free (self->table);
  g_byte_array_unref (self->buffer);
  g_free (self->path);
  g_free (self);
}

static gboolean
flush (PvPackWriter *self, GError **error)
{
  if (!pv_write_all (self->fd, self->buffer->data, self->buffer->len, self->path, error))
    return FALSE;
  self->written += self->buffer->len;
  g_byte_array_set_size (self->buffer, 0);
  if (self->written - self->writeback >= WRITEBACK_SIZE)
    {
      /* A hint: whether it is taken or not, seal syncs the file. */
      (void) sync_file_range (self->fd, (off64_t) self->writeback, (off64_t) (self->written - self->writeback),
                              SYNC_FILE_RANGE_WRITE);
      self->writeback = self->written;
    }
  return TRUE;
}

gboolean
pv_pack_writer_append (PvPackWriter *self, const guint8 *frame_bytes, gsize frame_size, const PvName *names,
                       const guint32 *sizes, guint n_slots, guint32 *frame, GError **error)
{
  guint32 number = pv_pack_table_builder_n_frames (self->table);
  PvFrameInfo info;

  g_return_val_if_fail (!self->sealed, FALSE);

  if (!pv_frame_info (frame_bytes, frame_size, &info, error))
    return FALSE;
  g_return_val_if_fail (info.stored_size == frame_size && info.n_slots == n_slots, FALSE);
  if (self->buffer->len >= BUFFER_SIZE && !flush (self, error))
    return FALSE;
  if (!pv_pack_table_builder_add (self->table, &info, names, sizes, error))
    return FALSE;
  g_byte_array_append (self->buffer, frame_bytes, (guint) frame_size);
  *frame = number;
  return TRUE;
}

guint64
pv_pack_writer_size (const PvPackWriter *self)
{
  return pv_pack_table_builder_offset (self->table) + pv_pack_table_builder_tail_size (self->table);
}

guint64
pv_pack_writer_n_objects (const PvPackWriter *self)
{
  return pv_pack_table_builder_n_objects (self->table);
}

gboolean
pv_pack_writer_seal (PvPackWriter *self, PvName *pack_name, guint64 *size, GError **error)
{
  g_return_val_if_fail (!self->sealed, FALSE);
  g_return_val_if_fail (pv_pack_table_builder_n_frames (self->table) > 0, FALSE);

  if (!pv_fault ("pack.seal", error))
    {
      g_prefix_error (error, "cannot seal '%s': ", self->path);
      return FALSE;
    }
  pv_pack_table_builder_finish (self->table, self->buffer, pack_name);
  if (!flush (self, error) || !pv_fsync (self->fd, self->path, error))
    return FALSE;
  *size = self->written;
  self->sealed = TRUE;
  return TRUE;
}
