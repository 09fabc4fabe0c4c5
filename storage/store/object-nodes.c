/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nodes: found in any of their copies, expanded, kept. */
#include "config.h"

#include "store/object-reader-private.h"

#include "util/error.h"

enum
{
  DELTAS_MAX = 8, /* nodes stored one against the other; writers make one */
};

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
  PvReaderContext *context;
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
  context = pv_reader_context_take (self);
  pv_namer_node (context->namer, result->node.level, result->node.entries, result->node.n_entries, &found);
  pv_reader_context_give (self, context);
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
  g_auto(PvObject) object = { pv_object_reader_frame (self, &copy->location, error), copy->location.slot };
  PvNodeRef *result;
  guint n_used = used != NULL ? used->len : 0;

  if (object.frame == NULL || !pv_object_is (&object, name, error))
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
  for (guint attempt = 0; attempt < PV_READER_LOOKUPS_MAX; attempt++)
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
        pv_object_throw_missing (name, error);
      return NULL;
    }
  pv_object_throw_missing (name, error);
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
      pv_object_keep_error (&why, &other);
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
