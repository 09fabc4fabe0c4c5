/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-writer.h"

#include <fcntl.h>
#include <unistd.h>

#include "pack/pack-output.h"
#include "pack/pack-table-builder.h"
#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"

struct _PvPackWriter
{
  char *path;                /* (owned) */
  PvFd fd;                   /* (owned) */
  PvPackTableBuilder *table; /* (owned) */
  PvPackOutput *output;      /* (owned) */
  PvStoreKey *key;           /* (owned) (nullable): frames are encrypted */
  guint8 salt[PV_SALT_SIZE];
  GByteArray *encrypted;     /* (owned): the frame being appended */
  guint32 n_encrypted;       /* numbers that were used, for frames in the pack or not */
  gboolean sealed;
};

PvPackWriter *
pv_pack_writer_new (const char *path, GError **error)
{
  return pv_pack_writer_new_encrypted (path, NULL, error);
}

static gboolean
prepare_table (PvPackWriter *self, PvStoreKey *key, GError **error)
{
  self->encrypted = g_byte_array_new ();
  if (key == NULL)
    {
      self->table = pv_pack_table_builder_new ();
      return TRUE;
    }
  self->key = pv_store_key_ref (key);
  if (!pv_random_bytes (self->salt, sizeof self->salt, error))
    return FALSE;
  self->table = pv_pack_table_builder_new_encrypted (key, self->salt);
  return TRUE;
}

PvPackWriter *
pv_pack_writer_new_encrypted (const char *path, PvStoreKey *key, GError **error)
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
  self->output = pv_pack_output_new (self->fd, path);
  if (!prepare_table (self, key, error)
      || !pv_pack_output_append (self->output, pv_pack_header, PV_PACK_HEADER_SIZE, error))
    g_clear_pointer (&self, pv_pack_writer_free);
  return self;
}

void
pv_pack_writer_free (PvPackWriter *self)
{
  if (self == NULL)
    return;
  if (!self->sealed)
    unlink (self->path);
  pv_pack_output_free (self->output);
  pv_fd_clear (&self->fd);
  pv_pack_table_builder_free (self->table);
  pv_store_key_unref (self->key);
  g_byte_array_unref (self->encrypted);
  g_free (self->path);
  g_free (self);
}

/* The frame as it lies in the pack: in place, or encrypted for place @number. No number is used for two frames, also
 * when the first did not get into the pack. */
static gboolean
encrypt (PvPackWriter *self, guint32 number, const guint8 **bytes, gsize *size, GError **error)
{
  const PvSeal seal = { self->key, PV_SEAL_PACK, self->salt, number };

  if (self->key == NULL)
    return TRUE;
  if (number < self->n_encrypted)
    return pv_throw (error, PV_ERROR_FAILED, "nothing can be added to '%s' after a failure", self->path);
  self->n_encrypted = number + 1;
  g_byte_array_set_size (self->encrypted, 0);
  if (!pv_frame_encrypt (&seal, *bytes, *size, self->encrypted, error))
    return FALSE;
  *bytes = self->encrypted->data;
  *size = self->encrypted->len;
  return TRUE;
}

gboolean
pv_pack_writer_append (PvPackWriter *self, const guint8 *frame_bytes, gsize frame_size, const PvName *names,
                       const guint32 *sizes, guint n_slots, guint32 *frame, GError **error)
{
  guint32 number = pv_pack_table_builder_n_frames (self->table);
  PvFrameInfo info;

  g_return_val_if_fail (!self->sealed, FALSE);

  if (!encrypt (self, number, &frame_bytes, &frame_size, error)
      || !pv_frame_info (frame_bytes, frame_size, &info, error))
    return FALSE;
  g_return_val_if_fail (info.stored_size == frame_size && info.n_slots == n_slots, FALSE);
  if (!pv_pack_table_builder_add (self->table, &info, names, sizes, error)
      || !pv_pack_output_append (self->output, frame_bytes, frame_size, error))
    return FALSE;
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
  g_autoptr(GByteArray) tail = g_byte_array_new ();

  g_return_val_if_fail (!self->sealed, FALSE);
  g_return_val_if_fail (pv_pack_table_builder_n_frames (self->table) > 0, FALSE);

  if (!pv_fault ("pack.seal", error))
    {
      g_prefix_error (error, "cannot seal '%s': ", self->path);
      return FALSE;
    }
  *size = pv_pack_writer_size (self);
  pv_pack_table_builder_finish (self->table, tail, pack_name);
  if (!pv_pack_output_append (self->output, tail->data, tail->len, error)
      || !pv_pack_output_finish (self->output, error) || !pv_fsync (self->fd, self->path, error))
    return FALSE;
  self->sealed = TRUE;
  return TRUE;
}
