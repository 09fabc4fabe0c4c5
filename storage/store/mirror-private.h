/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of a mirror share: mirror.c (its life, the marker, attaching), mirror-snapshots.c (the list of
 * snapshots), mirror-packs.c (which packs there are), mirror-tables.c (what is in them, and reading them); and what
 * push, pull and prune build on. */
#pragma once

#include "index/index.h"
#include "store/block-cache.h"
#include "store/mirror.h"
#include "store/object-reader.h"
#include "store/pack-list.h"
#include "util/file.h"

G_BEGIN_DECLS

#define PV_MIRROR_THREADS 8u /* requests at once */

struct _PvMirror
{
  gint ref_count;       /* atomic */
  char *name;
  char *directory;      /* STORE/mirrors/NAME; likewise the others */
  char *tables;
  char *ready;          /* files called by snapshots: pv_mirror_prepare() was done for them */
  char *lock_path;
  char *format;
  char *attached;
  char *store;          /* STORE */
  char *packs;          /* STORE/packs: packs that are here, too, are read here */
  PvStoreKey *key;        /* (owned) (nullable): of an encrypted store */
  PvIndex *index;         /* (owned): of the remote's objects */
  PvObjectReader *reader; /* (owned) */
  PvBlockCache *blocks;   /* (owned) */
  GMutex lock;
  PvRemote *remote;       /* (owned) (nullable); under lock */
  GHashTable *generations; /* of PvName (owned) -> generation, where it is not 0; under lock */
};

/* (transfer full): the connection; made when there is none. */
PvRemote *pv_mirror_remote (PvMirror *self, GError **error);

/* Locks the mirror against other refreshes, as long as the descriptor is open. */
int pv_mirror_lock (PvMirror *self, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* --- snapshots (mirror-snapshots.c) ------------------------------------------------------------------------------- */

/* (transfer full): of PvName (owned): the snapshots that the remote lists now. */
GHashTable *pv_mirror_snapshot_ids (PvMirror *self, GCancellable *cancellable, GError **error);
/* (transfer full) */
char *pv_mirror_snapshot_key (const PvName *id);

/* --- which packs there are (mirror-packs.c) ----------------------------------------------------------------------- */

/* A pack of the remote, whatever its generations. */
typedef struct
{
  PvName name;        /* the key of the table below */
  guint64 size;       /* bytes; of the generation below */
  guint32 generation; /* the one to use: not condemned if there is such a one */
  guint32 next;       /* a generation that no key has */
  gboolean live;      /* it is not condemned */
  gboolean bad;       /* what is there is not this pack */
} PvMirrorPack;

/* (transfer full): all packs of the remote now: PvName -> PvMirrorPack (owned). Condemned ones are condemned in the
 * index, those that are gone are removed from it. */
GHashTable *pv_mirror_view_packs (PvMirror *self, GCancellable *cancellable, GError **error);
/* (transfer full) (element-type PvRemotePack): those of such a view, in no order; condemned ones unless @live_only. */
GArray *pv_mirror_view_list (GHashTable *view, gboolean live_only);

/* (transfer full): 32 hexadecimal digits that nobody else has. */
char *pv_mirror_token (void);

/* Calls @func for each pack list below @prefix ("needs/" or "condemned/"): @mtime: when it was written, in seconds, by
 * the remote's clock. For a list that is none @damaged is called, @snapshot being the one of its key; where that is
 * NULL it is an error. */
typedef gboolean (*PvMirrorListFunc) (const char *key, gint64 mtime, PvPackList *list, gpointer data, GError **error);
typedef void (*PvMirrorDamagedFunc) (const char *key, gint64 mtime, const PvName *snapshot, const GError *why,
                                     gpointer data);
gboolean pv_mirror_each_list (PvMirror *self, const char *prefix, PvMirrorListFunc func, PvMirrorDamagedFunc damaged,
                              gpointer data, GCancellable *cancellable, GError **error);

/* --- what is in them (mirror-tables.c) ---------------------------------------------------------------------------- */

/* The generation of the key of pack @name, as far as it was seen; 0 when it was not. */
guint32 pv_mirror_generation (PvMirror *self, const PvName *name);

/* (transfer full): the table of a pack: from a local pack, from what was kept, or from the remote. */
PvPackTable *pv_mirror_table (PvMirror *self, const PvName *name, guint64 size, GCancellable *cancellable,
                              GError **error);

/* Lists all of @packs (element-type PvRemotePack) that the index does not know. Packs that are not there or not what
 * they should be are left out; @failed: (nullable) (element-type PvName): their names are appended. The network is an
 * error. */
gboolean pv_mirror_learn_packs (PvMirror *self, GArray *packs, GArray *failed, PvStoreProgressFunc progress,
                                gpointer data, GCancellable *cancellable, GError **error);

/* (transfer full) (element-type PvRemotePack): what the pack lists of snapshot @id name, sorted; a pack may be there
 * more than once. @damaged: (element-type utf8): keys of lists that are damaged are appended. */
GArray *pv_mirror_needs (PvMirror *self, const PvName *id, GPtrArray *damaged, GCancellable *cancellable,
                         GError **error);

/* The working set of a snapshot (docs/format-working-set.md), which may be missing and is not interpreted here: puts it
 * beside the snapshot in the remote, or fetches it from there unless there is one here. What fails is left: it only
 * makes restores faster. */
void pv_mirror_send_working_set (PvMirror *self, const PvName *id, GCancellable *cancellable);
void pv_mirror_fetch_working_set (PvMirror *self, const PvName *id, GCancellable *cancellable);

extern const PvPackFetch pv_mirror_fetch; /* data: the mirror */
GBytes *pv_mirror_fetch_block (const PvName *name, guint64 offset, gsize size, gpointer data, GError **error);

G_END_DECLS
