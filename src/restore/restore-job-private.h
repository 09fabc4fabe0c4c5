/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the files of the restore job share. */
#pragma once

#include "restore/lazy-restore.h"
#include "restore/restore-files.h"
#include "restore/restore-guard.h"
#include "restore/restore-job.h"
#include "util/file.h"
#include "xml/domain-xml.h"

G_BEGIN_DECLS

typedef struct
{
  PvStore *store;
  PvConnection *connection;
  PvSnapshot *snapshot;
  const PvRestoreOptions *options;
  PvTransfer transfer;
  const char *domain;        /* (not owned): the name that the guest gets */
  gboolean has_memory;
  gboolean run;              /* in the end it runs; else it stays paused */
  PvDomainXml *live;         /* (owned): the guest as it ran, changed for its new life */
  PvDomainXml *inactive;     /* (owned) (nullable): its definition, likewise */
  PvGuest *old;              /* (owned) (nullable): the domain of that name and UUID that is there */
  PvRunState old_state;
  gboolean old_persistent;
  PvRestoreJournal *journal; /* (owned) */
  PvRestoreGuard *guard;     /* (owned) (nullable): there while a guest is being replaced */
  PvRestoreFiles *files;     /* (owned) */
  PvStoreScratch *scratch;   /* (owned) (nullable): of the memory image */
  gboolean committed;        /* nothing is undone any more */
  char *image;               /* (owned) (nullable): path of the memory image */
  PvFd image_fd;             /* (owned): of an image in memory; 0: none */
  PvLazyRestore *lazy;       /* (owned) (nullable): the pager that is to fill the guest; NULL: eager */
  char *why_eager;           /* (owned) (nullable): why it is not lazy though it was to be */
} PvRestore;
void pv_restore_clear (PvRestore *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvRestore, pv_restore_clear)

/* restore-checks.c: reads the snapshot's documents, names the guest, looks at who is there already. */
gboolean pv_restore_check (PvRestore *self, GError **error);

/* restore-disks.c: makes all new disks, and the UEFI variables, and puts them into the descriptions. */
gboolean pv_restore_make_disks (PvRestore *self, GError **error);

/* restore-eager.c: all memory is loaded before the guest runs. prepare() does what can be done while another guest
 * has its place; load() leaves it paused. */
gboolean pv_restore_prepare_eager (PvRestore *self, GError **error);
gboolean pv_restore_load_eager (PvRestore *self, GError **error);

/* restore-thaw.c: lets file systems go that the snapshot has frozen. That it cannot is told in the result. */
void pv_restore_thaw (PvRestore *self, PvRestoreResult *result);

/* restore-recover.c: as PvBringBackFunc; @data: PvRestoreRecovery. */
typedef struct
{
  PvStore *store;
  PvConnection *connection;
  PvRestoreDisks disks;
  const char *pool_dir; /* (nullable) */
} PvRestoreRecovery;
gboolean pv_restore_bring_back (const char *snapshot, const char *xml, gboolean paused, gpointer data,
                                GError **error);

/* restore-job.c: runs it. @way_back: it brings back a guest that another restore has replaced. */
gboolean pv_restore_run_as (PvRestore *self, gboolean way_back, PvRestoreResult *result, GError **error);

/* restore-lazy.c: the same, lazily if that can be; load: the guest is there, paused, and has its devices. */
gboolean pv_restore_prepare_memory (PvRestore *self, GError **error);
gboolean pv_restore_load_memory (PvRestore *self, PvRestoreResult *result, GError **error);

G_END_DECLS
