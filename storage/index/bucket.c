/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/bucket.h"

#include <string.h>

#include "util/error.h"

G_STATIC_ASSERT (PV_ENTRY_SIZE == PV_NAME_SIZE + sizeof (guint64));

guint32
pv_bucket_count (guint64 n)
{
  return (guint32) CLAMP (n / PV_BUCKET_MEAN, 1, G_MAXUINT32);
}

gint
pv_index_entry_compare (gconstpointer a, gconstpointer b)
{
  const PvIndexEntry *left = a;
  const PvIndexEntry *right = b;
  gint order = memcmp (left->name.bytes, right->name.bytes, PV_NAME_SIZE);

  if (order != 0)
    return order;
  if (left->location.pack != right->location.pack)
    return left->location.pack < right->location.pack ? -1 : 1;
  if (left->location.frame != right->location.frame)
    return left->location.frame < right->location.frame ? -1 : 1;
  return left->location.slot < right->location.slot ? -1 : left->location.slot > right->location.slot;
}

void
pv_bucket_put (guint8 *out, const PvIndexEntry *entry)
{
  const PvLocation *at = &entry->location;
  guint64 location = GUINT64_TO_LE ((((guint64) at->pack << PV_ENTRY_FRAME_BITS | at->frame) << PV_ENTRY_SLOT_BITS)
                                    | at->slot);

  memcpy (out, entry->name.bytes, PV_NAME_SIZE);
  memcpy (out + PV_NAME_SIZE, &location, sizeof location);
}

void
pv_bucket_get (const guint8 *data, PvIndexEntry *entry)
{
  guint64 location;

  memcpy (entry->name.bytes, data, PV_NAME_SIZE);
  memcpy (&location, data + PV_NAME_SIZE, sizeof location);
  location = GUINT64_FROM_LE (location);
  entry->location.slot = (guint32) (location & ((1u << PV_ENTRY_SLOT_BITS) - 1));
  location >>= PV_ENTRY_SLOT_BITS;
  entry->location.frame = (guint32) (location & ((1u << PV_ENTRY_FRAME_BITS) - 1));
  entry->location.pack = (guint32) (location >> PV_ENTRY_FRAME_BITS);
}

guint
pv_bucket_find (const guint8 *data, guint n, const PvName *name)
{
  guint low = 0;
  guint high = n;

  while (low < high)
    {
      guint middle = (low + high) / 2;

      if (memcmp (data + (gsize) middle * PV_ENTRY_SIZE, name->bytes, PV_NAME_SIZE) < 0)
        low = middle + 1;
      else
        high = middle;
    }
  return low;
}

gboolean
pv_bucket_check (const guint8 *data, gsize size, guint32 bucket, guint32 n_buckets, GError **error)
{
  PvIndexEntry previous;

  if (size % PV_ENTRY_SIZE != 0)
    return pv_corrupt (error, "%" G_GSIZE_FORMAT " bytes are no whole entries", size);
  for (gsize offset = 0; offset < size; offset += PV_ENTRY_SIZE)
    {
      PvIndexEntry entry;

      pv_bucket_get (data + offset, &entry);
      if (data[offset + PV_ENTRY_SIZE - 1] >> 4 != 0)
        return pv_corrupt (error, "a location has unknown bits");
      if (pv_bucket_of (pv_name_prefix (&entry.name), n_buckets) != bucket)
        return pv_corrupt (error, "an entry lies in the wrong bucket");
      if (offset > 0 && pv_index_entry_compare (&previous, &entry) >= 0)
        return pv_corrupt (error, "entries are out of order");
      previous = entry;
    }
  return TRUE;
}
