/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvIndex: the SQLite database (WAL) that says where every object is, which packs and which snapshots there are.
 *
 * It can always be rebuilt from the packs and the snapshot objects. Any number of processes and threads use one
 * index at once. All functions may be called from any thread (connections are pooled inside) and block on disk.
 *
 * Objects: names are random, so a B-tree of them would write one page for each new chunk. Instead each writer's new
 * objects become immutable *segments*: sorted runs, merged now and then, in SQLite tables; a negative filter in
 * front (one memory access) answers "not there" for nearly all new names without touching SQLite. The filter is an
 * accelerator only: losing bits of it costs deduplication, never correctness. Memory stays below 512 MiB at 100
 * million objects.
 *
 * Writers and gc: a writer is registered from begin to commit; its pending segments are invisible to others until
 * then. gc marks packs *condemned*: new writers do not deduplicate against them; a writer that began before and did
 * takes them back (to *live*) in its commit transaction; packs still condemned when the last such writer is gone
 * are *retired* (removed). So neither waits for the other for long, and no committed snapshot ever loses a pack.
 */
#pragma once

#include <glib.h>

#include "chunk/name.h"

G_BEGIN_DECLS

typedef struct
{
  guint32 pack;  /* the index's number of a pack; never reused */
  guint32 frame; /* in the pack */
  guint32 slot;  /* in the frame, < 256 */
} PvLocation;

typedef struct
{
  PvName name;
  PvLocation location;
} PvIndexEntry;

typedef enum
{
  PV_PACK_LIVE = 0,
  PV_PACK_CONDEMNED = 1,
  PV_PACK_PENDING = 2, /* announced by a writer that has not committed */
} PvPackState;

#define PV_INDEX_FILE "index.sqlite"        /* in DIRECTORY, with -wal and -shm beside it while in use */
#define PV_INDEX_FILTER_FILE "index.filter" /* likewise; may be removed at any time */

typedef struct
{
  guint32 number;
  PvName name;
  guint64 size;      /* bytes of the file */
  guint64 n_objects;
  PvPackState state;
} PvPackRow;

typedef struct
{
  PvName id;           /* name of the snapshot object */
  char *domain;        /* (owned) */
  char *name;          /* (owned) */
  gint64 time;         /* microseconds since 1970, UTC */
  guint64 stored_size; /* bytes this snapshot added to the store when it was made */
  GBytes *object;      /* (owned): the snapshot object itself */
} PvSnapshotRow;

void pv_snapshot_row_free (PvSnapshotRow *row);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvSnapshotRow, pv_snapshot_row_free)

typedef struct _PvIndex PvIndex; /* reference counted */

/* Opens DIRECTORY/index.sqlite, making it when @create. PV_ERROR_CORRUPT when it is not a usable index (rebuild it),
 * UNSUPPORTED when made by a newer version. */
PvIndex *pv_index_open (const char *directory, gboolean create, GError **error);
PvIndex *pv_index_ref (PvIndex *self);
void pv_index_unref (PvIndex *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvIndex, pv_index_unref)

/* Where @name is. FALSE without error: not in the index (or only in packs that are gone). With several copies any
 * one in a live pack is given, a condemned one only when there is no other. @state: (out) (optional). */
gboolean pv_index_lookup (PvIndex *self, const PvName *name, PvLocation *location, PvPackState *state, GError **error);

/* Lets the index read a pack's table when lookups hit that pack again and again; then lookups of its other objects,
 * by readers and writers, cost no more than a memory access. @source gives all entries of pack @number by calls of
 * @take, in any portions; it is called in threads that look up, and nothing happens when it gives none. Set it
 * before other threads use the index. */
typedef void (*PvIndexTakeFunc) (const PvIndexEntry *entries, gsize n, gpointer data);
typedef void (*PvIndexPackSource) (guint32 number, PvIndexTakeFunc take, gpointer take_data, gpointer data);
void pv_index_set_pack_source (PvIndex *self, PvIndexPackSource source, gpointer data);

/* Many at once, in one look at the index: faster than one by one. @locations, @states (nullable), @found: (out) n
 * of each. */
gboolean pv_index_lookup_many (PvIndex *self, const PvName *names, guint n, PvLocation *locations, PvPackState *states,
                               gboolean *found, GError **error);

typedef struct
{
  PvLocation location;
  PvPackState state;
} PvIndexCopy;
/* Every copy of @name, live ones first, newer ones before older ones; none: an empty array. (element-type
 * PvIndexCopy) */
GArray *pv_index_copies (PvIndex *self, const PvName *name, GError **error);

/* @number: FALSE without error when there is no such pack (retired meanwhile: look the object up again). Finds
 * PENDING ones too. */
gboolean pv_index_pack (PvIndex *self, guint32 number, PvPackRow *row, GError **error);
/* Likewise. A pack can be listed twice under one name (the same objects stored anew while the old pack is
 * condemned): the best row is given. A pack file whose name is not found here belongs to nobody. */
gboolean pv_index_pack_by_name (PvIndex *self, const PvName *name, PvPackRow *row, GError **error);
GArray *pv_index_packs (PvIndex *self, GError **error); /* (element-type PvPackRow), by number, without PENDING ones */

/* Snapshots, oldest first. @domain: (nullable). (element-type PvSnapshotRow) */
GPtrArray *pv_index_snapshots (PvIndex *self, const char *domain, GError **error);
/* NULL with PV_ERROR_NOT_FOUND. */
PvSnapshotRow *pv_index_snapshot (PvIndex *self, const char *domain, const char *name, GError **error);
/* Removes the row: from here on the snapshot does not exist. PV_ERROR_NOT_FOUND. */
gboolean pv_index_delete_snapshot (PvIndex *self, const char *domain, const char *name, GError **error);

typedef struct
{
  guint64 n_objects; /* rows of segments, copies counted */
  guint64 n_packs;
  guint64 n_snapshots;
  guint64 size;      /* bytes of the database and filter files */
  guint64 n_pending_writers;
} PvIndexStats;
gboolean pv_index_stats (PvIndex *self, PvIndexStats *stats, GError **error);

/* sqlite's integrity check and the segments' own checksums; appends a sentence (char*) for each damage to @damage. */
gboolean pv_index_verify (PvIndex *self, GPtrArray *damage, GError **error);

/* Merges small segments and rebuilds the filter where that pays; gc calls it. Beside writers and readers. */
gboolean pv_index_optimize (PvIndex *self, GError **error);

/* --- writing: one PvIndexWriter per store transaction ---------------------------------------------------------------
 * lookup, lookup_many and rely: any thread, at any time until commit. The others are serialized by the caller. */

typedef struct _PvIndexWriter PvIndexWriter;

/* Registers a writer. @lock_path: a file that the caller keeps flock()ed as long as the writer lives; who finds it
 * unlocked may drop the writer's pending rows (pv_index_reap). */
PvIndexWriter *pv_index_writer_begin (PvIndex *self, const char *lock_path, GError **error);
/* Drops everything pending. */
void pv_index_writer_free (PvIndexWriter *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvIndexWriter, pv_index_writer_free)

/* Announces a sealed pack; its number, usable in entries. */
gboolean pv_index_writer_add_pack (PvIndexWriter *self, const PvName *name, guint64 size, guint64 n_objects,
                                   guint32 *number, GError **error);
/* Adds objects of such a pack: n_objects of it in all, by the time of the commit. Order of @entries free. They are
 * collected (at most PV_INDEX_RUN_MAX) and go to SQLite as a pending segment, so memory stays bounded. */
#define PV_INDEX_RUN_MAX (256u << 10) /* entries: 10 MiB, objects of about 1 GiB */
gboolean pv_index_writer_add (PvIndexWriter *self, const PvIndexEntry *entries, gsize n, GError **error);
/* What a writer may deduplicate against: like pv_index_lookup, but finds this writer's own pending objects too, and
 * nothing in condemned packs. Names that are not there are told by the filter, at memory speed. FALSE without
 * error: store it. */
gboolean pv_index_writer_lookup (PvIndexWriter *self, const PvName *name, PvLocation *location, GError **error);
/* Many at once, in any order: cheaper where many are there. @locations, @found: (out) n of each. */
gboolean pv_index_writer_lookup_many (PvIndexWriter *self, const PvName *names, guint n, PvLocation *locations,
                                      gboolean *found, GError **error);
/* Notes that the snapshot relies on an existing object in pack @pack: it is taken back from condemnation at commit.
 * Cheap; thread-safe. */
void pv_index_writer_rely (PvIndexWriter *self, guint32 pack);

/* The commit point: pending packs and segments become visible and @snapshot (nullable: gc's rewriting has none) is
 * listed, in one SQLite transaction. PV_ERROR_EXISTS when domain@name is listed already; PV_ERROR_BUSY when a pack
 * relied on was retired (cannot happen while the writer was registered). Afterwards only free. */
gboolean pv_index_writer_commit (PvIndexWriter *self, const PvSnapshotRow *snapshot, GError **error);

/* Drops the pending rows of writers whose lock file is gone or not locked. Run at every open. */
gboolean pv_index_reap (PvIndex *self, GError **error);

/* --- gc -------------------------------------------------------------------------------------------------------- */

/* Condemns the packs with these numbers. @epoch: (out): pass it to retire. */
gboolean pv_index_condemn (PvIndex *self, const guint32 *packs, gsize n, guint64 *epoch, GError **error);
gboolean pv_index_pardon (PvIndex *self, const guint32 *packs, gsize n, GError **error);
/* TRUE in @waiting when a writer that began before @epoch is still registered and alive. */
gboolean pv_index_older_writers (PvIndex *self, guint64 epoch, gboolean *waiting, GError **error);
/* Removes those of the condemned packs (of @epoch or earlier) that are still condemned, if no older writer is alive
 * (else PV_ERROR_BUSY). @retired: (out) (element-type PvPackRow): the caller unlinks their files after this
 * returns. A file that another row needs under the same name is not among them; so that none appears in between,
 * the caller keeps writers from publishing packs (rename, then add_pack) from before this call until the files are
 * gone. */
gboolean pv_index_retire (PvIndex *self, guint64 epoch, GArray **retired, GError **error);

/* Rebuilding: an empty index in another directory, filled pack by pack and snapshot by snapshot through ordinary
 * writers, closed, and then put in the place of the old one by this. Nobody may have either open. Both directories
 * on one file system. */
gboolean pv_index_replace (const char *from_directory, const char *to_directory, GError **error);

G_END_DECLS
