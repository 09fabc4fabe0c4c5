/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/cache.h"

#include <string.h>

enum
{
  KEY_MAX = 32,
};

typedef struct
{
  guint8 key[KEY_MAX]; /* padded with zeros */
  gpointer value;      /* (owned) */
  gsize cost;
  GList link;          /* in PvCache.used */
} Entry;

struct _PvCache
{
  gsize key_size;
  gsize limit;
  PvCacheRefFunc ref;
  GDestroyNotify unref;
  GMutex lock;
  GHashTable *entries; /* of Entry (key is its first field); under lock */
  GQueue used;         /* of Entry, last used first; under lock */
  gsize cost;          /* sum; under lock */
};

static guint
hash_key (gconstpointer key)
{
  guint64 words[KEY_MAX / 8];
  guint64 hash = 0;

  memcpy (words, key, sizeof words);
  for (guint i = 0; i < G_N_ELEMENTS (words); i++)
    hash = (hash ^ words[i]) * 0x9e3779b97f4a7c15ull;
  return (guint) (hash >> 32);
}

static gboolean
equal_key (gconstpointer a, gconstpointer b)
{
  return memcmp (a, b, KEY_MAX) == 0;
}

PvCache *
pv_cache_new (gsize key_size, gsize limit, PvCacheRefFunc ref, GDestroyNotify unref)
{
  PvCache *self = g_new0 (PvCache, 1);

  g_return_val_if_fail (key_size <= KEY_MAX, NULL);
  self->key_size = key_size;
  self->limit = limit;
  self->ref = ref;
  self->unref = unref;
  g_mutex_init (&self->lock);
  self->entries = g_hash_table_new (hash_key, equal_key);
  g_queue_init (&self->used);
  return self;
}

/* Under lock: takes @entry out; its value goes to the caller. */
static gpointer
take_out (PvCache *self, Entry *entry)
{
  gpointer value = entry->value;

  g_hash_table_remove (self->entries, entry->key);
  g_queue_unlink (&self->used, &entry->link);
  self->cost -= entry->cost;
  g_free (entry);
  return value;
}

void
pv_cache_free (PvCache *self)
{
  if (self == NULL)
    return;
  while (self->used.head != NULL)
    self->unref (take_out (self, self->used.head->data));
  g_hash_table_unref (self->entries);
  g_mutex_clear (&self->lock);
  g_free (self);
}

static Entry *
find (PvCache *self, gconstpointer key)
{
  guint8 padded[KEY_MAX] = { 0 };

  memcpy (padded, key, self->key_size);
  return g_hash_table_lookup (self->entries, padded);
}

gpointer
pv_cache_get (PvCache *self, gconstpointer key)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Entry *entry = find (self, key);

  if (entry == NULL)
    return NULL;
  g_queue_unlink (&self->used, &entry->link);
  g_queue_push_head_link (&self->used, &entry->link);
  return self->ref (entry->value);
}

void
pv_cache_put (PvCache *self, gconstpointer key, gpointer value, gsize cost)
{
  g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func (self->unref);
  g_autoptr(GMutexLocker) locker = NULL;
  Entry *entry;

  if (cost > self->limit)
    return;
  locker = g_mutex_locker_new (&self->lock);
  entry = find (self, key);
  if (entry != NULL)
    g_ptr_array_add (dropped, take_out (self, entry));
  while (self->cost + cost > self->limit)
    g_ptr_array_add (dropped, take_out (self, self->used.tail->data));
  entry = g_new0 (Entry, 1);
  memcpy (entry->key, key, self->key_size);
  entry->value = self->ref (value);
  entry->cost = cost;
  entry->link.data = entry;
  g_hash_table_add (self->entries, entry);
  g_queue_push_head_link (&self->used, &entry->link);
  self->cost += cost;
}

void
pv_cache_remove (PvCache *self, gconstpointer key)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Entry *entry = find (self, key);
  gpointer value = entry != NULL ? take_out (self, entry) : NULL;

  if (value != NULL)
    self->unref (value);
}
