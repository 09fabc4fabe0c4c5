/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The steps and why they are in this order: docs/format-remote.md, "Pushing". */
#include "config.h"

#include "store/push.h"

#include <time.h>

#include "store/push-plan.h"
#include "store/push-upload.h"
#include "util/error.h"
#include "util/fault.h"

enum
{
  ATTEMPTS = 8,             /* plans made before giving up: packs vanish rarely */
  RENEW_SECONDS = 600,      /* after which the needs are written again */
  FRESH_SECONDS = 1800,     /* that they may be old when the snapshot is written */
};

typedef struct
{
  PvStore *store;
  PvMirror *mirror;
  PvRemote *remote;       /* (owned) */
  PvSnapshot *snapshot;
  char *needs_key;        /* (owned) */
  GPtrArray *damaged;     /* (owned) (element-type utf8): keys of lists of its needs that are none */
  PvPushPlan *plan;       /* (owned) (nullable) */
  gint64 written;         /* seconds since boot when the needs were written last */
  PvStoreProgressFunc progress;
  gpointer progress_data;
  GCancellable *cancellable;
  PvPushResult *result;
} Push;

static void
push_clear (Push *self)
{
  g_clear_pointer (&self->remote, pv_remote_unref);
  g_clear_pointer (&self->plan, pv_push_plan_free);
  g_clear_pointer (&self->damaged, g_ptr_array_unref);
  g_free (self->needs_key);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Push, push_clear)

/* Counts on while the host sleeps. */
static gint64
seconds_since_boot (void)
{
  struct timespec now;

  clock_gettime (CLOCK_BOOTTIME, &now);
  return now.tv_sec;
}

static void
report (Push *self, const char *phase, guint64 done, guint64 total)
{
  if (self->progress != NULL)
    self->progress (phase, done, total, self->progress_data);
}

static void
take_needs_key (Push *self)
{
  g_autofree char *id = pv_name_to_hex (pv_snapshot_id (self->snapshot));
  g_autofree char *token = pv_mirror_token ();

  g_free (self->needs_key);
  self->needs_key = g_strdup_printf ("needs/%s/%s", id, token);
}

/* --- before ------------------------------------------------------------------------------------------------------- */

/* TRUE in @result when there is nothing to do. */
static gboolean
look (Push *self, GError **error)
{
  g_autoptr(GPtrArray) warnings = g_ptr_array_new_with_free_func (g_free);
  g_autoptr(PvSnapshot) there = NULL;
  g_autoptr(GArray) needs = NULL;
  g_autoptr(GError) why = NULL;

  if (!pv_mirror_check_format (self->mirror, TRUE, self->cancellable, error)
      || !pv_mirror_refresh_snapshots (self->mirror, warnings, self->cancellable, error))
    return FALSE;
  there = pv_mirror_find (self->mirror, pv_snapshot_domain (self->snapshot), pv_snapshot_name (self->snapshot), &why);
  if (why != NULL)
    return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
  if (there == NULL)
    return TRUE;
  if (!pv_name_equal (pv_snapshot_id (there), pv_snapshot_id (self->snapshot)))
    return pv_throw (error, PV_ERROR_EXISTS, "remote '%s' has another snapshot of this name: delete it there first",
                     pv_mirror_name (self->mirror));
  needs = pv_mirror_needs (self->mirror, pv_snapshot_id (there), self->damaged, self->cancellable, error);
  if (needs == NULL)
    return FALSE;
  /* what is needed is not told any more: it is told again */
  self->result->was_there = needs->len > 0 && self->damaged->len == 0;
  return TRUE;
}

static void
remove_failed (GHashTable *view, GArray *failed)
{
  for (guint i = 0; i < failed->len; i++)
    {
      PvMirrorPack *pack = g_hash_table_lookup (view, &g_array_index (failed, PvName, i));

      if (pack != NULL)
        pack->bad = TRUE; /* it is sent again if it is needed */
    }
}

/* What the remote has, as the mirror's index knows it. */
static GHashTable *
view_remote (Push *self, GError **error)
{
  g_autoptr(GHashTable) view = pv_mirror_view_packs (self->mirror, self->cancellable, error);
  g_autoptr(GArray) packs = view != NULL ? pv_mirror_view_list (view, TRUE) : NULL;
  g_autoptr(GArray) failed = g_array_new (FALSE, FALSE, sizeof (PvName));

  if (packs == NULL)
    return NULL;
  if (!pv_mirror_learn_packs (self->mirror, packs, failed, self->progress, self->progress_data, self->cancellable,
                              error))
    return NULL;
  remove_failed (view, failed);
  return g_steal_pointer (&view);
}

/* --- needs -------------------------------------------------------------------------------------------------------- */

static gboolean
write_needs (Push *self, GError **error)
{
  g_autoptr(GBytes) bytes = NULL;

  /* What got old a prune may be removing just now: it is never written again. */
  if (self->needs_key == NULL || seconds_since_boot () - self->written >= FRESH_SECONDS)
    take_needs_key (self);
  if (self->plan->needs->packs->len > PV_PACK_LIST_MAX)
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "it needs more than %u packs", PV_PACK_LIST_MAX);
  self->plan->needs->time = g_get_real_time ();
  bytes = pv_pack_list_serialize (self->plan->needs);
  self->written = seconds_since_boot (); /* the time before it is there: the earlier one is the safe one */
  return pv_fault ("push.needs", error)
         && pv_remote_put (self->remote, self->needs_key, bytes, PV_REMOTE_PUT_DEFAULT, self->cancellable, error);
}

static gboolean
tick (guint64 done, gpointer data, GError **error)
{
  Push *self = data;

  report (self, "push", done, self->plan->bytes);
  return seconds_since_boot () - self->written < RENEW_SECONDS || write_needs (self, error);
}

/* FALSE in @sound when a pack that is needed is condemned, or not there; all of them as one look at the remote shows
 * it. @all: FALSE: those to be uploaded need not be there yet. */
static gboolean
check_needs (Push *self, gboolean all, gboolean *sound, GError **error)
{
  g_autoptr(GHashTable) view = pv_mirror_view_packs (self->mirror, self->cancellable, error);

  *sound = TRUE;
  for (guint i = 0; view != NULL && i < self->plan->needs->packs->len; i++)
    {
      const PvRemotePack *pack = &g_array_index (self->plan->needs->packs, PvRemotePack, i);
      const PvMirrorPack *there = g_hash_table_lookup (view, &pack->name);
      gboolean absent = there == NULL || (!there->live && there->next <= pack->generation);

      if (absent && !all)
        continue;
      *sound = *sound && there != NULL && there->live && there->generation == pack->generation
               && there->size == pack->size;
    }
  return view != NULL;
}

/* --- the steps ---------------------------------------------------------------------------------------------------- */

static gboolean
commit (Push *self, GError **error)
{
  g_autofree char *key = pv_mirror_snapshot_key (pv_snapshot_id (self->snapshot));
  g_autoptr(GBytes) bytes = pv_snapshot_serialize (self->snapshot);

  return pv_fault ("push.commit", error)
         && pv_remote_put (self->remote, key, bytes, PV_REMOTE_PUT_DEFAULT, self->cancellable, error)
         && pv_fault ("push.committed", error);
}

/* One plan, carried out. @done: (out): FALSE: the world changed under it. */
static gboolean
attempt (Push *self, gboolean *done, GError **error)
{
  g_autoptr(GHashTable) view = view_remote (self, error);
  guint64 sent = 0;
  gboolean sound, uploaded;

  *done = FALSE;
  g_clear_pointer (&self->plan, pv_push_plan_free);
  if (view != NULL)
    self->plan = pv_push_plan_new (self->store, self->mirror, view, self->snapshot, self->cancellable, error);
  if (self->plan == NULL || !write_needs (self, error) || !check_needs (self, FALSE, &sound, error))
    return FALSE;
  if (!sound)
    return TRUE;
  report (self, "push", 0, self->plan->bytes);
  uploaded = pv_push_upload (self->store, self->remote, self->plan, &sent, tick, self, self->cancellable, error);
  self->result->packs_sent += sent;
  if (!uploaded)
    return FALSE;
  self->result->sent_bytes += self->plan->bytes;
  do
    {
      if (seconds_since_boot () - self->written >= RENEW_SECONDS && !write_needs (self, error))
        return FALSE;
      if (!pv_fault ("push.check", error) || !check_needs (self, TRUE, &sound, error))
        return FALSE;
    }
  while (sound && seconds_since_boot () - self->written >= FRESH_SECONDS);
  *done = sound && commit (self, error);
  return *done || !sound;
}

static gboolean
push (Push *self, GError **error)
{
  for (guint i = 0; i < ATTEMPTS; i++)
    {
      g_autoptr(GError) why = NULL;
      gboolean done;

      if (attempt (self, &done, &why))
        {
          if (!done)
            continue;
          self->result->packs = self->plan->needs->packs->len;
          self->result->shared_packs = self->plan->n_shared;
          report (self, "push", self->plan->bytes, self->plan->bytes);
          return TRUE;
        }
      if (!g_error_matches (why, PV_ERROR, PV_ERROR_NOT_FOUND) || i + 1 == ATTEMPTS)
        return g_propagate_error (error, g_steal_pointer (&why)), FALSE;
      g_debug ("push: once more: %s", why->message);
    }
  return pv_throw (error, PV_ERROR_BUSY, "packs keep vanishing from remote '%s' or from this store: is a prune at work?"
                                         " Try again later",
                   pv_mirror_name (self->mirror));
}

/* What they said is told by a list that is sound now. */
static gboolean
remove_damaged (Push *self, GError **error)
{
  for (guint i = 0; i < self->damaged->len; i++)
    if (!pv_remote_delete (self->remote, self->damaged->pdata[i], self->cancellable, error))
      return FALSE;
  return TRUE;
}

gboolean
pv_store_push (PvStore *store, PvMirror *mirror, PvSnapshot *snapshot, PvPushResult *result,
               PvStoreProgressFunc progress, gpointer data, GCancellable *cancellable, GError **error)
{
  g_auto(Push) self = { .store = store, .mirror = mirror, .snapshot = snapshot, .progress = progress,
                        .progress_data = data, .cancellable = cancellable, .result = result };

  *result = (PvPushResult){ 0 };
  self.damaged = g_ptr_array_new_with_free_func (g_free);
  self.remote = pv_mirror_remote (mirror, error);
  if (self.remote == NULL || !look (&self, error))
    return FALSE;
  if (!result->was_there && (!push (&self, error) || !remove_damaged (&self, error)))
    return FALSE;
  pv_mirror_send_working_set (mirror, pv_snapshot_id (snapshot), cancellable);
  return TRUE;
}
