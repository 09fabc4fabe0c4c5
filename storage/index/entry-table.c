/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/entry-table.h"

#include <stdlib.h>
#include <string.h>

#include "index/bucket.h"

#define SLOTS_MIN 1024u /* power of two */

struct _PvEntryTable
{
  PvIndexEntry *entries; /* (owned) */
  guint n_entries;
  guint room;     /* entries that fit */
  guint32 *slots; /* (owned): position in entries + 1, 0 = free; at most half are taken */
  guint n_slots;  /* power of two */
};

PvEntryTable *
pv_entry_table_new (void)
{
  PvEntryTable *self = g_new0 (PvEntryTable, 1);

  self->n_slots = SLOTS_MIN;
  self->slots = g_new0 (guint32, self->n_slots);
  return self;
}

void
pv_entry_table_free (PvEntryTable *self)
{
  g_free (self->entries);
  g_free (self->slots);
  g_free (self);
}

static guint
first_slot (const PvEntryTable *self, const PvName *name)
{
  guint32 hash;

  memcpy (&hash, name->bytes + 8, sizeof hash); /* the first bytes choose buckets: take others */
  return hash & (self->n_slots - 1);
}

static void
take_slot (PvEntryTable *self, guint position)
{
  guint slot = first_slot (self, &self->entries[position].name);

  while (self->slots[slot] != 0)
    slot = (slot + 1) & (self->n_slots - 1);
  self->slots[slot] = position + 1;
}

static void
grow_slots (PvEntryTable *self)
{
  self->n_slots *= 2;
  g_free (self->slots);
  self->slots = g_new0 (guint32, self->n_slots);
  for (guint i = 0; i < self->n_entries; i++)
    take_slot (self, i);
}

void
pv_entry_table_add (PvEntryTable *self, const PvIndexEntry *entry)
{
  if (self->n_entries == self->room)
    {
      self->room = MAX (self->room * 2, SLOTS_MIN / 2);
      self->entries = g_renew (PvIndexEntry, self->entries, self->room);
    }
  self->entries[self->n_entries++] = *entry;
  if (self->n_entries > self->n_slots / 2)
    grow_slots (self);
  else
    take_slot (self, self->n_entries - 1);
}

guint
pv_entry_table_size (const PvEntryTable *self)
{
  return self->n_entries;
}

gboolean
pv_entry_table_find (const PvEntryTable *self, const PvName *name, PvLocation *location)
{
  for (guint slot = first_slot (self, name); self->slots[slot] != 0; slot = (slot + 1) & (self->n_slots - 1))
    {
      const PvIndexEntry *entry = &self->entries[self->slots[slot] - 1];

      if (pv_name_equal (&entry->name, name))
        {
          *location = entry->location;
          return TRUE;
        }
    }
  return FALSE;
}

PvIndexEntry *
pv_entry_table_sorted (const PvEntryTable *self, gsize *n)
{
  PvIndexEntry *sorted = g_new (PvIndexEntry, self->n_entries);
  gsize kept = 0;

  if (self->n_entries > 0)
    {
      memcpy (sorted, self->entries, self->n_entries * sizeof *sorted);
      qsort (sorted, self->n_entries, sizeof *sorted, pv_index_entry_compare);
    }
  for (gsize i = 0; i < self->n_entries; i++)
    if (kept == 0 || pv_index_entry_compare (&sorted[kept - 1], &sorted[i]) != 0)
      sorted[kept++] = sorted[i];
  *n = kept;
  return sorted;
}

void
pv_entry_table_clear (PvEntryTable *self)
{
  self->n_entries = 0;
  memset (self->slots, 0, self->n_slots * sizeof *self->slots);
}
