/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/object-reader.h"

#include <fcntl.h>
#include <string.h>

#include "pack/pack-reader.h"
#include "store/cache.h"
#include "util/error.h"
#include "util/file.h"

enum
{
  FRAMES_LIMIT = 64 << 20, /* bytes of decoded frames */
  NODES_LIMIT = 2048,      /* expanded nodes of 16 KiB */
  TABLES_LIMIT = 64 << 20, /* bytes of tables of packs */
  TABLE_COST_OBJECT = 40,  /* bytes, about, of an object in a table */
  DELTAS_MAX = 8,          /* nodes stored one against the other; writers make one */
  LOOKUPS_MAX = 8,         /* times that a pack may vanish under a reader */
  HINT_SLOTS = 4,          /* slots behind the last one that are tried before the index */
  AHEAD = 2 << 20,         /* bytes that the kernel is asked for before they are wanted */
  AHEAD_STEP = 1 << 20,    /* bytes after which it is asked again */
};

/* What decoding takes: made as needed, kept for the next. */
typedef struct
{
  PvFrameCodec *codec;
  PvNamer *namer;
} Context;

struct _PvCachedFrame
{
  gint ref_count;     /* atomic */
  PvPackTable *table; /* (owned): names and sizes are its */
  guint32 number;     /* in the pack */
  PvFrameKind kind;
  guint32 n_slots;
  const PvName *names;
  const guint32 *sizes; /* (nullable) */
  gint *checked;        /* n_slots; atomic: 1 = the bytes have their name */
  guint8 *plain;
  gsize plain_size;
};

struct _PvObjectReader
{
  PvIndex *index;     /* (owned) */
  PvStoreKey *key;    /* (owned) (nullable) */
  char *packs;
  PvCache *frames;    /* of PvCachedFrame by pack number and frame number */
  PvCache *nodes;     /* of PvNodeRef by name */
  PvCache *tables;    /* of PvPackTable by pack number */
  guint64 next_frame;  /* atomic: pack << 32 | frame behind the one read last */
  const PvPackFetch *fetch; /* (nullable) */
  gpointer fetch_data;
  GPtrArray *fallbacks; /* of PvObjectReader (not owned) */
  GMutex lock;
  GPtrArray *contexts; /* of Context, idle; under lock */
};

static void
context_free (gpointer data)
{
  Context *context = data;

  pv_frame_codec_free (context->codec);
  pv_namer_free (context->namer);
  g_free (context);
}

static Context *
context_take (PvObjectReader *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Context *context;

  if (self->contexts->len > 0)
    return g_ptr_array_steal_index_fast (self->contexts, self->contexts->len - 1);
  context = g_new (Context, 1);
  context->codec = pv_frame_codec_new ();
  context->namer = pv_namer_new (pv_store_key_for_names (self->key));
  return context;
}

static void
context_give (PvObjectReader *self, Context *context)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_ptr_array_add (self->contexts, context);
}

static PvCachedFrame *
frame_ref (PvCachedFrame *frame)
{
  g_atomic_int_inc (&frame->ref_count);
  return frame;
}

static void
frame_unref (PvCachedFrame *frame)
{
  if (!g_atomic_int_dec_and_test (&frame->ref_count))
    return;
  pv_pack_table_unref (frame->table);
  g_free (frame->checked);
  g_free (frame->plain);
  g_free (frame);
}

void
pv_object_clear (PvObject *object)
{
  g_clear_pointer (&object->frame, frame_unref);
}

PvNodeRef *
pv_node_ref (PvNodeRef *self)
{
  g_atomic_int_inc (&self->ref_count);
  return self;
}

void
pv_node_unref (PvNodeRef *self)
{
  if (self != NULL && g_atomic_int_dec_and_test (&self->ref_count))
    g_free (self);
}

PvObjectReader *
pv_object_reader_new (PvIndex *index, const char *packs, PvStoreKey *key)
{
  PvObjectReader *self = g_new0 (PvObjectReader, 1);

  self->index = pv_index_ref (index);
  self->packs = g_strdup (packs);
  self->key = key != NULL ? pv_store_key_ref (key) : NULL;
  self->frames = pv_cache_new (sizeof (guint64), FRAMES_LIMIT, (PvCacheRefFunc) frame_ref,
                               (GDestroyNotify) frame_unref);
  self->nodes = pv_cache_new (sizeof (PvName), NODES_LIMIT, (PvCacheRefFunc) pv_node_ref,
                              (GDestroyNotify) pv_node_unref);
  self->tables = pv_cache_new (sizeof (guint32), TABLES_LIMIT, (PvCacheRefFunc) pv_pack_table_ref,
                               (GDestroyNotify) pv_pack_table_unref);
  g_mutex_init (&self->lock);
  self->contexts = g_ptr_array_new_with_free_func (context_free);
  self->fallbacks = g_ptr_array_new ();
  return self;
}

void
pv_object_reader_set_fetch (PvObjectReader *self, const PvPackFetch *fetch, gpointer data)
{
  self->fetch = fetch;
  self->fetch_data = data;
}

void
pv_object_reader_add_fallback (PvObjectReader *self, PvObjectReader *other)
{
  g_ptr_array_add (self->fallbacks, other);
}

void
pv_object_reader_free (PvObjectReader *self)
{
  if (self == NULL)
    return;
  pv_cache_free (self->frames);
  pv_cache_free (self->nodes);
  pv_cache_free (self->tables);
  g_ptr_array_unref (self->contexts);
  g_ptr_array_unref (self->fallbacks);
  g_mutex_clear (&self->lock);
  pv_index_unref (self->index);
  pv_store_key_unref (self->key);
  g_free (self->packs);
  g_free (self);
}

/* --- packs and frames --------------------------------------------------------------------------------------------- */

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
decode_stored (PvPackTable *table, guint32 number, const PvPackFrame *frame, Context *context, guint8 *plain,
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
              Context *context, guint8 *plain, GError **error)
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
      Context *context = context_take (self);
      g_autofree guint8 *plain = g_malloc (MAX (entry.plain_size, 1));

      if (decode_frame (self, table, number, &entry, in_order, context, plain, &why))
        frame = frame_new (table, number, &entry, g_steal_pointer (&plain));
      context_give (self, context);
    }
  if (frame == NULL)
    {
      g_prefix_error (&why, "frame %u: ", number);
      fail_for_pack (self, pack, pv_pack_table_name (table), g_steal_pointer (&why), error);
    }
  return frame;
}

/* The frame at @location. NULL without error when its pack is gone. */
static PvCachedFrame *
frame_get (PvObjectReader *self, const PvLocation *location, GError **error)
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

static gboolean
throw_missing (const PvName *name, GError **error)
{
  g_autofree char *hex = pv_name_to_hex (name);

  return pv_throw (error, PV_ERROR_NOT_FOUND, "object %.16s… is not in the store: run 'pagevault verify'", hex);
}

/* The pack's own table says that @object is called @name. */
static gboolean
object_is (const PvObject *object, const PvName *name, GError **error)
{
  return (object->slot < object->frame->n_slots && pv_name_equal (&object->frame->names[object->slot], name))
         || pv_corrupt (error, "the index is wrong about an object: run 'pagevault verify --rebuild-index'");
}

/* Finds @name through the index, again when its pack vanishes. */
static gboolean
object_find (PvObjectReader *self, const PvName *name, PvObject *object, GError **error)
{
  for (guint i = 0; i < LOOKUPS_MAX; i++)
    {
      g_autoptr(GError) why = NULL;
      PvLocation location;
      PvCachedFrame *frame;

      if (!pv_index_lookup (self->index, name, &location, NULL, &why))
        {
          if (why != NULL)
            return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
          break;
        }
      frame = frame_get (self, &location, &why);
      if (frame == NULL && why != NULL)
        return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
      if (frame == NULL)
        continue;
      pv_object_clear (object);
      object->frame = frame;
      object->slot = location.slot;
      return object_is (object, name, error);
    }
  return throw_missing (name, error);
}

/* Of two errors the one that tells more: @error (inout), unless it only says that the object is not there. */
static void
keep_error (GError **error, GError **why)
{
  if (*why == NULL || !g_error_matches (*error, PV_ERROR, PV_ERROR_NOT_FOUND))
    return;
  g_clear_error (error);
  g_propagate_error (error, g_steal_pointer (why));
}

/* --- chunks ------------------------------------------------------------------------------------------------------- */

static gboolean
check_chunk (PvObjectReader *self, const PvObject *object, const guint8 *data, GError **error)
{
  Context *context = context_take (self);
  g_autofree char *hex = NULL;
  PvName name;

  pv_namer_chunk (context->namer, data, &name);
  context_give (self, context);
  if (pv_name_equal (&name, &object->frame->names[object->slot]))
    {
      g_atomic_int_set (&object->frame->checked[object->slot], 1);
      return TRUE;
    }
  hex = pv_name_to_hex (pv_pack_table_name (object->frame->table));
  return pv_corrupt (error, "pack %.16s…: frame %u: slot %u is not what its name says: run 'pagevault verify'", hex,
                     object->frame->number, object->slot);
}

static gboolean
hint_matches (const PvName *name, PvObject *object)
{
  const PvCachedFrame *frame = object->frame;

  for (guint i = object->slot; frame != NULL && i < frame->n_slots && i <= object->slot + HINT_SLOTS; i++)
    if (pv_name_equal (&frame->names[i], name))
      {
        object->slot = i;
        return TRUE;
      }
  return FALSE;
}

/* The bytes of the chunk that @object is, checked. */
static const guint8 *
chunk_data (PvObjectReader *self, const PvObject *object, GError **error)
{
  const guint8 *data;

  if (object->frame->kind != PV_FRAME_KIND_CHUNKS
      || (gsize) (object->slot + 1) * PV_CHUNK_SIZE > object->frame->plain_size)
    {
      pv_corrupt (error, "an object named as a chunk is none: run 'pagevault verify'");
      return NULL;
    }
  data = object->frame->plain + (gsize) object->slot * PV_CHUNK_SIZE;
  if (!g_atomic_int_get (&object->frame->checked[object->slot]) && !check_chunk (self, object, data, error))
    return NULL;
  return data;
}

/* When the copy that the index named first is damaged: any other one. */
static const guint8 *
chunk_from_copies (PvObjectReader *self, const PvName *name, PvObject *object)
{
  g_autoptr(GArray) copies = pv_index_copies (self->index, name, NULL);

  for (guint i = 0; copies != NULL && i < copies->len; i++)
    {
      const PvLocation *location = &g_array_index (copies, PvIndexCopy, i).location;
      const guint8 *data;

      pv_object_clear (object);
      object->frame = frame_get (self, location, NULL);
      object->slot = location->slot;
      if (object->frame != NULL && object_is (object, name, NULL)
          && (data = chunk_data (self, object, NULL)) != NULL)
        return data;
    }
  return NULL;
}

/* What @other says is told, unless it does not have the object either: it was the last hope. */
static const guint8 *
chunk_from_fallback (PvObjectReader *other, const PvName *name, PvObject *object, GError **error)
{
  g_autoptr(GError) why = NULL;
  const guint8 *data = pv_object_reader_chunk (other, name, object, &why);

  if (data == NULL)
    keep_error (error, &why);
  return data;
}

const guint8 *
pv_object_reader_chunk (PvObjectReader *self, const PvName *name, PvObject *object, GError **error)
{
  g_autoptr(GError) why = NULL;
  const guint8 *data = NULL;

  if (hint_matches (name, object) || object_find (self, name, object, &why))
    data = chunk_data (self, object, &why);
  if (data == NULL)
    data = chunk_from_copies (self, name, object);
  for (guint i = 0; data == NULL && i < self->fallbacks->len; i++)
    data = chunk_from_fallback (self->fallbacks->pdata[i], name, object, &why);
  if (data == NULL)
    g_propagate_error (error, g_steal_pointer (&why));
  return data;
}

const guint8 *
pv_object_reader_near (PvObjectReader *self, const PvName *name, PvObject *object)
{
  const PvCachedFrame *frame = object->frame;

  for (guint i = 0; frame != NULL && i < frame->n_slots; i++)
    if (pv_name_equal (&frame->names[i], name))
      {
        object->slot = i;
        return chunk_data (self, object, NULL);
      }
  return NULL;
}

/* --- nodes -------------------------------------------------------------------------------------------------------- */

/* The stored bytes of the node that @object is. */
static gboolean
node_item (const PvObject *object, const guint8 **data, gsize *size, GError **error)
{
  const PvCachedFrame *frame = object->frame;
  gsize offset = 0;

  if (frame->kind != PV_FRAME_KIND_NODES || frame->sizes == NULL)
    return pv_corrupt (error, "an object named as a node is none");
  for (guint i = 0; i < object->slot; i++)
    offset += frame->sizes[i];
  if (offset > frame->plain_size || frame->sizes[object->slot] > frame->plain_size - offset)
    return pv_corrupt (error, "a node reaches beyond its frame");
  *data = frame->plain + offset;
  *size = frame->sizes[object->slot];
  return TRUE;
}

static PvNodeRef *node_expand (PvObjectReader *self, const PvName *name, gboolean live_only, GArray *used, guint depth,
                               GError **error);

/* The node that a DELTA builds on. */
static PvNodeRef *
node_base (PvObjectReader *self, const PvName *name, gboolean live_only, GArray *used, guint depth, GError **error)
{
  PvNodeRef *base = used == NULL ? pv_cache_get (self->nodes, name) : NULL;

  if (base != NULL)
    return base;
  if (depth >= DELTAS_MAX)
    {
      pv_corrupt (error, "more than %d deltas on top of each other", DELTAS_MAX);
      return NULL;
    }
  return node_expand (self, name, live_only, used, depth + 1, error);
}

/* Expands the copy of node @name that @object is. The name is checked. */
static PvNodeRef *
node_decode (PvObjectReader *self, const PvName *name, const PvObject *object, gboolean live_only, GArray *used,
             guint depth, GError **error)
{
  g_autoptr(PvNodeRef) base = NULL;
  g_autoptr(PvNodeRef) result = NULL;
  Context *context;
  PvNodeHead head;
  const guint8 *data = NULL;
  gsize size = 0;
  PvName found;

  if (!node_item (object, &data, &size, error) || !pv_node_peek (data, size, &head, error))
    return NULL;
  if (head.delta && (base = node_base (self, &head.base, live_only, used, depth, error)) == NULL)
    return NULL;
  result = g_new0 (PvNodeRef, 1);
  result->ref_count = 1;
  result->base = head.base;
  if (!pv_node_decode (data, size, base != NULL ? &base->node : NULL, &result->node, error))
    return NULL;
  context = context_take (self);
  pv_namer_node (context->namer, result->node.level, result->node.entries, result->node.n_entries, &found);
  context_give (self, context);
  if (!pv_name_equal (&found, name))
    {
      pv_corrupt (error, "a node is not what its name says");
      return NULL;
    }
  return g_steal_pointer (&result);
}

/* Tries one copy. NULL without error: its pack is gone. */
static PvNodeRef *
node_try (PvObjectReader *self, const PvName *name, const PvIndexCopy *copy, gboolean live_only, GArray *used,
          guint depth, GError **error)
{
  g_auto(PvObject) object = { .frame = frame_get (self, &copy->location, error), .slot = copy->location.slot };
  PvNodeRef *result;
  guint n_used = used != NULL ? used->len : 0;

  if (object.frame == NULL || !object_is (&object, name, error))
    return NULL;
  if (used != NULL)
    g_array_append_val (used, copy->location);
  result = node_decode (self, name, &object, live_only, used, depth, error);
  if (result == NULL && used != NULL)
    g_array_set_size (used, n_used);
  return result;
}

static PvNodeRef *
node_expand (PvObjectReader *self, const PvName *name, gboolean live_only, GArray *used, guint depth, GError **error)
{
  for (guint attempt = 0; attempt < LOOKUPS_MAX; attempt++)
    {
      g_autoptr(GArray) copies = pv_index_copies (self->index, name, error);
      g_autoptr(GError) first = NULL;
      gboolean vanished = FALSE;

      if (copies == NULL)
        return NULL;
      for (guint i = 0; i < copies->len; i++)
        {
          const PvIndexCopy *copy = &g_array_index (copies, PvIndexCopy, i);
          g_autoptr(GError) why = NULL;
          PvNodeRef *result;

          if (live_only && copy->state != PV_PACK_LIVE)
            continue;
          result = node_try (self, name, copy, live_only, used, depth, &why);
          if (result != NULL)
            {
              pv_cache_put (self->nodes, name, result, 1);
              return result;
            }
          vanished = vanished || why == NULL;
          if (first == NULL)
            first = g_steal_pointer (&why);
        }
      if (vanished)
        continue;
      if (first != NULL)
        g_propagate_error (error, g_steal_pointer (&first));
      else
        throw_missing (name, error);
      return NULL;
    }
  throw_missing (name, error);
  return NULL;
}

PvNodeRef *
pv_object_reader_locate_node (PvObjectReader *self, const PvName *name, gboolean live_only, GArray *used,
                              GError **error)
{
  PvNodeRef *result = node_expand (self, name, live_only, used, 0, error);

  if (result == NULL)
    {
      g_autofree char *hex = pv_name_to_hex (name);

      g_prefix_error (error, "node %.16s…: ", hex);
    }
  return result;
}

PvNodeRef *
pv_object_reader_node (PvObjectReader *self, const PvName *name, guint level, guint n_entries, GError **error)
{
  g_autoptr(PvNodeRef) result = pv_cache_get (self->nodes, name);
  g_autoptr(GError) why = NULL;

  if (result == NULL)
    result = pv_object_reader_locate_node (self, name, FALSE, NULL, &why);
  for (guint i = 0; result == NULL && i < self->fallbacks->len; i++)
    {
      g_autoptr(GError) other = NULL;

      result = pv_object_reader_node (self->fallbacks->pdata[i], name, level, n_entries, &other);
      keep_error (&why, &other);
    }
  if (result == NULL)
    {
      g_propagate_error (error, g_steal_pointer (&why));
      return NULL;
    }
  if (result->node.level != level || result->node.n_entries != n_entries)
    {
      g_autofree char *hex = pv_name_to_hex (name);

      pv_corrupt (error, "node %.16s… has level %u and %u entries instead of %u and %u", hex, result->node.level,
                  result->node.n_entries, level, n_entries);
      return NULL;
    }
  return g_steal_pointer (&result);
}
