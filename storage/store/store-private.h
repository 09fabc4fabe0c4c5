/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of this room share about a PvStore: its parts, its paths, its lock, its scratch directories. */
#pragma once

#include "index/index.h"
#include "store/object-reader.h"
#include "store/store.h"
#include "util/file.h"

G_BEGIN_DECLS

struct _PvStore
{
  gint ref_count;         /* atomic */
  char *directory;
  char *packs;            /* DIRECTORY/packs; likewise the others */
  char *snapshots;
  char *tmp;
  char *lock;
  char *format;
  char uuid[37];
  PvStoreKey *key;        /* (owned) (nullable): of an encrypted store */
  PvIndex *index;         /* (owned) */
  PvObjectReader *reader; /* (owned) */
  GPtrArray *mirrors;     /* (owned) (element-type PvMirror): attached; .reader falls back to theirs */
};

/* A store whose format marker and directories are right, with neither index nor reader: for making the index anew. */
PvStore *pv_store_open_without_index (const char *directory, GError **error);

/* Where a pack or a snapshot object lies (transfer full). */
char *pv_store_pack_path (PvStore *self, const PvName *name);
char *pv_store_snapshot_path (PvStore *self, const PvName *id);

/* (transfer full): what the index has for a domain, and for a snapshot's name: they themselves, or keyed digests in an
 * encrypted store. @domain NULL: NULL. */
char *pv_store_index_domain (PvStore *self, const char *domain);
char *pv_store_index_name (PvStore *self, const char *domain, const char *name);
char *pv_index_domain_with_key (PvStoreKey *key, const char *domain);
char *pv_index_name_with_key (PvStoreKey *key, const char *domain, const char *name);
/* The snapshot in a row of the index, or a file of STORE/snapshots or of a pin. */
PvSnapshot *pv_store_parse_snapshot (PvStore *self, GBytes *bytes, guint64 stored_size, GError **error);
/* TRUE when the index has @snapshot under its own name. */
gboolean pv_store_row_is_of (PvStore *self, const PvSnapshotRow *row, PvSnapshot *snapshot);

/* flock()s STORE/lock: LOCK_SH while publishing and committing, and while a directory below tmp is being made; LOCK_EX
 * for removing what nobody refers to. | LOCK_NB: PV_ERROR_BUSY. The lock is held as long as the descriptor is open. */
int pv_store_lock (PvStore *self, int operation, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- scratch directories (store-scratch.c) ------------------------------------------------------------------------ */

/* A directory whose name begins with @prefix; see pv_store_scratch_new(). */
PvStoreScratch *pv_store_scratch_new_named (PvStore *self, const char *prefix, GError **error);
/* The path of the flock()ed file in it. */
const char *pv_store_scratch_lock_path (PvStoreScratch *self);

/* Files in a scratch directory that others know: */
#define PV_SCRATCH_LOCK "lock"       /* flock()ed as long as the owner lives */
#define PV_SCRATCH_BASE "base"       /* a snapshot object: gc keeps what it refers to as long as the owner lives */
#define PV_SCRATCH_JOURNAL "journal" /* lines "pack NAME" and "snapshot ID": files that may be left in the store when
                                        the owner dies; whoever sweeps removes those that are not in the index */

/* Notes in the journal that these files are about to be published or removed. (element-type PvName), nullable. Not
 * synced: a journal lost in a power failure only leaves the files to the next gc. */
gboolean pv_store_scratch_journal (PvStoreScratch *self, GArray *packs, GArray *snapshots, GError **error);

/* @keep: pv_store_scratch_free() shall not remove the directory: the next open sweeps it, journal and all. */
void pv_store_scratch_keep (PvStoreScratch *self, gboolean keep);

/* Makes @snapshot the base of @scratch, and sees that it is listed still (NOT_FOUND). The caller holds STORE/lock
 * shared. */
gboolean pv_store_scratch_pin (PvStore *self, PvStoreScratch *scratch, PvSnapshot *snapshot, GError **error);
/* The bases (PV_SCRATCH_BASE) of all scratch directories with a living owner. (element-type PvSnapshot) */
GPtrArray *pv_store_scratch_bases (PvStore *self, GError **error);

/* PV_ERROR_BUSY when somebody else has a scratch directory. */
gboolean pv_store_scratch_alone (PvStore *self, PvStoreScratch *mine, GError **error);

/* --- sweeping (store-sweep.c) ------------------------------------------------------------------------------------- */

/* Removes scratch directories whose owner is gone, and what their journals name that is not in the index. Does nothing
 * when there is none, or somebody is publishing right now. */
gboolean pv_store_sweep_scratch (PvStore *self, GError **error);
/* Removes every pack and snapshot object that is not in the index. Waits for whoever is publishing. @freed: bytes. */
gboolean pv_store_sweep_orphans (PvStore *self, guint64 *n_files, guint64 *freed, GError **error);

/* Removes the files of @packs and @snapshots (element-type PvName) (nullable) that the index does not list. Waits for
 * whoever is publishing. */
gboolean pv_store_remove_unlisted (PvStore *self, GArray *packs, GArray *snapshots, GError **error);

G_END_DECLS
