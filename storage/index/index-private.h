/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this room share about PvIndex: the pool of connections, the view, and looking names up. */
#pragma once

#include "index/database.h"
#include "index/filter.h"
#include "index/index.h"
#include "index/recent.h"
#include "index/segment.h"

G_BEGIN_DECLS

/* PvIndexView: which segments are listed and which packs there are, at one generation of the database. Every
 * transaction that changes either counts "generation" up, so that the view is loaded anew only then. Immutable;
 * reference counted. */
typedef struct
{
  guint32 number;
  PvPackState state;
} PvIndexViewPack;

typedef struct
{
  gint ref_count;
  PvIndexViewPack *list; /* (owned): by number */
  guint n;
  guint32 first;  /* number of the first */
  guint8 *dense;  /* (owned) (nullable): for each number from first on: 0 there is none, otherwise state + 1 */
  guint32 n_dense;
} PvIndexViewPacks;

typedef struct
{
  gint ref_count;
  guint64 generation;
  PvSegment *segments; /* (owned): largest first, so that most lookups end at the first */
  guint n_segments;
  PvIndexViewPacks *packs; /* (owned): shared by views between which only segments changed */
} PvIndexView;

PvIndexView *pv_index_view_ref (PvIndexView *self);
void pv_index_view_unref (PvIndexView *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvIndexView, pv_index_view_unref)
/* FALSE when there is no such pack. */
gboolean pv_index_view_pack (const PvIndexView *self, guint32 number, PvPackState *state);

#define PV_MERGE_STEP (64u << 10) /* some 30 ms */

struct _PvIndex
{
  gint ref_count;
  char *directory; /* (owned): absolute */
  char *path;      /* (owned): of the database */
  GMutex lock;
  GQueue idle;       /* (element-type PvDatabase) (owned): connections nobody uses; under lock */
  PvIndexView *view; /* (owned) (nullable): the newest one loaded; under lock */
  PvFilter *filter;  /* (owned) (nullable): the newest one opened; under lock */
  PvRecent *recent;  /* (owned) (nullable): as long as there is a source */
  PvIndexPackSource source; /* (nullable) */
  gpointer source_data;     /* (not owned) */
  guint run_max;     /* entries that a writer collects: PV_INDEX_RUN_MAX, less in tests */
  guint merge_step;  /* entries that a merge moves in one transaction: PV_MERGE_STEP, less in tests */
};

/* A connection borrowed from the pool for a scope. Declare it before the transaction and the queries that use it. */
typedef struct
{
  PvIndex *index;       /* (not owned) */
  PvDatabase *database; /* (owned) */
} PvIndexUse;
#define PV_INDEX_USE_INIT { NULL, NULL }
gboolean pv_index_use (PvIndexUse *self, PvIndex *index, GError **error);
void pv_index_use_clear (PvIndexUse *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvIndexUse, pv_index_use_clear)

/* The view of the database as the transaction that @database is in sees it. (transfer full) */
PvIndexView *pv_index_view (PvIndex *self, PvDatabase *database, GError **error);
/* Counts the generation up, in the caller's transaction. */
gboolean pv_index_changed (PvDatabase *database, GError **error);
/* Likewise, where only segments changed; @next: (out) (transfer full): the view as it will be, which costs less to
 * make than to load. @view: as it was in this transaction before. Pass @next to pv_index_keep_view() after the
 * commit. */
gboolean pv_index_segments_changed (PvDatabase *database, const PvIndexView *view, PvIndexView **next, GError **error);
/* Makes @view the one that lookups take, unless they have a newer one. */
void pv_index_keep_view (PvIndex *self, PvIndexView *view);

/* Whom a lookup is for, and what it found. */
typedef struct
{
  PvName name;
  guint index; /* the caller's */
  gboolean found;
  PvLocation location; /* when found */
  PvPackState state;   /* when found */
} PvIndexWant;

/* Names looked up at once: between slices, packs that turned out to be hit often are read. */
#define PV_INDEX_SLICE 128u

/* Takes those of the @n wants out that are known to be in a live pack without asking SQLite: they are found, and
 * moved behind the others. The number of the others. */
guint pv_index_find_recent (PvIndex *self, PvIndexWant *wants, guint n);
/* Remembers what SQLite found, and reads the tables of packs that are hit often. Outside any transaction. */
void pv_index_remember (PvIndex *self, const PvIndexWant *wants, guint n);
/* Loads the view if it changed, so that packs that are gone are not found any more. */
gboolean pv_index_refresh (PvIndex *self, GError **error);

/* Orders wants by name, as pv_index_find() needs them. */
void pv_index_wants_sort (PvIndexWant *wants, guint n);
/* Looks the @n wants that are not found yet (or only in condemned packs) up in @segments, inside the caller's
 * transaction. @view: (nullable): whose packs count; NULL: all do, and are live. */
gboolean pv_index_find (PvDatabase *database, const PvIndexView *view, const PvSegment *segments, guint n_segments,
                        PvIndexWant *wants, guint n, GError **error);

/* pv_index_packs() as the transaction that @database is in sees it. */
GArray *pv_index_list_packs (PvDatabase *database, GError **error);

/* The filter that the database names, as the transaction that @database is in sees it. (nullable) (transfer full):
 * NULL without error when it is not usable: then nothing can be left out. */
gboolean pv_index_filter (PvIndex *self, PvDatabase *database, PvFilter **filter, GError **error);
/* Makes the filter anew from the segments when it is unusable, much too small, or full of what aborted writers
 * left; @eager: also when it is only somewhat too small. Outside any transaction. That there is no room for one is
 * not an error. */
gboolean pv_index_mend_filter (PvIndex *self, gboolean eager, GError **error);

/* Drops all that writer @id has pending, and its row, in the caller's transaction. */
gboolean pv_index_drop_writer (PvDatabase *database, guint64 id, GError **error);
/* TRUE in @alive when a writer whose epoch is below @epoch is registered and its lock file is locked. Dead ones are
 * dropped. In the caller's transaction. */
gboolean pv_index_reap_older (PvIndex *self, PvDatabase *database, guint64 epoch, gboolean *alive, GError **error);

G_END_DECLS
