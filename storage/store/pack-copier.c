/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/pack-copier.h"

#include <string.h>

#include "pack/pack-reader.h"
#include "store/pack-sink.h"
#include "store/publish.h"
#include "util/error.h"
#include "util/fault.h"

/* Objects of one kind on their way into a frame. */
typedef struct
{
  PvFrameKind kind;
  GByteArray *plain;
  GArray *names; /* of PvName */
  GArray *sizes; /* of guint32 */
} Gathering;

struct _PvPackCopier
{
  PvStore *store;
  PvStoreScratch *scratch;
  PvIndexWriter *index;
  PvPackSink *sink;
  PvFrameCodec *codec;
  PvNamer *namer;
  guint8 *plain; /* PV_FRAME_PLAIN_MAX */
  GByteArray *encoded;
  Gathering chunks;
  Gathering nodes;
};

static void
gathering_init (Gathering *self, PvFrameKind kind)
{
  self->kind = kind;
  self->plain = g_byte_array_new ();
  self->names = g_array_new (FALSE, FALSE, sizeof (PvName));
  self->sizes = g_array_new (FALSE, FALSE, sizeof (guint32));
}

static void
gathering_clear (Gathering *self)
{
  g_byte_array_unref (self->plain);
  g_array_unref (self->names);
  g_array_unref (self->sizes);
}

PvPackCopier *
pv_pack_copier_new (PvStore *store, PvStoreScratch *scratch, GError **error)
{
  g_autoptr(PvPackCopier) self = g_new0 (PvPackCopier, 1);

  self->store = store;
  self->scratch = scratch;
  self->codec = pv_frame_codec_new ();
  self->namer = pv_namer_new (pv_store_key_for_names (store->key));
  self->plain = g_malloc (PV_FRAME_PLAIN_MAX);
  self->encoded = g_byte_array_new ();
  gathering_init (&self->chunks, PV_FRAME_KIND_CHUNKS);
  gathering_init (&self->nodes, PV_FRAME_KIND_NODES);
  self->index = pv_index_writer_begin (store->index, pv_store_scratch_lock_path (scratch), error);
  if (self->index == NULL)
    return NULL;
  self->sink = pv_pack_sink_new (pv_store_scratch_path (scratch), store->key, self->index, NULL, error);
  return self->sink != NULL ? g_steal_pointer (&self) : NULL;
}

void
pv_pack_copier_free (PvPackCopier *self)
{
  if (self == NULL)
    return;
  pv_pack_sink_free (self->sink);
  pv_index_writer_free (self->index);
  pv_frame_codec_free (self->codec);
  pv_namer_free (self->namer);
  g_free (self->plain);
  g_byte_array_unref (self->encoded);
  gathering_clear (&self->chunks);
  gathering_clear (&self->nodes);
  g_free (self);
}

static gboolean
write_frame (PvPackCopier *self, Gathering *from, GError **error)
{
  const guint32 *sizes = from->kind == PV_FRAME_KIND_NODES ? (const guint32 *) from->sizes->data : NULL;
  guint n = from->names->len;

  if (n == 0)
    return TRUE;
  g_byte_array_set_size (self->encoded, 0);
  if (!pv_frame_encode (self->codec, from->kind, n, from->plain->data, from->plain->len, self->encoded, error)
      || !pv_pack_sink_append (self->sink, self->encoded->data, self->encoded->len, (const PvName *) from->names->data,
                               sizes, n, error))
    return FALSE;
  g_byte_array_set_size (from->plain, 0);
  g_array_set_size (from->names, 0);
  g_array_set_size (from->sizes, 0);
  return TRUE;
}

static gboolean
add_object (PvPackCopier *self, const PvPackFrame *frame, guint slot, GError **error)
{
  Gathering *to = frame->kind == PV_FRAME_KIND_NODES ? &self->nodes : &self->chunks;
  guint max = frame->kind == PV_FRAME_KIND_NODES ? 256 : PV_FRAME_CHUNKS;
  guint32 size;
  guint32 offset = pv_pack_frame_slot (frame, slot, &size);

  if (frame->kind == PV_FRAME_KIND_CHUNKS)
    {
      PvName name;

      pv_namer_chunk (self->namer, self->plain + offset, &name);
      if (!pv_name_equal (&name, &frame->names[slot]))
        return pv_corrupt (error, "slot %u is not what its name says: run 'pagevault verify'", slot);
    }
  if (to->plain->len + size > PV_FRAME_PLAIN_MAX && !write_frame (self, to, error))
    return FALSE;
  g_byte_array_append (to->plain, self->plain + offset, size);
  g_array_append_val (to->names, frame->names[slot]);
  g_array_append_val (to->sizes, size);
  return to->names->len < max || write_frame (self, to, error);
}

/* Copies the chosen objects of frame @at->frame of @pack. */
static gboolean
add_frame (PvPackCopier *self, PvPackReader *pack, PvLocation *at, PvPackCopierChoose choose, gpointer data,
           GError **error)
{
  PvPackFrame frame;
  PvFrameInfo info;
  gboolean read = FALSE;

  if (!pv_pack_reader_frame (pack, at->frame, &frame, error))
    return FALSE;
  for (at->slot = 0; at->slot < frame.n_slots; at->slot++)
    {
      if (!choose (at, data))
        continue;
      if (!read && !pv_pack_reader_read (pack, self->codec, at->frame, self->plain, &info, error))
        return FALSE;
      read = TRUE;
      if (!add_object (self, &frame, at->slot, error))
        return FALSE;
    }
  return TRUE;
}

gboolean
pv_pack_copier_add_chosen (PvPackCopier *self, guint32 number, PvPackCopierChoose choose, gpointer data, GError **error)
{
  g_autofree char *path = NULL;
  g_autoptr(PvPackReader) pack = NULL;
  g_autoptr(GError) why = NULL;
  PvLocation at = { .pack = number };
  PvPackRow row;

  if (!pv_index_pack (self->store->index, number, &row, &why))
    {
      if (why == NULL)
        pv_throw (&why, PV_ERROR_NOT_FOUND, "pack number %u is gone: is another gc at work?", number);
      g_propagate_error (error, g_steal_pointer (&why));
      return FALSE;
    }
  path = pv_store_pack_path (self->store, &row.name);
  pack = pv_pack_reader_open (path, &row.name, error);
  if (pack != NULL && !pv_pack_reader_unlock (pack, self->store->key, error))
    return FALSE;
  for (at.frame = 0; pack != NULL && at.frame < pv_pack_reader_n_frames (pack); at.frame++)
    if (!add_frame (self, pack, &at, choose, data, error))
      return FALSE;
  return pack != NULL;
}

static gboolean
is_marked (const PvLocation *location, gpointer data)
{
  return pv_marks_contains (data, location);
}

gboolean
pv_pack_copier_add (PvPackCopier *self, guint32 number, PvMarks *marks, GError **error)
{
  return pv_pack_copier_add_chosen (self, number, is_marked, marks, error);
}

GArray *
pv_pack_copier_finish (PvPackCopier *self, GError **error)
{
  if (!write_frame (self, &self->chunks, error) || !write_frame (self, &self->nodes, error)
      || !pv_pack_sink_finish (self->sink, error))
    return NULL;
  return pv_pack_sink_packs (self->sink);
}

GArray *
pv_pack_copier_packs (PvPackCopier *self)
{
  return pv_pack_sink_packs (self->sink);
}

gboolean
pv_pack_copier_commit (PvPackCopier *self, guint64 *size, GError **error)
{
  if (pv_pack_copier_finish (self, error) == NULL)
    return FALSE;
  *size = pv_pack_sink_size (self->sink);
  return pv_publish_packs (self->store, self->scratch, pv_pack_sink_packs (self->sink), NULL, &self->index, error);
}
