/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvSnapshotJob: one call that pagevaultd answers itself, for snapshot-calls.c and the files of the three calls. */
#pragma once

#include "daemon/snapshot-calls.h"
#include "virt/guest.h"

G_BEGIN_DECLS

struct _PvSnapshotCalls
{
  PvStore *store;             /* (owned) */
  PvLibvirtLink *link;        /* (not owned) */
  PvPoolService *pool;        /* (not owned) */
  char *pool_directory;       /* (owned) */
  char *disks_directory;      /* (owned) (nullable) */
  GCancellable *cancellable;  /* (owned) */
  GMutex pool_lock;           /* held while the pool is used; cancelled: it is not any more */
  GMutex lock;
  GCond cond;
  guint n_jobs;               /* under lock */
};

typedef struct
{
  PvSnapshotCalls *calls;   /* (not owned): waits for us */
  PvLibvirtClient *client;  /* (owned) */
  PvRpcCall *call;          /* (owned) */
  GByteArray *message;      /* (owned): the call as it came */
  PvConnection *connection; /* (owned) (nullable) */
  PvGuest *guest;           /* (owned) (nullable) */
} PvSnapshotJob;

G_DEFINE_AUTOPTR_CLEANUP_FUNC (virDomainSnapshot, virDomainSnapshotFree)

/* (transfer full): the reply that says @error; logged, too. @what: "a snapshot". */
GByteArray *pv_snapshot_job_refuse (PvSnapshotJob *job, const char *what, const GError *error);
/* libvirtd checks rights before all else: the call with @text, which makes no sense, fails with @code when the client
 * may do it. */
gboolean pv_snapshot_job_may (PvSnapshotJob *job, const char *text, int code);
/* Killed captures and restores, memory that is still to come: as before any command of pagevault's. */
gboolean pv_snapshot_job_settle (PvSnapshotJob *job, GError **error);
/* (transfer full) (nullable): the store's snapshot whose memory @libvirt has: of that guest and that second. */
PvSnapshot *pv_snapshot_job_find_stored (PvSnapshotJob *job, virDomainSnapshot *libvirt);

/* (transfer full) (nullable): the reply; NULL: libvirtd is to do it. */
GByteArray *pv_snapshot_job_create (PvSnapshotJob *job);
GByteArray *pv_snapshot_job_revert (PvSnapshotJob *job);
GByteArray *pv_snapshot_job_delete (PvSnapshotJob *job);

G_END_DECLS
