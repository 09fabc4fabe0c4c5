/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/recent.h"

#include <string.h>
#include <sys/mman.h>

#include "index/bucket.h"

#define WAYS 4u
#define N_SETS (PV_RECENT_ENTRIES / WAYS)
#define SET_SIZE (WAYS * PV_ENTRY_SIZE) /* bytes */
#define N_LOCKS 256u
#define N_COUNTERS 512u

typedef struct
{
  guint32 pack;
  guint32 n; /* lookups since the pack took this counter, or was last said to be worth reading */
} Counter;

struct _PvRecent
{
  guint8 *sets;            /* (owned): N_SETS of four entries, as in a bucket; zeros: none */
  GMutex locks[N_LOCKS];   /* the set's number modulo N_LOCKS */
  GMutex counting;
  Counter counters[N_COUNTERS]; /* the pack's number modulo N_COUNTERS; under counting */
};

PvRecent *
pv_recent_new (void)
{
  PvRecent *self = g_new0 (PvRecent, 1);
  void *memory = mmap (NULL, (gsize) N_SETS * SET_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

  if (memory == MAP_FAILED)
    g_error ("out of memory");
  self->sets = memory;
  for (guint i = 0; i < N_LOCKS; i++)
    g_mutex_init (&self->locks[i]);
  g_mutex_init (&self->counting);
  return self;
}

void
pv_recent_free (PvRecent *self)
{
  if (self == NULL)
    return;
  munmap (self->sets, (gsize) N_SETS * SET_SIZE);
  for (guint i = 0; i < N_LOCKS; i++)
    g_mutex_clear (&self->locks[i]);
  g_mutex_clear (&self->counting);
  g_free (self);
}

/* Bits of the name that nothing else chooses by. */
static guint
set_of (const PvName *name)
{
  guint32 bits;

  memcpy (&bits, name->bytes + 24, sizeof bits);
  return bits % N_SETS;
}

/* The way that @name has in @set, WAYS when it is not there. */
static guint
find_way (const guint8 *set, const PvName *name)
{
  for (guint way = 0; way < WAYS; way++)
    if (memcmp (set + way * PV_ENTRY_SIZE, name->bytes, PV_NAME_SIZE) == 0)
      return way;
  return WAYS;
}

void
pv_recent_put (PvRecent *self, const PvIndexEntry *entry)
{
  guint number = set_of (&entry->name);
  guint8 *set = self->sets + (gsize) number * SET_SIZE;
  guint way;

  g_mutex_lock (&self->locks[number % N_LOCKS]);
  way = find_way (set, &entry->name);
  if (way == WAYS)
    {
      /* The last one falls out, the new one comes first: the order is that of putting in. */
      memmove (set + PV_ENTRY_SIZE, set, (WAYS - 1) * PV_ENTRY_SIZE);
      way = 0;
    }
  pv_bucket_put (set + way * PV_ENTRY_SIZE, entry);
  g_mutex_unlock (&self->locks[number % N_LOCKS]);
}

gboolean
pv_recent_get (PvRecent *self, const PvName *name, PvLocation *location)
{
  guint number = set_of (name);
  const guint8 *set = self->sets + (gsize) number * SET_SIZE;
  PvIndexEntry entry;
  guint way;

  g_mutex_lock (&self->locks[number % N_LOCKS]);
  way = find_way (set, name);
  if (way != WAYS)
    pv_bucket_get (set + way * PV_ENTRY_SIZE, &entry);
  g_mutex_unlock (&self->locks[number % N_LOCKS]);
  if (way == WAYS || entry.location.pack == 0) /* zeros are no entry: numbers of packs begin with 1 */
    return FALSE;
  *location = entry.location;
  return TRUE;
}

gboolean
pv_recent_count (PvRecent *self, guint32 pack)
{
  Counter *counter = &self->counters[pack % N_COUNTERS];
  gboolean worth = FALSE;

  g_mutex_lock (&self->counting);
  if (counter->pack != pack)
    *counter = (Counter) { .pack = pack };
  if (++counter->n == PV_RECENT_TRIGGER)
    {
      worth = TRUE;
      counter->n = 0; /* whoever looks so often again finds that it was pushed out */
    }
  g_mutex_unlock (&self->counting);
  return worth;
}
