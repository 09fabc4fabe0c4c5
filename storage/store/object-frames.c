/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Packs and their frames: read, decoded, kept. */
#include "config.h"

#include "store/object-reader-private.h"

#include <fcntl.h>
#include <string.h>

#include "store/plain-buffer.h"
#include "util/error.h"
#include "util/file.h"

enum
{
  TABLE_COST_OBJECT = 40, /* bytes, about, of an object in a table */
  AHEAD = 2 << 20,        /* bytes that the kernel is asked for before they are wanted */
  AHEAD_STEP = 1 << 20,   /* bytes after which it is asked again */
};

PvCachedFrame *
pv_cached_frame_ref (PvCachedFrame *frame)
{
  g_atomic_int_inc (&frame->ref_count);
  return frame;
}

void
pv_cached_frame_unref (PvCachedFrame *frame)
{
  if (!g_atomic_int_dec_and_test (&frame->ref_count))
    return;
  pv_pack_table_unref (frame->table);
  g_free (frame->checked);
  pv_plain_buffer_give (frame->plain, frame->plain_size);
  g_free (frame);
}

static char *
pack_path (PvObjectReader *self, const PvName *name)
{
  g_autofree char *hex = pv_name_to_hex (name);

  return g_strdup_printf ("%s/%.2s/%s", self->packs, hex, hex);
}

/* Passes @why on with the pack named, unless the reason is that pack @number was retired meanwhile. */
static void
fail_for_pack (PvObjectReader *self, guint32 number, const PvName *name, GError *why, GError **error)
{
  g_autofree char *hex = pv_name_to_hex (name);
  PvPackRow row;

  if (g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND) && !pv_index_pack (self->index, number, &row, NULL))
    g_error_free (why);
  else
    g_propagate_prefixed_error (error, why, "pack %.16s…: ", hex);
}

/* TRUE for a pack that is no file here, and that can be fetched. */
static gboolean
is_elsewhere (PvObjectReader *self, const GError *why)
{
  return self->fetch != NULL && g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND);
}

/* (transfer full): the table of the pack that @row is. */
static PvPackTable *
read_table (PvObjectReader *self, const PvPackRow *row, GError **error)
{
  g_autofree char *path = pack_path (self, &row->name);
  g_autoptr(GError) why = NULL;
  g_autoptr(PvPackReader) pack = pv_pack_reader_open (path, &row->name, &why);

  if (pack != NULL)
    return pv_pack_reader_unlock (pack, self->key, error) ? pv_pack_table_ref (pv_pack_reader_table (pack)) : NULL;
  if (is_elsewhere (self, why))
    {
      g_autoptr(PvPackTable) table = self->fetch->table (row, self->fetch_data, error);

      return table != NULL && pv_pack_table_unlock (table, self->key, error) ? g_steal_pointer (&table) : NULL;
    }
  g_propagate_error (error, g_steal_pointer (&why));
  return NULL;
}

PvPackTable *
pv_object_reader_table (PvObjectReader *self, guint32 number, GError **error)
{
  PvPackTable *table = pv_cache_get (self->tables, &number);
  g_autoptr(GError) why = NULL;
  PvPackRow row;

  if (table != NULL)
    return table;
  if (!pv_index_pack (self->index, number, &row, &why))
    {
      if (why != NULL)
        g_propagate_error (error, g_steal_pointer (&why));
      return NULL;
    }
  table = read_table (self, &row, &why);
  if (table == NULL)
    {
      fail_for_pack (self, number, &row.name, g_steal_pointer (&why), error);
      return NULL;
    }
  pv_cache_put (self->tables, &number, table, (gsize) pv_pack_table_n_objects (table) * TABLE_COST_OBJECT);
  return table;
}

static gboolean
fetch_stored (PvObjectReader *self, PvPackTable *table, const PvPackFrame *frame, gboolean again, guint8 *buffer,
              GError **error)
{
  PvPackFrame last;

  return pv_pack_table_frame (table, pv_pack_table_n_frames (table) - 1, &last, error)
         && self->fetch->read (pv_pack_table_name (table), last.offset + last.stored_size, frame->offset,
                               frame->stored_size, buffer, again, self->fetch_data, error);
}

/* The file is opened for each frame, which costs little: a pack that gc removes shall not keep its space because some
 * process has it open. That hides from the kernel who reads a pack from its start to its end; @in_order tells it. */
static gboolean
read_stored (PvObjectReader *self, PvPackTable *table, const PvPackFrame *frame, gboolean in_order, guint8 *buffer,
             GError **error)
{
  g_autofree char *path = pack_path (self, pv_pack_table_name (table));
  g_autoptr(GError) why = NULL;
  g_auto(PvFd) fd = pv_openat (AT_FDCWD, path, O_RDONLY, 0, &why);
  guint64 end = frame->offset + frame->stored_size;

  if (fd < 0 && is_elsewhere (self, why))
    return fetch_stored (self, table, frame, FALSE, buffer, error);
  if (fd < 0)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  if (in_order && frame->offset / AHEAD_STEP != end / AHEAD_STEP)
    (void) posix_fadvise (fd, (off_t) end, AHEAD, POSIX_FADV_WILLNEED);
  return pv_pread_exact (fd, buffer, frame->stored_size, frame->offset, path, error);
}

/* Decodes what is in the codec's buffer into @plain, which has room for what the table says of the frame. */
static gboolean
decode_stored (PvPackTable *table, guint32 number, const PvPackFrame *frame, PvReaderContext *context, guint8 *plain,
               GError **error)
{
  PvFrameInfo info;
  PvSeal seal;

  return pv_frame_decrypt (context->codec, pv_pack_table_seal (table, number, &seal),
                           pv_frame_codec_buffer (context->codec), frame->stored_size, &info, plain,
                           frame->plain_size, error)
         && pv_pack_frame_check (frame, &info, error);
}

static gboolean
decode_frame (PvObjectReader *self, PvPackTable *table, guint32 number, const PvPackFrame *frame, gboolean in_order,
              PvReaderContext *context, guint8 *plain, GError **error)
{
  guint8 *buffer = pv_frame_codec_buffer (context->codec);
  g_autoptr(GError) why = NULL;

  if (!read_stored (self, table, frame, in_order, buffer, error))
    return FALSE;
  if (decode_stored (table, number, frame, context, plain, &why))
    return TRUE;
  /* What was kept of a pack elsewhere may have been damaged since. */
  if (self->fetch != NULL && g_error_matches (why, PV_ERROR, PV_ERROR_CORRUPT)
      && fetch_stored (self, table, frame, TRUE, buffer, NULL)
      && decode_stored (table, number, frame, context, plain, NULL))
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&why));
  return FALSE;
}

/* @plain: (transfer full): decoded. */
static PvCachedFrame *
frame_new (PvPackTable *table, guint32 number, const PvPackFrame *entry, guint8 *plain)
{
  PvCachedFrame *frame = g_new0 (PvCachedFrame, 1);

  frame->ref_count = 1;
  frame->table = pv_pack_table_ref (table);
  frame->number = number;
  frame->kind = entry->kind;
  frame->n_slots = entry->n_slots;
  frame->names = entry->names;
  frame->sizes = entry->sizes;
  frame->checked = g_new0 (gint, entry->n_slots);
  frame->plain = plain;
  frame->plain_size = entry->plain_size;
  return frame;
}

/* NULL without error when the pack was retired meanwhile. */
static PvCachedFrame *
frame_read (PvObjectReader *self, guint32 pack, PvPackTable *table, guint32 number, GError **error)
{
  g_autoptr(GError) why = NULL;
  PvCachedFrame *frame = NULL;
  guint64 place = (guint64) pack << 32 | number;
  gboolean in_order = __atomic_exchange_n (&self->next_frame, place + 1, __ATOMIC_RELAXED) == place;
  PvPackFrame entry;

  if (pv_pack_table_frame (table, number, &entry, &why))
    {
      PvReaderContext *context = pv_reader_context_take (self);
      guint8 *plain = pv_plain_buffer_take (entry.plain_size);

      if (decode_frame (self, table, number, &entry, in_order, context, plain, &why))
        frame = frame_new (table, number, &entry, plain);
      else
        pv_plain_buffer_give (plain, entry.plain_size);
      pv_reader_context_give (self, context);
    }
  if (frame == NULL)
    {
      g_prefix_error (&why, "frame %u: ", number);
      fail_for_pack (self, pack, pv_pack_table_name (table), g_steal_pointer (&why), error);
    }
  return frame;
}

PvCachedFrame *
pv_object_reader_frame (PvObjectReader *self, const PvLocation *location, GError **error)
{
  guint64 key = ((guint64) location->pack << 32) | location->frame;
  PvCachedFrame *frame = pv_cache_get (self->frames, &key);
  g_autoptr(PvPackTable) table = NULL;

  if (frame != NULL)
    return frame;
  table = pv_object_reader_table (self, location->pack, error);
  if (table == NULL)
    return NULL;
  frame = frame_read (self, location->pack, table, location->frame, error);
  if (frame != NULL)
    pv_cache_put (self->frames, &key, frame, frame->plain_size);
  return frame;
}
