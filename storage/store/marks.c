/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/marks.h"

#include <string.h>

#include "store/tree.h"
#include "util/error.h"

/* The marks of one pack. */
typedef struct
{
  GArray *frames;    /* of guint32: slots 0 to 31 of each frame */
  GHashTable *beyond; /* (nullable): of frame << 8 | slot, for slots from 32 on (NODES frames) */
  guint64 count;
} PackMarks;

struct _PvMarks
{
  PvIndex *index;         /* (not owned), as the reader */
  PvObjectReader *reader;
  GHashTable *packs;      /* number -> PackMarks (owned) */
  GHashTable *walked;     /* of PvName (slices): nodes whose children are all marked */
  guint64 n_missing;
  PvMarksFunc func;       /* (nullable) */
  gpointer func_data;
  GCancellable *cancellable; /* (nullable): of the call under way */
};

static void
pack_marks_free (gpointer data)
{
  PackMarks *marks = data;

  g_array_unref (marks->frames);
  g_clear_pointer (&marks->beyond, g_hash_table_unref);
  g_free (marks);
}

static void
free_name (gpointer name)
{
  g_slice_free (PvName, name);
}

PvMarks *
pv_marks_new (PvIndex *index, PvObjectReader *reader)
{
  PvMarks *self = g_new0 (PvMarks, 1);

  self->index = index;
  self->reader = reader;
  self->packs = g_hash_table_new_full (NULL, NULL, NULL, pack_marks_free);
  self->walked = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, free_name, NULL);
  return self;
}

void
pv_marks_free (PvMarks *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->packs);
  g_hash_table_unref (self->walked);
  g_free (self);
}

void
pv_marks_set_func (PvMarks *self, PvMarksFunc func, gpointer data)
{
  self->func = func;
  self->func_data = data;
}

guint64
pv_marks_n_missing (PvMarks *self)
{
  return self->n_missing;
}

guint64
pv_marks_count (PvMarks *self, guint32 pack)
{
  const PackMarks *marks = g_hash_table_lookup (self->packs, GUINT_TO_POINTER (pack));

  return marks != NULL ? marks->count : 0;
}

static gpointer
beyond_key (const PvLocation *location)
{
  return GUINT_TO_POINTER (location->frame << 8 | location->slot);
}

gboolean
pv_marks_contains (PvMarks *self, const PvLocation *location)
{
  const PackMarks *marks = g_hash_table_lookup (self->packs, GUINT_TO_POINTER (location->pack));

  if (marks == NULL)
    return FALSE;
  if (location->slot >= 32)
    return marks->beyond != NULL && g_hash_table_contains (marks->beyond, beyond_key (location));
  return location->frame < marks->frames->len
         && (g_array_index (marks->frames, guint32, location->frame) & (1u << location->slot)) != 0;
}

/* TRUE when it was not marked before. */
static gboolean
set_mark (PvMarks *self, const PvLocation *location)
{
  PackMarks *marks = g_hash_table_lookup (self->packs, GUINT_TO_POINTER (location->pack));

  if (marks == NULL)
    {
      marks = g_new0 (PackMarks, 1);
      marks->frames = g_array_new (FALSE, TRUE, sizeof (guint32));
      g_hash_table_insert (self->packs, GUINT_TO_POINTER (location->pack), marks);
    }
  if (pv_marks_contains (self, location))
    return FALSE;
  marks->count++;
  if (location->slot >= 32)
    {
      if (marks->beyond == NULL)
        marks->beyond = g_hash_table_new (NULL, NULL);
      g_hash_table_add (marks->beyond, beyond_key (location));
      return TRUE;
    }
  if (location->frame >= marks->frames->len)
    g_array_set_size (marks->frames, location->frame + 1);
  g_array_index (marks->frames, guint32, location->frame) |= 1u << location->slot;
  return TRUE;
}

static gboolean
mark (PvMarks *self, const PvLocation *location, GError **error)
{
  return !set_mark (self, location) || self->func == NULL || self->func (location, self->func_data, error);
}

/* --- walking ------------------------------------------------------------------------------------------------------ */

/* The entries of @node whose marks are not set by virtue of @base, which was walked before. */
static guint
entries_to_walk (const PvNode *node, const PvNodeRef *base, PvName *names)
{
  guint n = 0;

  for (guint i = 0; i < node->n_entries; i++)
    if (!pv_name_is_zero (&node->entries[i])
        && (base == NULL || !pv_name_equal (&node->entries[i], &base->node.entries[i])))
      names[n++] = node->entries[i];
  return n;
}

static gboolean
mark_chunks (PvMarks *self, const PvName *names, guint n, GError **error)
{
  PvLocation locations[PV_NODE_FANOUT];
  gboolean found[PV_NODE_FANOUT];

  if (n > 0 && !pv_index_lookup_many (self->index, names, n, locations, NULL, found, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    if (!found[i])
      self->n_missing++;
    else if (!mark (self, &locations[i], error))
      return FALSE;
  return TRUE;
}

static gboolean walk (PvMarks *self, const PvTree *tree, guint level, guint64 index, const PvName *name,
                      GError **error);

static gboolean
walk_children (PvMarks *self, const PvTree *tree, const PvNode *node, guint64 index, GError **error)
{
  for (guint i = 0; i < node->n_entries; i++)
    if (!walk (self, tree, node->level - 1, index * PV_NODE_FANOUT + i, &node->entries[i], error))
      return FALSE;
  return TRUE;
}

/* The node that @node is stored against, if that was walked already. */
static PvNodeRef *
walked_base (PvMarks *self, const PvNodeRef *node)
{
  if (pv_name_is_zero (&node->base) || !g_hash_table_contains (self->walked, &node->base))
    return NULL;
  return pv_object_reader_node (self->reader, &node->base, node->node.level, node->node.n_entries, NULL);
}

/* Marks node @name, what expanding it takes, and all below it. */
static gboolean
walk (PvMarks *self, const PvTree *tree, guint level, guint64 index, const PvName *name, GError **error)
{
  g_autoptr(GArray) used = NULL;
  g_autoptr(PvNodeRef) node = NULL;
  g_autoptr(PvNodeRef) base = NULL;
  guint64 n_missing = self->n_missing;
  PvName names[PV_NODE_FANOUT];

  if (pv_name_is_zero (name) || g_hash_table_contains (self->walked, name))
    return TRUE;
  if (g_cancellable_is_cancelled (self->cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "stopped");
  used = g_array_new (FALSE, FALSE, sizeof (PvLocation));
  node = pv_object_reader_locate_node (self->reader, name, FALSE, used, error);
  if (node == NULL)
    return FALSE;
  if (node->node.level != level || node->node.n_entries != pv_tree_n_entries (tree, level, index))
    return pv_corrupt (error, "a node is at a place where it does not belong");
  for (guint i = 0; i < used->len; i++)
    if (!mark (self, &g_array_index (used, PvLocation, i), error))
      return FALSE;
  if (level > 0)
    {
      if (!walk_children (self, tree, &node->node, index, error))
        return FALSE;
    }
  else
    {
      base = walked_base (self, node);
      if (!mark_chunks (self, names, entries_to_walk (&node->node, base, names), error))
        return FALSE;
    }
  if (self->n_missing == n_missing) /* else it is walked, and counted, again for the next snapshot */
    g_hash_table_add (self->walked, g_slice_dup (PvName, name));
  return TRUE;
}

gboolean
pv_marks_add_snapshot (PvMarks *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error)
{
  self->cancellable = cancellable;
  for (guint i = 0; i < pv_snapshot_n_volumes (snapshot); i++)
    {
      const PvVolume *volume = pv_snapshot_volume (snapshot, i);
      PvTree tree;

      pv_tree_init (&tree, volume->size, &volume->root);
      if (!walk (self, &tree, tree.level, 0, &volume->root, error))
        {
          g_prefix_error (error, "snapshot %s: volume '%s': ", pv_snapshot_full_name (snapshot), volume->name);
          return FALSE;
        }
    }
  return TRUE;
}
