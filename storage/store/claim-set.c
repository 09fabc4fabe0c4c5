/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/claim-set.h"

enum
{
  N_SHARDS = 64,
};

typedef struct
{
  GMutex lock;
  GHashTable *names; /* of PvName (slices); under lock */
} Shard;

struct _PvClaimSet
{
  Shard shards[N_SHARDS]; /* by the last byte of the name: the hash table takes the first ones */
};

static void
free_name (gpointer name)
{
  g_slice_free (PvName, name);
}

static Shard *
shard_of (PvClaimSet *self, const PvName *name)
{
  return &self->shards[name->bytes[PV_NAME_SIZE - 1] % N_SHARDS];
}

PvClaimSet *
pv_claim_set_new (void)
{
  PvClaimSet *self = g_new0 (PvClaimSet, 1);

  for (guint i = 0; i < N_SHARDS; i++)
    {
      g_mutex_init (&self->shards[i].lock);
      self->shards[i].names = g_hash_table_new_full (pv_name_hash, pv_name_equal_func, free_name, NULL);
    }
  return self;
}

void
pv_claim_set_free (PvClaimSet *self)
{
  if (self == NULL)
    return;
  for (guint i = 0; i < N_SHARDS; i++)
    {
      g_hash_table_unref (self->shards[i].names);
      g_mutex_clear (&self->shards[i].lock);
    }
  g_free (self);
}

gboolean
pv_claim_set_claim (PvClaimSet *self, const PvName *name)
{
  Shard *shard = shard_of (self, name);
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&shard->lock);

  if (g_hash_table_contains (shard->names, name))
    return FALSE;
  g_hash_table_add (shard->names, g_slice_dup (PvName, name));
  return TRUE;
}

void
pv_claim_set_release (PvClaimSet *self, const PvName *name)
{
  Shard *shard = shard_of (self, name);
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&shard->lock);

  g_hash_table_remove (shard->names, name);
}

gsize
pv_claim_set_size (PvClaimSet *self)
{
  gsize size = 0;

  for (guint i = 0; i < N_SHARDS; i++)
    {
      g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->shards[i].lock);

      size += g_hash_table_size (self->shards[i].names);
    }
  return size;
}
