/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/object-reader-private.h"

#include "util/error.h"

enum
{
  FRAMES_LIMIT = 64 << 20, /* bytes of decoded frames */
  NODES_LIMIT = 2048,      /* expanded nodes of 16 KiB */
  TABLES_LIMIT = 64 << 20, /* bytes of tables of packs */
  HINT_SLOTS = 4,          /* slots behind the last one that are tried before the index */
};

static void
context_free (gpointer data)
{
  PvReaderContext *context = data;

  pv_frame_codec_free (context->codec);
  pv_namer_free (context->namer);
  g_free (context);
}

PvReaderContext *
pv_reader_context_take (PvObjectReader *self)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  PvReaderContext *context;

  if (self->contexts->len > 0)
    return g_ptr_array_steal_index_fast (self->contexts, self->contexts->len - 1);
  context = g_new (PvReaderContext, 1);
  context->codec = pv_frame_codec_new ();
  context->namer = pv_namer_new (pv_store_key_for_names (self->key));
  return context;
}

void
pv_reader_context_give (PvObjectReader *self, PvReaderContext *context)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_ptr_array_add (self->contexts, context);
}

void
pv_object_clear (PvObject *object)
{
  g_clear_pointer (&object->frame, pv_cached_frame_unref);
}

PvObjectReader *
pv_object_reader_new (PvIndex *index, const char *packs, PvStoreKey *key)
{
  PvObjectReader *self = g_new0 (PvObjectReader, 1);

  self->index = pv_index_ref (index);
  self->packs = g_strdup (packs);
  self->key = key != NULL ? pv_store_key_ref (key) : NULL;
  self->frames = pv_cache_new (sizeof (guint64), FRAMES_LIMIT, (PvCacheRefFunc) pv_cached_frame_ref,
                               (GDestroyNotify) pv_cached_frame_unref);
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

gboolean
pv_object_throw_missing (const PvName *name, GError **error)
{
  g_autofree char *hex = pv_name_to_hex (name);

  return pv_throw (error, PV_ERROR_NOT_FOUND, "object %.16s… is not in the store: run 'pagevault verify'", hex);
}

gboolean
pv_object_is (const PvObject *object, const PvName *name, GError **error)
{
  return (object->slot < object->frame->n_slots && pv_name_equal (&object->frame->names[object->slot], name))
         || pv_corrupt (error, "the index is wrong about an object: run 'pagevault verify --rebuild-index'");
}

/* Finds @name through the index, again when its pack vanishes. */
static gboolean
object_find (PvObjectReader *self, const PvName *name, PvObject *object, GError **error)
{
  for (guint i = 0; i < PV_READER_LOOKUPS_MAX; i++)
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
      frame = pv_object_reader_frame (self, &location, &why);
      if (frame == NULL && why != NULL)
        return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
      if (frame == NULL)
        continue;
      pv_object_clear (object);
      object->frame = frame;
      object->slot = location.slot;
      return pv_object_is (object, name, error);
    }
  return pv_object_throw_missing (name, error);
}

void
pv_object_keep_error (GError **error, GError **why)
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
  PvReaderContext *context = pv_reader_context_take (self);
  g_autofree char *hex = NULL;
  PvName name;

  pv_namer_chunk (context->namer, data, &name);
  pv_reader_context_give (self, context);
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
      object->frame = pv_object_reader_frame (self, location, NULL);
      object->slot = location->slot;
      if (object->frame != NULL && pv_object_is (object, name, NULL)
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
    pv_object_keep_error (error, &why);
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
