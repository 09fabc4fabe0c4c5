/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Garbage collection, beside writers and readers (the argument is in docs/crash-safety.md):
 *
 *   1. sweep what crashes left
 *   2. mark what snapshots and pinned bases refer to; condemn packs with too little of it, and small ones when there
 *      are many of them: no new writer relies on them
 *   3. writers that began before that may rely on them; while one lives, nothing goes (the next gc goes on)
 *   4. mark again, with writers shut out for the moment of listing: what was committed or pinned since
 *   5. copy what is marked in condemned packs into new packs; commit those
 *   6. retire the condemned packs, unlink their files
 *
 * Killed anywhere, it leaves packs that are condemned, which are as good to readers as any; the next gc decides anew.
 */
#include "config.h"

#include <fcntl.h>
#include <sys/file.h>

#include "store/marks.h"
#include "store/pack-copier.h"
#include "store/store-private.h"
#include "util/error.h"
#include "util/fault.h"

/* Each snapshot of a guest that hardly changes makes a small pack. Packs of one class (sizes within a factor of eight)
 * are put together when there are eight of them, as segments of the index are: an object is copied a few times in its
 * life, and there are never more than some dozens of packs that are not large. */
enum
{
  CLASS_0_SIZE = 64 << 10, /* bytes: packs of class 0 are smaller */
  CLASS_BITS = 3,          /* those of class n + 1 are up to eight times as large as those of class n */
  N_CLASSES = 4,           /* from 32 MiB on a pack is large */
  CLASS_PACKS_MAX = 8,
};

typedef struct
{
  PvStore *store;
  PvMarks *marks;          /* (owned) */
  guint min_live_percent;
  GArray *packs;           /* (nullable) (owned): of PvPackRow: all, when gc began */
  GArray *condemned;       /* (owned): of guint32 */
  GHashTable *merged;      /* (owned): of guint32: packs to put together */
  PvStoreScratch *scratch; /* (owned) (nullable) */
  PvStoreProgressFunc progress;
  gpointer progress_data;
  GCancellable *cancellable;
  PvGcResult *result;
} Gc;

static void
gc_clear (Gc *gc)
{
  pv_marks_free (gc->marks);
  g_clear_pointer (&gc->packs, g_array_unref);
  g_clear_pointer (&gc->condemned, g_array_unref);
  g_clear_pointer (&gc->merged, g_hash_table_unref);
  pv_store_scratch_free (gc->scratch);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Gc, gc_clear)

static void
report (Gc *gc, const char *phase, guint64 done, guint64 total)
{
  if (gc->progress != NULL)
    gc->progress (phase, done, total, gc->progress_data);
}

/* --- marking ------------------------------------------------------------------------------------------------------ */

/* All that must be kept now: listed snapshots and pinned bases, seen at one moment at which nobody begins or
 * commits. */
static GPtrArray *
list_roots (PvStore *store, GError **error)
{
  g_auto(PvFd) guard = pv_store_lock (store, LOCK_EX, error);
  g_autoptr(GPtrArray) roots = guard >= 0 ? pv_store_list (store, NULL, error) : NULL;
  g_autoptr(GPtrArray) bases = roots != NULL ? pv_store_scratch_bases (store, error) : NULL;

  if (bases == NULL)
    return NULL;
  for (guint i = 0; i < bases->len; i++)
    g_ptr_array_add (roots, pv_snapshot_ref (bases->pdata[i]));
  return g_steal_pointer (&roots);
}

static gboolean
mark_roots (Gc *gc, GError **error)
{
  g_autoptr(GPtrArray) roots = list_roots (gc->store, error);

  if (roots == NULL)
    return FALSE;
  for (guint i = 0; i < roots->len; i++)
    {
      report (gc, "mark", i, roots->len);
      if (!pv_marks_add_snapshot (gc->marks, roots->pdata[i], gc->cancellable, error))
        {
          g_prefix_error (error, "nothing was removed, because the store is damaged (see 'pagevault verify'): ");
          return FALSE;
        }
    }
  report (gc, "mark", roots->len, roots->len);
  return TRUE;
}

/* --- condemning --------------------------------------------------------------------------------------------------- */

static gboolean
is_worth_removing (Gc *gc, const PvPackRow *pack)
{
  guint64 live = pv_marks_count (gc->marks, pack->number);

  return live == 0 || live * 100 < pack->n_objects * gc->min_live_percent
         || g_hash_table_contains (gc->merged, GUINT_TO_POINTER (pack->number));
}

/* N_CLASSES: a large one. */
static guint
class_of (const PvPackRow *pack)
{
  guint class = 0;

  while (class < N_CLASSES && pack->size >= (guint64) CLASS_0_SIZE << (CLASS_BITS * class))
    class++;
  return class;
}

/* Chooses the packs to put together. */
static void
choose_merged (Gc *gc)
{
  guint n_packs[N_CLASSES + 1] = { 0 };

  for (guint i = 0; i < gc->packs->len; i++)
    n_packs[class_of (&g_array_index (gc->packs, PvPackRow, i))]++;
  for (guint i = 0; gc->min_live_percent > 0 && i < gc->packs->len; i++)
    {
      const PvPackRow *pack = &g_array_index (gc->packs, PvPackRow, i);
      guint class = class_of (pack);

      if (class < N_CLASSES && n_packs[class] >= CLASS_PACKS_MAX)
        g_hash_table_add (gc->merged, GUINT_TO_POINTER (pack->number));
    }
}

/* Chooses among all packs; those that an earlier gc condemned and that are worth keeping now are pardoned. */
static gboolean
condemn (Gc *gc, guint64 *epoch, GError **error)
{
  g_autoptr(GArray) pardoned = g_array_new (FALSE, FALSE, sizeof (guint32));

  choose_merged (gc);
  for (guint i = 0; i < gc->packs->len; i++)
    {
      const PvPackRow *pack = &g_array_index (gc->packs, PvPackRow, i);

      if (is_worth_removing (gc, pack))
        g_array_append_val (gc->condemned, pack->number);
      else if (pack->state == PV_PACK_CONDEMNED)
        g_array_append_val (pardoned, pack->number);
    }
  if (pardoned->len > 0
      && !pv_index_pardon (gc->store->index, (const guint32 *) pardoned->data, pardoned->len, error))
    return FALSE;
  if (gc->condemned->len == 0)
    return TRUE;
  return pv_fault ("gc.condemn", error)
         && pv_index_condemn (gc->store->index, (const guint32 *) gc->condemned->data, gc->condemned->len, epoch,
                              error);
}

/* After the second marking: what has become worth keeping is pardoned and leaves the list. */
static gboolean
reconsider (Gc *gc, GError **error)
{
  g_autoptr(GArray) pardoned = g_array_new (FALSE, FALSE, sizeof (guint32));
  g_autoptr(GArray) packs = pv_index_packs (gc->store->index, error);

  if (packs == NULL)
    return FALSE;
  g_array_set_size (gc->condemned, 0);
  for (guint i = 0; i < packs->len; i++)
    {
      const PvPackRow *pack = &g_array_index (packs, PvPackRow, i);

      if (pack->state != PV_PACK_CONDEMNED)
        continue; /* or a writer took it back */
      if (is_worth_removing (gc, pack))
        g_array_append_val (gc->condemned, pack->number);
      else
        g_array_append_val (pardoned, pack->number);
    }
  return pardoned->len == 0
         || pv_index_pardon (gc->store->index, (const guint32 *) pardoned->data, pardoned->len, error);
}

/* --- rewriting and retiring --------------------------------------------------------------------------------------- */

/* Copies what is marked in the condemned packs. @added: (out): bytes of the new packs. */
static gboolean
rewrite (Gc *gc, guint64 *added, GError **error)
{
  g_autoptr(PvPackCopier) copier = NULL;

  *added = 0;
  for (guint i = 0; i < gc->condemned->len; i++)
    {
      guint32 number = g_array_index (gc->condemned, guint32, i);

      report (gc, "rewrite", i, gc->condemned->len);
      if (g_cancellable_is_cancelled (gc->cancellable))
        return pv_throw (error, PV_ERROR_CANCELLED, "stopped");
      if (pv_marks_count (gc->marks, number) == 0)
        continue;
      if (copier == NULL && (copier = pv_pack_copier_new (gc->store, gc->scratch, error)) == NULL)
        return FALSE;
      if (!pv_pack_copier_add (copier, number, gc->marks, error))
        return FALSE;
      gc->result->packs_rewritten++;
    }
  return copier == NULL || pv_pack_copier_commit (copier, added, error);
}

/* Names the files in the journal, so that whoever finds gc dead between the two steps removes them. */
static gboolean
journal_condemned (Gc *gc, GError **error)
{
  g_autoptr(GArray) names = g_array_new (FALSE, FALSE, sizeof (PvName));

  for (guint i = 0; i < gc->condemned->len; i++)
    {
      PvPackRow pack;

      if (pv_index_pack (gc->store->index, g_array_index (gc->condemned, guint32, i), &pack, NULL))
        g_array_append_val (names, pack.name);
    }
  return pv_store_scratch_journal (gc->scratch, names, NULL, error);
}

static gboolean
retire (Gc *gc, guint64 epoch, guint64 added, GError **error)
{
  g_autoptr(GArray) retired = NULL;
  g_autoptr(GArray) names = g_array_new (FALSE, FALSE, sizeof (PvName));
  guint64 removed = 0;

  report (gc, "remove", 0, gc->condemned->len);
  if (!journal_condemned (gc, error) || !pv_fault ("gc.retire", error))
    return FALSE;
  pv_store_scratch_keep (gc->scratch, TRUE); /* should anything fail from here on, the next open goes on */
  if (!pv_index_retire (gc->store->index, epoch, &retired, error))
    return FALSE;
  for (guint i = 0; i < retired->len; i++)
    {
      g_array_append_val (names, g_array_index (retired, PvPackRow, i).name);
      removed += g_array_index (retired, PvPackRow, i).size;
    }
  if (!pv_fault ("gc.unlink", error) || !pv_store_remove_unlisted (gc->store, names, NULL, error))
    return FALSE;
  pv_store_scratch_keep (gc->scratch, FALSE);
  gc->result->packs_removed = retired->len;
  gc->result->freed_bytes += removed > added ? removed - added : 0;
  report (gc, "remove", retired->len, retired->len);
  return TRUE;
}

static gboolean
collect (Gc *gc, GError **error)
{
  guint64 epoch = 0;
  guint64 added;
  gboolean waiting = FALSE;

  gc->packs = pv_index_packs (gc->store->index, error);
  if (gc->packs == NULL || !mark_roots (gc, error) || !condemn (gc, &epoch, error))
    return FALSE;
  if (gc->condemned->len == 0)
    return TRUE;
  if (!pv_index_older_writers (gc->store->index, epoch, &waiting, error))
    return FALSE;
  if (waiting)
    {
      gc->result->waiting_packs = gc->condemned->len;
      return TRUE;
    }
  return mark_roots (gc, error) && reconsider (gc, error) && rewrite (gc, &added, error)
         && retire (gc, epoch, added, error);
}

gboolean
pv_store_gc (PvStore *self, guint min_live_percent, PvGcResult *result, PvStoreProgressFunc progress, gpointer data,
             GCancellable *cancellable, GError **error)
{
  g_auto(Gc) gc = { .store = self, .min_live_percent = MIN (min_live_percent, 100), .progress = progress,
                    .progress_data = data, .cancellable = cancellable, .result = result };
  g_auto(PvFd) only = PV_FD_NONE; /* one gc at a time */
  guint64 n_files;

  *result = (PvGcResult){ 0 };
  only = pv_openat (AT_FDCWD, self->packs, O_RDONLY | O_DIRECTORY, 0, error);
  if (only < 0)
    return FALSE;
  if (!pv_flock (only, LOCK_EX | LOCK_NB, self->packs, error))
    {
      g_prefix_error (error, "another gc is at work: ");
      return FALSE;
    }
  gc.marks = pv_marks_new (self->index, self->reader);
  gc.condemned = g_array_new (FALSE, FALSE, sizeof (guint32));
  gc.merged = g_hash_table_new (g_direct_hash, g_direct_equal);
  gc.scratch = pv_store_scratch_new_named (self, "gc", error);
  return gc.scratch != NULL && pv_index_reap (self->index, error) && pv_store_sweep_scratch (self, error)
         && pv_store_sweep_orphans (self, &n_files, &result->freed_bytes, error) && collect (&gc, error)
         && pv_index_optimize (self->index, error);
}
