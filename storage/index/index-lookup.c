/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include <stdlib.h>
#include <string.h>

#include "index/index-private.h"

static int
compare_wants (const void *a, const void *b)
{
  return memcmp (((const PvIndexWant *) a)->name.bytes, ((const PvIndexWant *) b)->name.bytes, PV_NAME_SIZE);
}

void
pv_index_wants_sort (PvIndexWant *wants, guint n)
{
  qsort (wants, n, sizeof *wants, compare_wants);
}

static gboolean
is_settled (const PvIndexWant *want)
{
  return want->found && want->state == PV_PACK_LIVE;
}

/* Takes the best of the copies of @want among the @n entries at @data. */
static void
take_copies (PvIndexWant *want, const PvIndexView *view, const guint8 *data, guint n)
{
  for (guint i = pv_bucket_find (data, n, &want->name); i < n && !is_settled (want); i++)
    {
      PvPackState state = PV_PACK_LIVE;
      PvIndexEntry entry;

      pv_bucket_get (data + (gsize) i * PV_ENTRY_SIZE, &entry);
      if (!pv_name_equal (&entry.name, &want->name))
        break;
      if (view != NULL && !pv_index_view_pack (view, entry.location.pack, &state))
        continue; /* the pack is retired: the entry goes with the next merge */
      if (want->found && state != PV_PACK_LIVE)
        continue;
      want->found = TRUE;
      want->location = entry.location;
      want->state = state;
    }
}

gboolean
pv_index_find (PvDatabase *database, const PvIndexView *view, const PvSegment *segments, guint n_segments,
               PvIndexWant *wants, guint n, GError **error)
{
  g_auto(PvQuery) query = PV_QUERY_INIT;
  guint unsettled = 0;

  for (guint i = 0; i < n; i++)
    unsettled += !is_settled (&wants[i]);
  for (guint s = 0; s < n_segments && unsettled > 0; s++)
    {
      const guint8 *data = NULL;
      guint n_entries = 0;
      guint32 bucket = 0;

      for (guint i = 0; i < n; i++)
        {
          guint32 prefix = pv_name_prefix (&wants[i].name);
          guint32 wanted = pv_bucket_of (prefix, segments[s].n_buckets);

          if (is_settled (&wants[i]) || !pv_segment_answers (&segments[s], prefix))
            continue;
          if ((data == NULL || wanted != bucket)
              && !pv_segment_get (&query, database, &segments[s], wanted, &data, &n_entries, error))
            return FALSE;
          bucket = wanted;
          take_copies (&wants[i], view, data, n_entries);
          unsettled -= is_settled (&wants[i]);
        }
    }
  return TRUE;
}

/* --- recent ones -------------------------------------------------------------------------------------------------- */

void
pv_index_set_pack_source (PvIndex *self, PvIndexPackSource source, gpointer data)
{
  g_clear_pointer (&self->recent, pv_recent_free);
  self->source = source;
  self->source_data = data;
  if (source != NULL)
    self->recent = pv_recent_new ();
}

guint
pv_index_find_recent (PvIndex *self, PvIndexWant *wants, guint n)
{
  g_autoptr(PvIndexView) view = NULL;

  if (self->recent == NULL)
    return n;
  g_mutex_lock (&self->lock);
  view = self->view != NULL ? pv_index_view_ref (self->view) : NULL;
  g_mutex_unlock (&self->lock);
  for (guint i = 0; view != NULL && i < n;)
    {
      PvIndexWant want = wants[i];

      if (!pv_recent_get (self->recent, &want.name, &want.location)
          || !pv_index_view_pack (view, want.location.pack, &want.state) || want.state != PV_PACK_LIVE)
        {
          i++;
          continue;
        }
      want.found = TRUE;
      wants[i] = wants[--n];
      wants[n] = want;
    }
  return n;
}

static void
take_recent (const PvIndexEntry *entries, gsize n, gpointer data)
{
  for (gsize i = 0; i < n; i++)
    pv_recent_put (data, &entries[i]);
}

void
pv_index_remember (PvIndex *self, const PvIndexWant *wants, guint n)
{
  for (guint i = 0; self->recent != NULL && i < n; i++)
    {
      PvIndexEntry entry = { wants[i].name, wants[i].location };

      if (!is_settled (&wants[i]))
        continue;
      pv_recent_put (self->recent, &entry);
      if (pv_recent_count (self->recent, entry.location.pack))
        self->source (entry.location.pack, take_recent, self->recent, self->source_data);
    }
}

/* --- readers' lookups --------------------------------------------------------------------------------------------- */

static gboolean
find_in_database (PvIndex *self, PvIndexWant *wants, guint n, GError **error)
{
  g_auto(PvIndexUse) use = PV_INDEX_USE_INIT;
  g_auto(PvTransaction) transaction = PV_TRANSACTION_INIT;
  g_autoptr(PvIndexView) view = NULL;

  if (!pv_index_use (&use, self, error)
      || !pv_transaction_begin (&transaction, use.database, PV_TRANSACTION_READ, error))
    return FALSE;
  view = pv_index_view (self, use.database, error);
  return view != NULL && pv_index_find (use.database, view, view->segments, view->n_segments, wants, n, error);
}

static gboolean
lookup_slice (PvIndex *self, const PvName *names, guint n, PvLocation *locations, PvPackState *states, gboolean *found,
              GError **error)
{
  PvIndexWant wants[PV_INDEX_SLICE];
  guint n_left;

  for (guint i = 0; i < n; i++)
    wants[i] = (PvIndexWant) { .name = names[i], .index = i };
  n_left = pv_index_find_recent (self, wants, n);
  if (n_left > 0)
    {
      pv_index_wants_sort (wants, n_left);
      if (!find_in_database (self, wants, n_left, error))
        return FALSE;
      pv_index_remember (self, wants, n_left);
    }
  for (guint i = 0; i < n; i++)
    {
      guint to = wants[i].index;

      found[to] = wants[i].found;
      locations[to] = wants[i].location;
      if (states != NULL)
        states[to] = wants[i].state;
    }
  return TRUE;
}

gboolean
pv_index_lookup_many (PvIndex *self, const PvName *names, guint n, PvLocation *locations, PvPackState *states,
                      gboolean *found, GError **error)
{
  for (guint at = 0; at < n; at += PV_INDEX_SLICE)
    if (!lookup_slice (self, names + at, MIN (PV_INDEX_SLICE, n - at), locations + at,
                       states != NULL ? states + at : NULL, found + at, error))
      return FALSE;
  return TRUE;
}

gboolean
pv_index_lookup (PvIndex *self, const PvName *name, PvLocation *location, PvPackState *state, GError **error)
{
  gboolean found = FALSE;

  return pv_index_lookup_many (self, name, 1, location, state, &found, error) && found;
}
