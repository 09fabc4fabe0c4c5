/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/damage.h"

#include <string.h>

#include "store/tree.h"
#include "util/error.h"

/* A copy of an object. */
typedef struct
{
  PvName name;
  guint32 pack;
} Copy;

struct _PvDamageMap
{
  PvIndex *index;          /* (not owned), as the others */
  PvObjectReader *reader;
  GPtrArray *damaged;
  GMutex lock;
  GHashTable *by_what;     /* of char* (the damage's) -> PvDamage; under lock */
  GHashTable *counts;      /* of PvDamage -> times reported; under lock */
  GHashTable *lost_copies; /* of Copy (owned) -> PvDamage; under lock */
  GHashTable *lost_packs;  /* of number -> PvDamage; under lock */
  GHashTable *walked;      /* of PvName (owned) -> GPtrArray of PvDamage (owned), NULL: all is well below that node */
  GCancellable *cancellable;
};

gboolean
pv_is_damage (const GError *error)
{
  return g_error_matches (error, PV_ERROR, PV_ERROR_CORRUPT) || g_error_matches (error, PV_ERROR, PV_ERROR_NOT_FOUND)
         || g_error_matches (error, PV_ERROR, PV_ERROR_UNSUPPORTED);
}

static guint
copy_hash (gconstpointer key)
{
  const Copy *copy = key;

  return pv_name_hash (&copy->name) ^ copy->pack;
}

static gboolean
copy_equal (gconstpointer a, gconstpointer b)
{
  const Copy *ca = a;
  const Copy *cb = b;

  return ca->pack == cb->pack && pv_name_equal (&ca->name, &cb->name);
}

static void
unref_damages (gpointer damages)
{
  if (damages != NULL)
    g_ptr_array_unref (damages);
}

PvDamageMap *
pv_damage_map_new (PvIndex *index, PvObjectReader *reader, GPtrArray *damaged)
{
  PvDamageMap *self = g_new0 (PvDamageMap, 1);

  self->index = index;
  self->reader = reader;
  self->damaged = damaged;
  g_mutex_init (&self->lock);
  self->by_what = g_hash_table_new (g_str_hash, g_str_equal);
  self->counts = g_hash_table_new (NULL, NULL);
  self->lost_copies = g_hash_table_new_full (copy_hash, copy_equal, g_free, NULL);
  self->lost_packs = g_hash_table_new (NULL, NULL);
  self->walked = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, g_free, unref_damages);
  return self;
}

void
pv_damage_map_free (PvDamageMap *self)
{
  if (self == NULL)
    return;
  g_hash_table_unref (self->by_what);
  g_hash_table_unref (self->counts);
  g_hash_table_unref (self->lost_copies);
  g_hash_table_unref (self->lost_packs);
  g_hash_table_unref (self->walked);
  g_mutex_clear (&self->lock);
  g_free (self);
}

void
pv_damage_free (PvDamage *self)
{
  if (self == NULL)
    return;
  g_free (self->what);
  g_free (self->why);
  g_ptr_array_unref (self->snapshots);
  g_free (self);
}

PvDamage *
pv_damage_map_report (PvDamageMap *self, const char *what, const char *why)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  PvDamage *damage = g_hash_table_lookup (self->by_what, what);
  guint count;

  if (damage == NULL)
    {
      damage = g_new0 (PvDamage, 1);
      damage->what = g_strdup (what);
      damage->why = g_strdup (why);
      damage->snapshots = g_ptr_array_new_with_free_func (g_free);
      g_ptr_array_add (self->damaged, damage);
      g_hash_table_insert (self->by_what, damage->what, damage);
    }
  count = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, damage));
  g_hash_table_insert (self->counts, damage, GUINT_TO_POINTER (count + 1));
  return damage;
}

void
pv_damage_map_finish (PvDamageMap *self)
{
  for (guint i = 0; i < self->damaged->len; i++)
    {
      PvDamage *damage = self->damaged->pdata[i];
      guint count = GPOINTER_TO_UINT (g_hash_table_lookup (self->counts, damage));
      g_autofree char *why = g_steal_pointer (&damage->why);

      damage->why = count > 1 ? g_strdup_printf ("%s (and %u more)", why, count - 1) : g_steal_pointer (&why);
    }
}

void
pv_damage_map_lose_object (PvDamageMap *self, guint32 pack, const PvName *name, PvDamage *damage)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Copy copy = { .name = *name, .pack = pack };

  g_hash_table_insert (self->lost_copies, g_memdup2 (&copy, sizeof copy), damage);
}

void
pv_damage_map_lose_pack (PvDamageMap *self, guint32 pack, PvDamage *damage)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);

  g_hash_table_insert (self->lost_packs, GUINT_TO_POINTER (pack), damage);
}

void
pv_damage_map_hit (PvDamageMap *self, PvDamage *damage, const char *full_name)
{
  if (!g_ptr_array_find_with_equal_func (damage->snapshots, full_name, g_str_equal, NULL))
    g_ptr_array_add (damage->snapshots, g_strdup (full_name));
}

/* --- walking ------------------------------------------------------------------------------------------------------ */

/* Damage below a node; made when there is some. */
static void
add_damage (GPtrArray **damages, PvDamage *damage)
{
  if (*damages == NULL)
    *damages = g_ptr_array_new ();
  if (!g_ptr_array_find (*damages, damage, NULL))
    g_ptr_array_add (*damages, damage);
}

/* (nullable): why the copy of @name at @location is lost. */
static PvDamage *
lost_copy (PvDamageMap *self, const PvName *name, const PvLocation *location)
{
  Copy copy = { .name = *name, .pack = location->pack };
  PvDamage *damage = g_hash_table_lookup (self->lost_packs, GUINT_TO_POINTER (location->pack));

  return damage != NULL ? damage : g_hash_table_lookup (self->lost_copies, &copy);
}

/* @name is lost in one pack, or was not found: charges it, unless there is another copy. */
static gboolean
charge_object (PvDamageMap *self, const PvName *name, GPtrArray **damages, GError **error)
{
  g_autoptr(GArray) copies = pv_index_copies (self->index, name, error);
  PvDamage *damage = NULL;

  if (copies == NULL)
    return FALSE;
  for (guint i = 0; i < copies->len; i++)
    {
      damage = lost_copy (self, name, &g_array_index (copies, PvIndexCopy, i).location);
      if (damage == NULL)
        return TRUE;
    }
  if (damage == NULL)
    {
      g_autofree char *hex = pv_name_to_hex (name);
      g_autofree char *why = g_strdup_printf ("object %s is in no pack", hex);

      damage = pv_damage_map_report (self, "missing objects", why);
    }
  add_damage (damages, damage);
  return TRUE;
}

/* The index says the truth about where @name is. */
static gboolean
check_location (PvDamageMap *self, const PvName *name, const PvLocation *location, GPtrArray **damages, GError **error)
{
  g_autoptr(GError) why = NULL;
  g_autoptr(PvPackTable) pack = pv_object_reader_table (self->reader, location->pack, &why);
  PvPackFrame frame;

  if (pack == NULL && why == NULL)
    return TRUE; /* gc moved it meanwhile */
  if (pack == NULL)
    {
      if (pv_is_damage (why))
        add_damage (damages, pv_damage_map_report (self, "index", why->message));
      else
        g_propagate_error (error, g_steal_pointer (&why));
      return why == NULL ? FALSE : TRUE;
    }
  if (!pv_pack_table_frame (pack, location->frame, &frame, NULL) || location->slot >= frame.n_slots
      || !pv_name_equal (&frame.names[location->slot], name))
    add_damage (damages, pv_damage_map_report (self, "index", "it points to another object than it says: run"
                                                              " 'pagevault verify --rebuild-index'"));
  return TRUE;
}

static gboolean
check_chunks (PvDamageMap *self, const PvName *names, guint n, GPtrArray **damages, GError **error)
{
  PvLocation locations[PV_NODE_FANOUT];
  gboolean found[PV_NODE_FANOUT];

  if (n > 0 && !pv_index_lookup_many (self->index, names, n, locations, NULL, found, error))
    return FALSE;
  for (guint i = 0; i < n; i++)
    {
      if (!found[i] || lost_copy (self, &names[i], &locations[i]) != NULL)
        {
          if (!charge_object (self, &names[i], damages, error))
            return FALSE;
        }
      else if (!check_location (self, &names[i], &locations[i], damages, error))
        return FALSE;
    }
  return TRUE;
}

/* Entries of @node that are not known to be well because a node that differs little from it is. */
static guint
entries_to_check (PvDamageMap *self, const PvNodeRef *node, PvName *names)
{
  g_autoptr(PvNodeRef) base = NULL;
  gpointer damages = NULL;
  guint n = 0;

  if (!pv_name_is_zero (&node->base) && g_hash_table_lookup_extended (self->walked, &node->base, NULL, &damages)
      && damages == NULL)
    base = pv_object_reader_node (self->reader, &node->base, node->node.level, node->node.n_entries, NULL);
  for (guint i = 0; i < node->node.n_entries; i++)
    if (!pv_name_is_zero (&node->node.entries[i])
        && (base == NULL || !pv_name_equal (&node->node.entries[i], &base->node.entries[i])))
      names[n++] = node->node.entries[i];
  return n;
}

/* A node that cannot be expanded: for a reason known already, or a new one. */
static gboolean
charge_node (PvDamageMap *self, const PvName *name, GError *why, GPtrArray **damages, GError **error)
{
  g_autoptr(GPtrArray) known = NULL;
  g_autofree char *hex = pv_name_to_hex (name);
  g_autofree char *what = g_strdup_printf ("node %s", hex);

  if (!pv_is_damage (why))
    {
      g_propagate_error (error, g_error_copy (why));
      return FALSE;
    }
  if (!charge_object (self, name, &known, error))
    return FALSE;
  for (guint i = 0; known != NULL && i < known->len; i++)
    add_damage (damages, known->pdata[i]);
  if (known == NULL)
    add_damage (damages, pv_damage_map_report (self, what, why->message));
  return TRUE;
}

static gboolean walk (PvDamageMap *self, const PvTree *tree, guint level, guint64 index, const PvName *name,
                      GPtrArray **damages, GError **error);

static gboolean
look_at_node (PvDamageMap *self, const PvTree *tree, guint level, guint64 index, const PvName *name,
              GPtrArray **damages, GError **error)
{
  g_autoptr(GArray) used = g_array_new (FALSE, FALSE, sizeof (PvLocation));
  g_autoptr(GError) why = NULL;
  g_autoptr(PvNodeRef) node = pv_object_reader_locate_node (self->reader, name, FALSE, used, &why);
  PvName names[PV_NODE_FANOUT];

  if (node == NULL)
    return charge_node (self, name, why, damages, error);
  if (node->node.level != level || node->node.n_entries != pv_tree_n_entries (tree, level, index))
    {
      add_damage (damages, pv_damage_map_report (self, "trees", "a node is at a place where it does not belong"));
      return TRUE;
    }
  if (level == 0)
    return check_chunks (self, names, entries_to_check (self, node, names), damages, error);
  for (guint i = 0; i < node->node.n_entries; i++)
    if (!walk (self, tree, level - 1, index * PV_NODE_FANOUT + i, &node->node.entries[i], damages, error))
      return FALSE;
  return TRUE;
}

/* Adds to @damages what is wrong with node @name and below it. */
static gboolean
walk (PvDamageMap *self, const PvTree *tree, guint level, guint64 index, const PvName *name, GPtrArray **damages,
      GError **error)
{
  g_autoptr(GPtrArray) mine = NULL;
  gpointer known = NULL;

  if (pv_name_is_zero (name))
    return TRUE;
  if (g_cancellable_is_cancelled (self->cancellable))
    return pv_throw (error, PV_ERROR_CANCELLED, "stopped");
  if (!g_hash_table_lookup_extended (self->walked, name, NULL, &known))
    {
      if (!look_at_node (self, tree, level, index, name, &mine, error))
        return FALSE;
      known = mine;
      g_hash_table_insert (self->walked, g_memdup2 (name, sizeof *name), g_steal_pointer (&mine));
    }
  for (guint i = 0; known != NULL && i < ((GPtrArray *) known)->len; i++)
    add_damage (damages, ((GPtrArray *) known)->pdata[i]);
  return TRUE;
}

gboolean
pv_damage_map_add_snapshot (PvDamageMap *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error)
{
  g_autoptr(GPtrArray) damages = NULL;

  self->cancellable = cancellable;
  for (guint i = 0; i < pv_snapshot_n_volumes (snapshot); i++)
    {
      const PvVolume *volume = pv_snapshot_volume (snapshot, i);
      PvTree tree;

      pv_tree_init (&tree, volume->size, &volume->root);
      if (!walk (self, &tree, tree.level, 0, &volume->root, &damages, error))
        return FALSE;
    }
  for (guint i = 0; damages != NULL && i < damages->len; i++)
    pv_damage_map_hit (self, damages->pdata[i], pv_snapshot_full_name (snapshot));
  return TRUE;
}
