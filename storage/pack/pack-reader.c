/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "pack/pack-reader.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "util/error.h"
#include "util/file.h"

struct _PvPackReader
{
  gatomicrefcount ref_count;
  char *path;         /* (owned): for messages */
  PvFd fd;            /* (owned): PV_FD_NONE for a pack in memory */
  GBytes *bytes;      /* (owned) (nullable): the pack in memory */
  guint64 size;       /* bytes */
  PvPackTable *table; /* (owned) */
  PvStoreKey *key;    /* (owned) (nullable): it was unlocked with it */
};

/* Exactly @size bytes at @offset. */
static gboolean
read_at (const PvPackReader *self, gpointer data, gsize size, guint64 offset, GError **error)
{
  if (self->bytes == NULL)
    return pv_pread_exact (self->fd, data, size, offset, self->path, error);
  if (offset > self->size || size > self->size - offset)
    return pv_corrupt (error, "'%s' ends early", self->path);
  memcpy (data, (const guint8 *) g_bytes_get_data (self->bytes, NULL) + offset, size);
  return TRUE;
}

static PvPackTable *
read_table (const PvPackReader *self, const PvName *pack_name, GError **error)
{
  guint8 header[PV_PACK_HEADER_SIZE], tail[PV_PACK_FOOTER_SIZE];
  g_autofree guint8 *data = NULL;
  g_autoptr(GBytes) bytes = NULL;
  PvPackFooter footer;

  if (self->size < PV_PACK_HEADER_SIZE + PV_PACK_FOOTER_SIZE)
    {
      pv_corrupt (error, "not a pack: only %" G_GUINT64_FORMAT " bytes", self->size);
      return NULL;
    }
  if (!read_at (self, header, sizeof header, 0, error) || !pv_pack_header_check (header, sizeof header, error)
      || !read_at (self, tail, sizeof tail, self->size - sizeof tail, error)
      || !pv_pack_footer_parse (tail, self->size, &footer, error))
    return NULL;
  if (pack_name != NULL && !pv_name_equal (pack_name, &footer.name))
    {
      g_autofree char *hex = pv_name_to_hex (&footer.name);

      pv_corrupt (error, "this is another pack, %s", hex);
      return NULL;
    }
  data = g_try_malloc (footer.table_size);
  if (data == NULL)
    {
      pv_throw (error, PV_ERROR_FAILED, "no memory for a table of %" G_GUINT64_FORMAT " bytes", footer.table_size);
      return NULL;
    }
  if (!read_at (self, data, footer.table_size, footer.table_offset, error))
    return NULL;
  bytes = g_bytes_new_take (g_steal_pointer (&data), footer.table_size);
  return pv_pack_table_parse (&footer, bytes, error);
}

static PvPackReader *
reader_new (const char *path)
{
  PvPackReader *self = g_new0 (PvPackReader, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->path = g_strdup (path);
  self->fd = PV_FD_NONE;
  return self;
}

static gboolean
load (PvPackReader *self, const PvName *pack_name, GError **error)
{
  self->table = read_table (self, pack_name, error);
  if (self->table == NULL)
    {
      g_prefix_error (error, "pack '%s': ", self->path);
      return FALSE;
    }
  return TRUE;
}

PvPackReader *
pv_pack_reader_open (const char *path, const PvName *pack_name, GError **error)
{
  g_autoptr(PvPackReader) self = reader_new (path);
  struct stat st;

  self->fd = pv_openat (AT_FDCWD, path, O_RDONLY | O_NOCTTY, 0, error);
  if (self->fd < 0)
    return NULL;
  if (fstat (self->fd, &st) < 0)
    {
      pv_throw_errno (error, errno, "cannot read '%s'", path);
      return NULL;
    }
  if (!S_ISREG (st.st_mode))
    {
      pv_corrupt (error, "pack '%s' is not a regular file", path);
      return NULL;
    }
  self->size = (guint64) st.st_size;
  return load (self, pack_name, error) ? g_steal_pointer (&self) : NULL;
}

PvPackReader *
pv_pack_reader_new_from_bytes (GBytes *bytes, const PvName *pack_name, GError **error)
{
  g_autoptr(PvPackReader) self = reader_new ("(memory)");

  self->bytes = g_bytes_ref (bytes);
  self->size = g_bytes_get_size (bytes);
  return load (self, pack_name, error) ? g_steal_pointer (&self) : NULL;
}

gboolean
pv_pack_reader_unlock (PvPackReader *self, PvStoreKey *key, GError **error)
{
  if (!pv_pack_table_unlock (self->table, key, error))
    {
      g_prefix_error (error, "pack '%s': ", self->path);
      return FALSE;
    }
  if (key != NULL && self->key == NULL)
    self->key = pv_store_key_ref (key);
  return TRUE;
}

PvPackReader *
pv_pack_reader_ref (PvPackReader *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
pv_pack_reader_unref (PvPackReader *self)
{
  if (!g_atomic_ref_count_dec (&self->ref_count))
    return;
  pv_fd_clear (&self->fd);
  g_clear_pointer (&self->bytes, g_bytes_unref);
  g_clear_pointer (&self->table, pv_pack_table_unref);
  g_clear_pointer (&self->key, pv_store_key_unref);
  g_free (self->path);
  g_free (self);
}

const PvName *
pv_pack_reader_name (const PvPackReader *self)
{
  return pv_pack_table_name (self->table);
}

guint64
pv_pack_reader_size (const PvPackReader *self)
{
  return self->size;
}

PvPackTable *
pv_pack_reader_table (const PvPackReader *self)
{
  return self->table;
}

guint32
pv_pack_reader_n_frames (const PvPackReader *self)
{
  return pv_pack_table_n_frames (self->table);
}

guint64
pv_pack_reader_n_objects (const PvPackReader *self)
{
  return pv_pack_table_n_objects (self->table);
}

gboolean
pv_pack_reader_frame (const PvPackReader *self, guint32 frame, PvPackFrame *out, GError **error)
{
  if (pv_pack_table_frame (self->table, frame, out, error))
    return TRUE;
  g_prefix_error (error, "pack '%s': ", self->path);
  return FALSE;
}

/* Reads the bytes of @frame into the codec's buffer. */
static gboolean
fetch (PvPackReader *self, PvFrameCodec *codec, const PvPackFrame *frame, GError **error)
{
  return read_at (self, pv_frame_codec_buffer (codec), frame->stored_size, frame->offset, error);
}

gboolean
pv_pack_reader_read (PvPackReader *self, PvFrameCodec *codec, guint32 frame, guint8 *plain, PvFrameInfo *info,
                     GError **error)
{
  PvPackFrame entry;
  PvSeal seal;

  if (!pv_pack_reader_frame (self, frame, &entry, error))
    return FALSE;
  if (!fetch (self, codec, &entry, error)
      || !pv_frame_decrypt (codec, pv_pack_table_seal (self->table, frame, &seal), pv_frame_codec_buffer (codec),
                            entry.stored_size, info, plain, PV_FRAME_PLAIN_MAX, error)
      || !pv_pack_frame_check (&entry, info, error))
    {
      g_prefix_error (error, "pack '%s': frame %u: ", self->path, frame);
      return FALSE;
    }
  return TRUE;
}

typedef struct
{
  PvPackReader *reader; /* (not owned) */
  PvFrameCodec *codec;  /* (owned) */
  PvNamer *namer;       /* (nullable) (not owned) */
  PvPackBaseFunc base;  /* (nullable) */
  PvPackDamageFunc damaged;
  gpointer data;
  guint8 *plain;        /* (owned): PV_FRAME_PLAIN_MAX bytes */
  PvNode *node;         /* (owned) */
  PvNode *base_node;    /* (owned) */
} Verifier;

/* TRUE when the stored node of @size bytes at @item is the node @name. */
static gboolean
verify_node (Verifier *self, const guint8 *item, guint32 size, const PvName *name, GError **error)
{
  PvNodeHead head;
  PvName found;

  if (!pv_node_peek (item, size, &head, error))
    return FALSE;
  if (head.delta && self->base == NULL)
    return TRUE;
  if (head.delta && !self->base (&head.base, self->base_node, self->data))
    {
      g_autofree char *hex = pv_name_to_hex (&head.base);

      return pv_corrupt (error, "its base node %s cannot be read", hex);
    }
  if (!pv_node_decode (item, size, head.delta ? self->base_node : NULL, self->node, error))
    return FALSE;
  pv_namer_node (self->namer, self->node->level, self->node->entries, self->node->n_entries, &found);
  return pv_name_equal (&found, name) || pv_corrupt (error, "node that does not match its name");
}

static gboolean
verify_item (Verifier *self, const PvPackFrame *frame, guint32 slot, GError **error)
{
  guint32 size;
  const guint8 *item = self->plain + pv_pack_frame_slot (frame, slot, &size);
  PvName found;

  if (frame->kind == PV_FRAME_KIND_NODES)
    return verify_node (self, item, size, &frame->names[slot], error);
  pv_namer_chunk (self->namer, item, &found);
  return pv_name_equal (&found, &frame->names[slot]) || pv_corrupt (error, "chunk that does not match its name");
}

/* TRUE when the bytes of @frame are those that were written and, with a namer, decode. */
static gboolean
verify_bytes (Verifier *self, guint32 number, const PvPackFrame *frame, GError **error)
{
  const guint8 *stored = pv_frame_codec_buffer (self->codec);
  PvFrameInfo info;
  PvSeal seal;

  if (!fetch (self->reader, self->codec, frame, error))
    return FALSE;
  if (self->namer == NULL ? !pv_frame_check (stored, frame->stored_size, &info, error)
                          : !pv_frame_decrypt (self->codec, pv_pack_table_seal (self->reader->table, number, &seal),
                                               stored, frame->stored_size, &info, self->plain, PV_FRAME_PLAIN_MAX,
                                               error))
    return FALSE;
  return pv_pack_frame_check (frame, &info, error);
}

static void
verify_frame (Verifier *self, guint32 number, const PvPackFrame *frame)
{
  g_autoptr(GError) frame_error = NULL;
  gboolean readable = verify_bytes (self, number, frame, &frame_error);

  for (guint32 slot = 0; slot < frame->n_slots; slot++)
    {
      g_autoptr(GError) item_error = NULL;

      if (!readable)
        self->damaged (&frame->names[slot], number, frame_error->message, self->data);
      else if (self->namer != NULL && !verify_item (self, frame, slot, &item_error))
        self->damaged (&frame->names[slot], number, item_error->message, self->data);
    }
}

gboolean
pv_pack_reader_verify (PvPackReader *self, PvNamer *namer, PvPackBaseFunc base, PvPackDamageFunc damaged,
                       gpointer data, GError **error)
{
  g_autoptr(PvPackTable) table = NULL;
  g_autoptr(PvFrameCodec) codec = pv_frame_codec_new ();
  g_autofree guint8 *plain = g_malloc (PV_FRAME_PLAIN_MAX);
  g_autofree PvNode *node = g_new (PvNode, 1), *base_node = g_new (PvNode, 1);
  Verifier verifier = { self, codec, namer, base, damaged, data, plain, node, base_node };

  /* What the disk holds is asked for, not what memory remembers. */
  if (self->fd >= 0)
    {
      (void) posix_fadvise (self->fd, 0, 0, POSIX_FADV_DONTNEED);
      (void) posix_fadvise (self->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    }
  table = read_table (self, pv_pack_reader_name (self), error);
  if (table == NULL || (self->key != NULL && !pv_pack_table_unlock (table, self->key, error)))
    {
      g_prefix_error (error, "pack '%s': ", self->path);
      return FALSE;
    }
  for (guint32 i = 0; i < pv_pack_table_n_frames (table); i++)
    {
      PvPackFrame frame;

      if (!pv_pack_table_frame (table, i, &frame, error))
        return FALSE;
      verify_frame (&verifier, i, &frame);
    }
  return TRUE;
}
