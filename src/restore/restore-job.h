/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRestoreJob: a guest from a snapshot.
 *
 *   check -> disks -> [pager, or memory image] -> [the guest that is replaced ends] -> load, paused -> define -> commit
 *     -> run
 *
 * Up to the commit everything can be taken back, and is: by the job when it fails, by the next command when it was
 * killed (pv_restore_recover(); restore/restore-journal.h). The old guest is never harmed: a domain of that name that
 * runs is refused unless it is to be replaced; files that exist are never touched.
 */
#pragma once

#include "store/volume-reader.h"
#include "virt/guest.h"

G_BEGIN_DECLS

typedef enum
{
  PV_RESTORE_DISKS_COPY,    /* plain full copies: qcow2 files */
  PV_RESTORE_DISKS_OVERLAY, /* qcow2 overlays over raw images served from the store */
} PvRestoreDisks;

/* A file that has the content of a disk of the snapshot. */
typedef struct
{
  char *path;   /* (owned) */
  char *format; /* (owned): "raw", "qcow2" */
} PvRestoreBase;
PvRestoreBase *pv_restore_base_new (const char *path, const char *format);
void pv_restore_base_free (PvRestoreBase *self);

typedef struct
{
  const char *name;       /* (nullable): another domain name: gets a new UUID */
  gboolean paused;        /* leave it paused */
  gboolean running;       /* let it run, also when it was paused at the snapshot's instant */
  gboolean isolate;       /* it runs beside the original: links of all network interfaces down, new generation id */
  PvRestoreDisks disks;
  const char *pool_dir;   /* for overlays: the directory in which the store's disks are served (pool/mount.h) */
  GHashTable *bases;      /* (nullable): target -> PvRestoreBase: the new disk is a qcow2 overlay over that file, which
                             nobody writes to as long as there is one; comes before .disks */
  const char *disks_dir;  /* (nullable): directory of the new disks; the directory of the original disk */
  gboolean eager;         /* load all memory first, also where the host could do otherwise */
  guint64 prefetch_rate;  /* lazy: bytes a second of memory that the guest has not asked for; 0: no limit */
  gboolean replace;       /* the domain of that name and UUID may run: it is ended when all else is ready */
  const char *checkpoint; /* (nullable): DOMAIN@NAME from which the replaced guest is brought back should the new one
                             not start; without it is booted from its disks */
} PvRestoreOptions;

typedef struct
{
  char *domain;              /* (owned) */
  char *uuid;                /* (owned) */
  gboolean lazy;             /* memory comes behind the guest */
  char *why_eager;           /* (owned) (nullable): why it is not lazy though it was to be: a sentence */
  char *frozen;              /* (owned) (nullable): file systems stay frozen: a sentence that says what to do */
  double running_ms;         /* command to guest running */
  double total_ms;
  guint64 pages_on_demand;
  GPtrArray *replaced;       /* (owned) (element-type utf8): disk files that the replaced domain had and has no more */
} PvRestoreResult;
void pv_restore_result_clear (PvRestoreResult *self);

typedef void (*PvRestoreProgressFunc) (const char *phase, guint64 done, guint64 total, gpointer data);

/* Looks whether it could be run; does nothing. */
gboolean pv_restore_can (PvStore *store, PvConnection *connection, PvSnapshot *snapshot,
                         const PvRestoreOptions *options, GError **error);

/* When it fails after a guest that is replaced was ended, that guest is brought back; the message says how. */
gboolean pv_restore_run (PvStore *store, PvConnection *connection, PvSnapshot *snapshot,
                         const PvRestoreOptions *options, PvRestoreResult *result,
                         PvRestoreProgressFunc progress, gpointer data,
                         GCancellable *cancellable, GError **error);

/* Copies what the overlays of the guest @uuid, which was restored from @snapshot and runs, lack into them, so that it
 * needs the store no more: one disk after another. All of its memory must be there. */
gboolean pv_restore_hydrate (PvConnection *connection, PvSnapshot *snapshot, const char *uuid,
                             PvRestoreProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error);

/* Finishes or undoes what killed restores into @store left; those that are at work are left alone. @mended: (out)
 * (transfer full) (element-type utf8): what was done, a sentence each. */
gboolean pv_restore_recover (PvStore *store, PvConnection *connection, GPtrArray **mended, GError **error);

G_END_DECLS
