/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvLazyState: what is written down of a guest whose memory is still coming from the store.
 *
 *   STORE/pagers/UUID/restore.json   which guest, from which snapshot; written before the guest starts
 *                     snapshot       the snapshot object
 *                     status.json    how far it is; rewritten a few times a second
 *                     lock           locked by the pager and its keeper: without a lock the pager is dead
 *                     hurry          is there when somebody waits: the pager's rate does not count
 *
 * The directory goes when all memory is there, or the guest is gone. Any process may read it.
 */
#pragma once

#include "store/store.h"

G_BEGIN_DECLS

typedef struct
{
  char *directory; /* (owned) */
  char *uuid;      /* (owned): of the guest */
  char *domain;    /* (owned): its name */
  char *snapshot;  /* (owned): DOMAIN@NAME */
  char *uri;       /* (owned): of libvirt */
  guint64 rate;    /* bytes a second that nobody asked for; 0: no limit */
} PvLazyState;

typedef enum
{
  PV_LAZY_STARTING,   /* the guest has not run */
  PV_LAZY_RUNNING,    /* it runs, its memory comes */
  PV_LAZY_RECOVERING, /* the channel broke and is being mended */
  PV_LAZY_WAITING,    /* a remote gives no answer; the guest waits at the pages that it wants and lack */
  PV_LAZY_DAMAGED,    /* something of its memory cannot be read; the guest is paused */
  PV_LAZY_DEAD,       /* nobody serves it: pv_lazy_recover() */
} PvLazyPhase;
const char *pv_lazy_phase_to_string (PvLazyPhase phase);

typedef struct
{
  PvLazyPhase phase;
  gint64 pid;
  guint64 total_pages, sent_pages;
  guint64 zero_pages;                /* come by so far: those that nobody asks for are never sent */
  guint64 pages_on_demand, demand_us;
  guint64 pages_ahead;               /* sent before the guest ran */
  guint64 takeovers;
  char *message;                     /* (owned) (nullable): what is wrong */
} PvLazyStatus;
void pv_lazy_status_clear (PvLazyStatus *self);
/* Bytes of memory of which nothing is missing any more, about. */
guint64 pv_lazy_status_there (const PvLazyStatus *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvLazyStatus, pv_lazy_status_clear)

void pv_lazy_state_free (PvLazyState *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvLazyState, pv_lazy_state_free)

/* Writes the directory of @self, whose other members are set; .directory is set here. What a dead pager left there is
 * replaced. Returns the lock, an open descriptor; -1 with PV_ERROR_BUSY when a pager is at work. */
int pv_lazy_state_create (PvLazyState *self, const char *store_directory, PvSnapshot *snapshot, GError **error);
/* PV_ERROR_NOT_FOUND when no memory of the guest is missing. */
PvLazyState *pv_lazy_state_read (const char *store_directory, const char *uuid, GError **error);
PvSnapshot *pv_lazy_state_snapshot (const PvLazyState *self, PvStore *store, GError **error);
/* (element-type PvLazyState) (transfer full): all of a store; those that cannot be read are left out. */
GPtrArray *pv_lazy_state_list (const char *store_directory);
/* The lock, an open descriptor; -1 with PV_ERROR_BUSY when a pager is at work. */
int pv_lazy_state_lock (const PvLazyState *self, GError **error);
/* TRUE when nobody serves the guest. */
gboolean pv_lazy_state_dead (const PvLazyState *self);
gboolean pv_lazy_state_remove (const PvLazyState *self, GError **error);

gboolean pv_lazy_state_write_status (const PvLazyState *self, const PvLazyStatus *status, GError **error);
/* .phase is DEAD when nobody serves the guest, whatever is written. */
gboolean pv_lazy_state_read_status (const PvLazyState *self, PvLazyStatus *status, GError **error);

/* Asks the pager to hurry, and the pager whether it is to. */
gboolean pv_lazy_state_hurry (const PvLazyState *self, GError **error);
gboolean pv_lazy_state_hurried (const PvLazyState *self);

G_END_DECLS
