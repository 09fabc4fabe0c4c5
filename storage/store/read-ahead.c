/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "store/read-ahead.h"

#include "store/mirror-private.h"
#include "store/store-private.h"
#include "store/workers.h"

#define SLICE 512u /* names looked up at once */

/* A block of a pack that is wanted. */
typedef struct
{
  PvName pack;
  guint64 number; /* of the block */
  guint64 end;    /* of the pack's frames, in bytes */
} Block;

static guint
block_hash (gconstpointer block)
{
  return pv_name_hash (block) ^ (guint) ((const Block *) block)->number;
}

static gboolean
block_equal (gconstpointer a, gconstpointer b)
{
  return pv_name_equal_func (a, b) && ((const Block *) a)->number == ((const Block *) b)->number;
}

static void
fetch (gpointer job, gpointer data)
{
  const Block *block = job;
  g_autoptr(GError) why = NULL;

  if (!pv_block_cache_want (((PvMirror *) data)->blocks, &block->pack, block->end, block->number * PV_BLOCK_SIZE, &why))
    g_debug ("not read ahead: %s", why->message);
}

/* The blocks that the frame at @location lies in. */
static void
add_blocks (PvMirror *mirror, const PvLocation *location, GHashTable *blocks)
{
  g_autoptr(PvPackTable) table = pv_object_reader_table (mirror->reader, location->pack, NULL);
  PvPackFrame frame, last;

  if (table == NULL || !pv_pack_table_frame (table, location->frame, &frame, NULL)
      || !pv_pack_table_frame (table, pv_pack_table_n_frames (table) - 1, &last, NULL))
    return;
  for (guint64 at = frame.offset / PV_BLOCK_SIZE; at * PV_BLOCK_SIZE < frame.offset + frame.stored_size; at++)
    {
      Block block = { *pv_pack_table_name (table), at, last.offset + last.stored_size };

      if (!g_hash_table_contains (blocks, &block))
        g_hash_table_add (blocks, g_memdup2 (&block, sizeof block));
    }
}

/* Chunks of at most SLICE names. */
static void
add_names (PvStore *store, PvMirror *mirror, const PvName *names, guint n, GHashTable *blocks)
{
  g_autofree PvLocation *locations = g_new (PvLocation, SLICE);
  gboolean here[SLICE], there[SLICE];

  if (!pv_index_lookup_many (store->index, names, n, locations, NULL, here, NULL)
      || !pv_index_lookup_many (mirror->index, names, n, locations, NULL, there, NULL))
    return;
  for (guint i = 0; i < n; i++)
    if (!here[i] && there[i])
      add_blocks (mirror, &locations[i], blocks);
}

void
pv_store_read_ahead (PvStore *store, const PvName *names, guint n)
{
  for (guint i = 0; i < store->mirrors->len; i++)
    {
      PvMirror *mirror = store->mirrors->pdata[i];
      g_autoptr(GHashTable) blocks = g_hash_table_new_full (block_hash, block_equal, g_free, NULL);
      g_autoptr(PvWorkers) workers = NULL;
      GHashTableIter iter;
      gpointer block;

      for (guint at = 0; at < n; at += SLICE)
        add_names (store, mirror, names + at, MIN (n - at, SLICE), blocks);
      if (g_hash_table_size (blocks) == 0)
        continue;
      workers = pv_workers_new ("ahead", PV_MIRROR_THREADS, fetch, mirror, NULL);
      g_hash_table_iter_init (&iter, blocks);
      while (workers != NULL && g_hash_table_iter_next (&iter, &block, NULL))
        pv_workers_push (workers, block);
      g_clear_pointer (&workers, pv_workers_free); /* waits */
    }
}
