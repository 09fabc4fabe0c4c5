/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/index-private.h"

/* Live before condemned, newer packs first. */
static gint
compare_copies (gconstpointer a, gconstpointer b)
{
  const PvIndexCopy *ca = a;
  const PvIndexCopy *cb = b;

  if (ca->state != cb->state)
    return (gint) ca->state - (gint) cb->state;
  return ca->location.pack < cb->location.pack ? 1 : ca->location.pack > cb->location.pack ? -1 : 0;
}

static void
add_copies (GArray *copies, const PvIndexView *view, const PvName *name, const guint8 *data, guint n)
{
  for (guint i = pv_bucket_find (data, n, name); i < n; i++)
    {
      PvIndexCopy copy;
      PvIndexEntry entry;

      pv_bucket_get (data + (gsize) i * PV_ENTRY_SIZE, &entry);
      if (!pv_name_equal (&entry.name, name))
        return;
      copy.location = entry.location;
      if (pv_index_view_pack (view, entry.location.pack, &copy.state))
        g_array_append_val (copies, copy);
    }
}

GArray *
pv_index_copies (PvIndex *self, const PvName *name, GError **error)
{
  g_autoptr(GArray) copies = g_array_new (FALSE, FALSE, sizeof (PvIndexCopy));
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_auto(PvQuery) query = PV_QUERY_INIT;
  g_autoptr(PvIndexView) view = NULL;

  if (!pv_index_use (&use, self, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_READ, error))
    return NULL;
  view = pv_index_view (self, use.database, error);
  if (view == NULL)
    return NULL;
  for (guint i = 0; i < view->n_segments; i++)
    {
      const PvSegment *segment = &view->segments[i];
      guint32 prefix = pv_name_prefix (name);
      const guint8 *data;
      guint n;

      if (!pv_segment_answers (segment, prefix))
        continue;
      if (!pv_segment_get (&query, use.database, segment, pv_bucket_of (prefix, segment->n_buckets), &data, &n, error))
        return NULL;
      add_copies (copies, view, name, data, n);
    }
  g_array_sort (copies, compare_copies);
  return g_steal_pointer (&copies);
}
