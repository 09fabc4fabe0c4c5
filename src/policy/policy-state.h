/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPolicyState: what has become of a guest's policy: when it ran, how that went, what is still to be done.
 *
 * One small file for each guest, STORE/policies/UUID, so that it outlives pagevaultd, libvirtd and the host. Who
 * changes it holds the guest's lock, STORE/policies/UUID.lock, from load to save: one run of a policy at a time.
 * What cannot be read begins anew. Not shareable between threads.
 */
#pragma once

#include "util/file.h"

G_BEGIN_DECLS

#define PV_POLICIES "policies"       /* STORE/policies */
#define PV_POLICY_UNPUSHED_MAX 64    /* snapshots: the oldest is forgotten beyond */

typedef struct
{
  char *domain;      /* (owned) (nullable): the guest's name when it was last seen */
  char *digest;      /* (owned) (nullable): of the policy that the rest is about */
  gint64 anchor;     /* seconds since 1970: what was due up to here is dealt with; 0: never seen */
  gint64 attempt;    /* when the last run ended, or broke off; 0: none yet */
  gint64 success;    /* when the last good run ended; 0: none yet */
  char *snapshot;    /* (owned) (nullable): DOMAIN@NAME that it made */
  guint failures;    /* runs in a row that failed */
  char *message;     /* (owned) (nullable): why the last one did */
  char **unpushed;   /* (owned) (nullable): DOMAIN@NAME still to be pushed, oldest first */
  gint64 push_attempt;
  guint push_failures;
  char *push_message; /* (owned) (nullable) */
  char *prune_message; /* (owned) (nullable): why retention failed the last time */
} PvPolicyState;

void pv_policy_state_clear (PvPolicyState *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvPolicyState, pv_policy_state_clear)

/* A descriptor that holds the lock until it is closed. PV_ERROR_BUSY: a run is under way. */
int pv_policy_state_lock (const char *store, const char *uuid, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* TRUE when a run is under way. */
gboolean pv_policy_state_is_locked (const char *store, const char *uuid);

/* Held by the pagevaultd that runs the policies of a store: STORE/policies/served.lock. BUSY: another does. */
int pv_policy_serve (const char *store, GError **error) G_GNUC_WARN_UNUSED_RESULT;
/* TRUE when one does. */
gboolean pv_policy_is_served (const char *store);

/* @self: (out): all zero when there is no file, or none that can be read. */
void pv_policy_state_load (PvPolicyState *self, const char *store, const char *uuid);
gboolean pv_policy_state_save (const PvPolicyState *self, const char *store, const char *uuid, GError **error);

/* The guest is called @domain and its policy is @policy, in normal form, at @now. A policy that is new, or has changed,
 * is due from now on; one that was failing is tried again at once. What lies in the future, because the clock was set
 * back, is as if it were now. TRUE when something changed. */
gboolean pv_policy_state_see (PvPolicyState *self, const char *domain, const char *policy, gint64 now);
/* The run that ends at @now made @snapshot. */
void pv_policy_state_succeeded (PvPolicyState *self, const char *snapshot, gint64 now);
void pv_policy_state_failed (PvPolicyState *self, const char *message, gint64 now);
void pv_policy_state_add_unpushed (PvPolicyState *self, const char *snapshot);
void pv_policy_state_pushed (PvPolicyState *self, const char *snapshot);
void pv_policy_state_push_failed (PvPolicyState *self, const char *message, gint64 now);

G_END_DECLS
