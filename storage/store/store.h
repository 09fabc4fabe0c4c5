/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvStore: a deduplicated store of snapshots in a directory.
 *
 *   STORE/format          what the store is: version, UUID, cipher (docs/format-store.md)
 *   STORE/index.sqlite    where everything is (rebuildable), with its -wal, -shm and filter files
 *   STORE/packs/XX/NAME   sealed packs, NAME = 64 hexadecimal digits, XX its first two
 *   STORE/snapshots/ID    snapshot objects, one small file each
 *   STORE/tmp/            one directory for each transaction under way, with a locked file in it
 *   STORE/lock            flock: shared while publishing and committing; exclusive for sweeping orphans
 *
 * Directories 0700, files 0600. Any number of processes use one store at once. A snapshot that is listed is complete
 * and durable; nothing half done is ever seen. Every byte read back is checked against its name. Objects below are for
 * any thread unless they say otherwise; functions block on disk.
 */
#pragma once

#include <gio/gio.h>

#include "store/snapshot.h"

G_BEGIN_DECLS

typedef enum
{
  PV_STORE_OPEN_CREATE = 1 << 0, /* make it when DIRECTORY is missing or empty */
} PvStoreOpenFlags;

typedef struct _PvStore PvStore; /* reference counted */

/* Opens the store in @directory; sweeps what crashed transactions left. PV_ERROR_NOT_FOUND when there is none and
 * CREATE is not given; INVALID when the directory holds something else; UNSUPPORTED for a newer format. */
PvStore *pv_store_open (const char *directory, PvStoreOpenFlags flags, GError **error);
PvStore *pv_store_ref (PvStore *self);
void pv_store_unref (PvStore *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvStore, pv_store_unref)

const char *pv_store_directory (PvStore *self);

/* (transfer full): a new directory below STORE/tmp for a spill file or the like; it is removed by the next open when
 * its owner is gone. The owner removes it with pv_store_scratch_free(). */
typedef struct _PvStoreScratch PvStoreScratch;
PvStoreScratch *pv_store_scratch_new (PvStore *self, GError **error);
const char *pv_store_scratch_path (PvStoreScratch *self);
void pv_store_scratch_free (PvStoreScratch *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvStoreScratch, pv_store_scratch_free)

/* Snapshots, oldest first, @domain (nullable) only. (element-type PvSnapshot) (transfer container) */
GPtrArray *pv_store_list (PvStore *self, const char *domain, GError **error);
/* PV_ERROR_NOT_FOUND names the snapshot. */
PvSnapshot *pv_store_lookup (PvStore *self, const char *domain, const char *name, GError **error);
/* Likewise, also among the snapshots of attached remotes (store/mirror.h), which can then be read like the store's own:
 * what is not here comes from there. Asks them when nobody here knows the snapshot. */
PvSnapshot *pv_store_find (PvStore *self, const char *domain, const char *name, GCancellable *cancellable,
                           GError **error);
/* Likewise, as far as it is known here what remotes have: nobody is asked. pv_store_prepare() before it is read. */
PvSnapshot *pv_store_look_up_known (PvStore *self, const char *domain, const char *name, GError **error);
/* Sees to it that what one of these needs can be found; may ask the remote. */
gboolean pv_store_prepare (PvStore *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error);
/* All that the two before find: first the store's own. (element-type PvSnapshot) (transfer container) */
GPtrArray *pv_store_list_known (PvStore *self, GError **error);
/* (element-type PvMirror) (transfer none): the attached remotes. */
GPtrArray *pv_store_mirrors (PvStore *self);
/* (nullable): the newest snapshot of @domain: the base for the next one. NULL without error when there is none. */
PvSnapshot *pv_store_latest (PvStore *self, const char *domain, GError **error);
/* While a pin lives, gc keeps all that @snapshot needs, also when it is deleted: for whoever reads it for long.
 * PV_ERROR_NOT_FOUND when it is not listed any more. A snapshot of an attached remote is not gc's to remove. */
typedef struct _PvStorePin PvStorePin;
PvStorePin *pv_store_pin (PvStore *self, PvSnapshot *snapshot, GError **error);
void pv_store_pin_free (PvStorePin *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvStorePin, pv_store_pin_free)

/* Unlists the snapshot; its space comes back with pv_store_gc(). */
gboolean pv_store_delete (PvStore *self, const char *domain, const char *name, GError **error);

typedef struct
{
  guint64 n_snapshots;
  guint64 n_chunks;       /* distinct objects stored */
  guint64 n_packs;
  guint64 logical_bytes;  /* sum of all volumes of all snapshots */
  guint64 stored_bytes;   /* bytes on disk: packs, snapshot objects, index */
} PvStoreStat;
gboolean pv_store_stat (PvStore *self, PvStoreStat *stat, GError **error);

/* How much of a snapshot is its own: bytes of packs' frames (pro rata) that only it refers to, and those it shares.
 * Reads all its leaves and those of all others: slow on large stores. */
gboolean pv_store_snapshot_usage (PvStore *self, PvSnapshot *snapshot, guint64 *own_bytes, guint64 *shared_bytes,
                                  GCancellable *cancellable, GError **error);

/* Whether all that @snapshot refers to is there: its trees can be read, nothing that they name is missing, the packs of
 * it have their tables. Reads no data: verify does. PV_ERROR_CORRUPT, or the first error. */
gboolean pv_store_snapshot_check (PvStore *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error);

typedef void (*PvStoreProgressFunc) (const char *phase, guint64 done, guint64 total, gpointer data);

typedef struct
{
  guint64 packs_removed;
  guint64 packs_rewritten;
  guint64 freed_bytes;    /* of packs removed, less what rewriting added */
  guint64 waiting_packs;  /* condemned, but an older writer is still at work: the next gc takes them */
} PvGcResult;
/* Removes what no snapshot needs: packs without live objects go, packs less than @min_live_percent (0..100; 70 is
 * usual) live are rewritten, and, unless it is 0, small packs put together where there are many. Beside writers and
 * readers; a second gc at the same time gets PV_ERROR_BUSY. */
gboolean pv_store_gc (PvStore *self, guint min_live_percent, PvGcResult *result, PvStoreProgressFunc progress,
                      gpointer data, GCancellable *cancellable, GError **error);

typedef struct
{
  char *what;           /* (owned): the damaged thing, "pack 3f9a…", "index", "snapshot web1@a" */
  char *why;            /* (owned): a sentence */
  GPtrArray *snapshots; /* (element-type utf8) (owned): DOMAIN@NAME of those hit */
} PvDamage;
void pv_damage_free (PvDamage *self);

typedef struct
{
  guint64 checked_bytes; /* read from files */
  GPtrArray *damaged;    /* (element-type PvDamage) (owned) */
} PvVerifyResult;
void pv_verify_result_clear (PvVerifyResult *self);
/* Reads every file of the store: format, index, snapshot objects, packs; checks every checksum and name, and that all
 * that snapshots refer to is there. TRUE when it could look at everything: damage is in @result. */
gboolean pv_store_verify (PvStore *self, PvVerifyResult *result, PvStoreProgressFunc progress, gpointer data,
                          GCancellable *cancellable, GError **error);

/* Makes the index anew from packs and snapshot objects, for the store in @directory, which nobody may be using.
 * Snapshots that are not complete are left out, one sentence each in @dropped (element-type utf8). */
gboolean pv_store_rebuild_index (const char *directory, GPtrArray *dropped, PvStoreProgressFunc progress, gpointer data,
                                 GCancellable *cancellable, GError **error);

G_END_DECLS
