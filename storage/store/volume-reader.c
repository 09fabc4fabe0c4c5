/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/volume-reader.h"

#include <string.h>

#include "store/store-private.h"
#include "store/tree.h"
#include "util/error.h"

struct _PvVolumeReader
{
  PvStore *store; /* (owned) */
  char *name;
  guint64 size;
  PvTree tree;
};

PvVolumeReader *
pv_volume_reader_new (PvStore *store, const PvVolume *volume, GError **error)
{
  PvVolumeReader *self;

  if (volume->size > PV_VOLUME_SIZE_MAX)
    {
      pv_corrupt (error, "volume '%s' is larger than 64 TiB", volume->name);
      return NULL;
    }
  self = g_new0 (PvVolumeReader, 1);
  self->store = pv_store_ref (store);
  self->name = g_strdup (volume->name);
  self->size = volume->size;
  pv_tree_init (&self->tree, volume->size, &volume->root);
  return self;
}

void
pv_volume_reader_free (PvVolumeReader *self)
{
  if (self == NULL)
    return;
  pv_store_unref (self->store);
  g_free (self->name);
  g_free (self);
}

guint64
pv_volume_reader_size (const PvVolumeReader *self)
{
  return self->size;
}

/* Adds the volume to the error. Always FALSE. */
static gboolean
fail (PvVolumeReader *self, GError **error)
{
  g_prefix_error (error, "volume '%s': ", self->name);
  return FALSE;
}

static gboolean
check_range (PvVolumeReader *self, guint64 offset, guint64 size, GError **error)
{
  return (size <= self->size && offset <= self->size - size)
         || pv_throw (error, PV_ERROR_INVALID,
                      "volume '%s' of %" G_GUINT64_FORMAT " bytes: %" G_GUINT64_FORMAT " bytes at %" G_GUINT64_FORMAT
                      " are outside of it",
                      self->name, self->size, size, offset);
}

/* Reads what of @offset, @size lies in one leaf. @leaf: (nullable): NULL is a hole. */
static gboolean
read_from_leaf (PvVolumeReader *self, const PvNodeRef *leaf, guint64 offset, gsize size, guint8 *data, PvObject *object,
                GError **error)
{
  while (size > 0)
    {
      gsize within = offset % PV_CHUNK_SIZE;
      gsize now = MIN (size, PV_CHUNK_SIZE - within);
      const PvName *name = leaf != NULL ? &leaf->node.entries[offset / PV_CHUNK_SIZE % PV_NODE_FANOUT] : NULL;

      if (name == NULL || pv_name_is_zero (name))
        memset (data, 0, now);
      else
        {
          const guint8 *chunk = pv_object_reader_chunk (self->store->reader, name, object, error);

          if (chunk == NULL)
            return FALSE;
          memcpy (data, chunk + within, now);
        }
      offset += now;
      data += now;
      size -= now;
    }
  return TRUE;
}

gboolean
pv_volume_reader_read (PvVolumeReader *self, guint64 offset, gsize size, guint8 *data, GError **error)
{
  const guint64 leaf_bytes = (guint64) PV_NODE_FANOUT * PV_CHUNK_SIZE;
  g_auto(PvObject) object = { 0 };

  if (!check_range (self, offset, size, error))
    return FALSE;
  while (size > 0)
    {
      gsize now = (gsize) MIN (size, leaf_bytes - offset % leaf_bytes);
      g_autoptr(PvNodeRef) leaf = NULL;

      if (!pv_tree_node (&self->tree, self->store->reader, 0, offset / leaf_bytes, &leaf, error)
          || !read_from_leaf (self, leaf, offset, now, data, &object, error))
        return fail (self, error);
      offset += now;
      data += now;
      size -= now;
    }
  return TRUE;
}

/* @name: (out): of chunk number @chunk; zero: a hole. */
static gboolean
name_of (PvVolumeReader *self, guint64 chunk, PvName *name, GError **error)
{
  g_autoptr(PvNodeRef) leaf = NULL;

  if (chunk >= self->tree.n_chunks)
    return pv_throw (error, PV_ERROR_INVALID, "volume '%s' has fewer chunks", self->name);
  if (!pv_tree_node (&self->tree, self->store->reader, 0, chunk / PV_NODE_FANOUT, &leaf, error))
    return fail (self, error);
  if (leaf != NULL)
    *name = leaf->node.entries[chunk % PV_NODE_FANOUT];
  else
    memset (name, 0, sizeof *name);
  return TRUE;
}

gboolean
pv_volume_reader_chunk (PvVolumeReader *self, guint64 chunk, PvObject *place, guint8 *data, gboolean *zero,
                        GError **error)
{
  const guint8 *bytes;
  PvName name;

  if (!name_of (self, chunk, &name, error))
    return FALSE;
  *zero = pv_name_is_zero (&name);
  if (*zero)
    return TRUE;
  bytes = pv_object_reader_chunk (self->store->reader, &name, place, error);
  if (bytes == NULL)
    return fail (self, error);
  memcpy (data, bytes, PV_CHUNK_SIZE);
  return TRUE;
}

gboolean
pv_volume_reader_chunk_near (PvVolumeReader *self, guint64 chunk, PvObject *place, guint8 *data)
{
  const guint8 *bytes;
  PvName name;

  if (!name_of (self, chunk, &name, NULL) || pv_name_is_zero (&name))
    return FALSE;
  bytes = pv_object_reader_near (self->store->reader, &name, place);
  if (bytes != NULL)
    memcpy (data, bytes, PV_CHUNK_SIZE);
  return bytes != NULL;
}

/* Chunks from @chunk on that are all holes, or all not, as far as one node tells: @n, and which. */
static gboolean
look_at_extent (PvVolumeReader *self, guint64 chunk, guint64 *n, gboolean *zero, GError **error)
{
  guint64 span = 1; /* chunks that an entry of a node of the level stands for */
  guint level = self->tree.level;

  for (guint i = 0; i < level; i++)
    span *= PV_NODE_FANOUT;
  for (;; level--, span /= PV_NODE_FANOUT)
    {
      guint64 index = chunk / span / PV_NODE_FANOUT;
      guint slot = (guint) (chunk / span % PV_NODE_FANOUT);
      g_autoptr(PvNodeRef) node = NULL;

      if (!pv_tree_node (&self->tree, self->store->reader, level, index, &node, error))
        return FALSE;
      if (node == NULL || pv_name_is_zero (&node->node.entries[slot]) || level == 0)
        {
          guint end = slot + 1;

          *zero = node == NULL || pv_name_is_zero (&node->node.entries[slot]);
          if (node == NULL)
            end = PV_NODE_FANOUT;
          while (node != NULL && end < node->node.n_entries
                 && pv_name_is_zero (&node->node.entries[end]) == *zero)
            end++;
          *n = (index * PV_NODE_FANOUT + end) * span - chunk;
          return TRUE;
        }
    }
}

gboolean
pv_volume_reader_extent (PvVolumeReader *self, guint64 offset, guint64 *length, gboolean *zero, GError **error)
{
  guint64 chunk = offset / PV_CHUNK_SIZE;
  guint64 end;
  guint64 n;

  if (offset >= self->size)
    return pv_throw (error, PV_ERROR_INVALID, "volume '%s' ends before %" G_GUINT64_FORMAT, self->name, offset);
  if (!look_at_extent (self, chunk, &n, zero, error))
    return fail (self, error);
  end = chunk + n;
  while (end < self->tree.n_chunks)
    {
      gboolean also;

      if (!look_at_extent (self, end, &n, &also, error))
        return fail (self, error);
      if (also != *zero)
        break;
      end += n;
      if (!*zero && end - chunk >= PV_NODE_FANOUT)
        break; /* data: long enough to be worth a read */
    }
  *length = MIN (end * PV_CHUNK_SIZE, self->size) - offset;
  return TRUE;
}

gboolean
pv_volume_reader_names (PvVolumeReader *self, guint64 first, guint n, PvName *names, GError **error)
{
  if (n > self->tree.n_chunks || first > self->tree.n_chunks - n)
    return pv_throw (error, PV_ERROR_INVALID, "volume '%s' has fewer chunks", self->name);
  for (guint done = 0; done < n;)
    {
      guint64 chunk = first + done;
      guint slot = (guint) (chunk % PV_NODE_FANOUT);
      guint now = MIN (n - done, PV_NODE_FANOUT - slot);
      g_autoptr(PvNodeRef) leaf = NULL;

      if (!pv_tree_node (&self->tree, self->store->reader, 0, chunk / PV_NODE_FANOUT, &leaf, error))
        return fail (self, error);
      if (leaf != NULL)
        memcpy (names + done, leaf->node.entries + slot, now * sizeof (PvName));
      else
        memset (names + done, 0, now * sizeof (PvName));
      done += now;
    }
  return TRUE;
}

GBytes *
pv_volume_reader_read_all (PvVolumeReader *self, gsize max, GError **error)
{
  g_autofree guint8 *data = NULL;

  if (self->size > max)
    {
      pv_throw (error, PV_ERROR_INVALID, "volume '%s' has %" G_GUINT64_FORMAT " bytes, more than %" G_GSIZE_FORMAT,
                self->name, self->size, max);
      return NULL;
    }
  data = g_malloc (MAX (self->size, 1));
  if (!pv_volume_reader_read (self, 0, (gsize) self->size, data, error))
    return NULL;
  return g_bytes_new_take (g_steal_pointer (&data), (gsize) self->size);
}
