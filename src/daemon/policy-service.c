/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/policy-service.h"

#include <string.h>

#include "policy/policy-child.h"
#include "policy/policy-plan.h"
#include "util/error.h"
#include "util/helper-program.h"
#include "virt/guest-policy.h"

#define LOOK_S 5 /* seconds between two looks at libvirt's guests; what is due earlier is done when it is */
#define RUNS 4   /* guests at a time */

struct _PvPolicyService
{
  char *store;           /* (owned) */
  char *passphrase_file; /* (owned) (nullable) */
  char *secret_uuid;     /* (owned) (nullable) */
  PvLibvirtLink *link;   /* (not owned) */
  PvFd served;           /* (owned): the lock that says that somebody runs the policies */
  GMutex lock;
  GCond cond;
  GHashTable *busy;      /* (owned) (element-type utf8): UUIDs whose policy runs; under lock */
  GHashTable *told;      /* (owned) (element-type utf8 utf8): what was said of the policy of a UUID; of .thread */
  GCancellable *cancellable; /* (owned): it is over; cancelled under lock, so that nobody misses .cond */
  GThreadPool *runs;     /* (owned) */
  GThread *thread;       /* (owned) */
};

/* One guest whose policy is to run. */
typedef struct
{
  char *domain, *uuid; /* (owned) */
} Run;

static void
run_free (Run *self)
{
  g_free (self->domain);
  g_free (self->uuid);
  g_free (self);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC (Run, run_free)

static gint64
seconds_now (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

/* --- one run, on a thread of the pool ---------------------------------------------------------------------------- */

/* (transfer full) */
static char *
find_program (void)
{
  static const char *const places[] = { "../cli", "../bin", NULL };
  g_autofree char *found = pv_helper_program_find ("pagevault", "PAGEVAULT", places);
  char *in_path = g_file_test (found, G_FILE_TEST_IS_EXECUTABLE) ? NULL : g_find_program_in_path ("pagevault");

  return in_path != NULL ? in_path : g_steal_pointer (&found);
}

/* (transfer full) (element-type utf8) */
static GPtrArray *
new_command (PvPolicyService *self, const Run *run)
{
  g_autofree char *program = find_program ();
  PvPolicyPlace place = {
    .store = self->store,
    .passphrase_file = self->passphrase_file,
    .secret_uuid = self->secret_uuid,
  };
  GPtrArray *command = pv_policy_child_command (program, "policy", &place);

  g_ptr_array_add (command, g_strdup ("--due"));
  g_ptr_array_add (command, g_strdup ("--"));
  g_ptr_array_add (command, g_strdup ("run"));
  g_ptr_array_add (command, g_strdup (run->domain));
  return command;
}

/* Each line of @text is a message of the log. */
static void
log_lines (const char *domain, const char *text, GLogLevelFlags level)
{
  g_auto(GStrv) lines = g_strsplit (text, "\n", -1);

  for (char **line = lines; *line != NULL; line++)
    if (**line != '\0')
      g_log (G_LOG_DOMAIN, level, "policy of %s: %s", domain, pv_policy_child_words (*line));
}

/* A run that died, or failed before it could write that down, must not begin anew at once. */
static void
note_failure (PvPolicyService *self, const Run *run, const PvPolicyState *before, const char *message)
{
  g_auto(PvPolicyState) state = { 0 };
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) lock = pv_policy_state_lock (self->store, run->uuid, &error);

  if (lock >= 0)
    {
      pv_policy_state_load (&state, self->store, run->uuid);
      if (state.failures != before->failures || state.push_failures != before->push_failures
          || state.success != before->success || state.prune_message != NULL)
        return;
      pv_policy_state_failed (&state, message, seconds_now ());
      if (pv_policy_state_save (&state, self->store, run->uuid, &error))
        return;
    }
  if (!g_error_matches (error, PV_ERROR, PV_ERROR_BUSY))
    g_warning ("policy of %s: %s", run->domain, error->message);
}

static void
do_run (PvPolicyService *self, const Run *run)
{
  g_autoptr(GPtrArray) command = new_command (self, run);
  g_auto(PvPolicyState) before = { 0 };
  g_autofree char *out = NULL, *said = NULL;
  g_autoptr(GError) error = NULL;
  gboolean done;

  pv_policy_state_load (&before, self->store, run->uuid);
  done = pv_policy_child_run (command, self->cancellable, &out, &said, &error);
  if (g_error_matches (error, PV_ERROR, PV_ERROR_CANCELLED))
    return;
  if (out != NULL)
    log_lines (run->domain, out, G_LOG_LEVEL_MESSAGE);
  if (said != NULL)
    log_lines (run->domain, said, G_LOG_LEVEL_WARNING);
  if (done)
    return;
  if (said == NULL || strstr (said, error->message) == NULL) /* it has not said so itself */
    g_warning ("policy of %s: %s", run->domain, error->message);
  note_failure (self, run, &before, error->message);
}

static void
on_run (gpointer data, gpointer user_data)
{
  PvPolicyService *self = user_data;
  g_autoptr(Run) run = data;

  if (!g_cancellable_is_cancelled (self->cancellable))
    do_run (self, run);
  g_mutex_lock (&self->lock);
  g_hash_table_remove (self->busy, run->uuid);
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
}

/* --- looking, on the service's own thread ------------------------------------------------------------------------ */

/* Says @message (nullable: all is well) of the policy of @guest, once. */
static void
tell (PvPolicyService *self, const PvGuestPolicy *guest, const char *message)
{
  if (g_strcmp0 (g_hash_table_lookup (self->told, guest->uuid), message) == 0)
    return;
  if (message == NULL)
    {
      g_hash_table_remove (self->told, guest->uuid);
      return;
    }
  g_warning ("policy of %s: %s", guest->domain, message);
  g_hash_table_replace (self->told, g_strdup (guest->uuid), g_strdup (message));
}

static void
start_run (PvPolicyService *self, const PvGuestPolicy *guest)
{
  g_autoptr(GMutexLocker) locker = g_mutex_locker_new (&self->lock);
  Run *run;

  if (g_cancellable_is_cancelled (self->cancellable) || g_hash_table_contains (self->busy, guest->uuid))
    return;
  g_hash_table_add (self->busy, g_strdup (guest->uuid));
  run = g_new0 (Run, 1);
  run->domain = g_strdup (guest->domain);
  run->uuid = g_strdup (guest->uuid);
  g_thread_pool_push (self->runs, run, NULL);
}

/* Whose policy is new, or has changed, is due from now on. FALSE: somebody is running it just now. */
static gboolean
load_state (PvPolicyService *self, const PvGuestPolicy *guest, gint64 now, PvPolicyState *state)
{
  g_autofree char *normal = pv_policy_to_xml (guest->policy, FALSE);
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) lock = PV_FD_NONE;

  pv_policy_state_load (state, self->store, guest->uuid);
  if (!pv_policy_state_see (state, guest->domain, normal, now))
    return !pv_policy_state_is_locked (self->store, guest->uuid);
  lock = pv_policy_state_lock (self->store, guest->uuid, &error);
  if (lock < 0)
    return FALSE;
  pv_policy_state_clear (state);
  pv_policy_state_load (state, self->store, guest->uuid);
  if (pv_policy_state_see (state, guest->domain, normal, now)
      && !pv_policy_state_save (state, self->store, guest->uuid, &error))
    tell (self, guest, error->message);
  return TRUE;
}

/* When this guest is to be looked at again. */
static gint64
look_at (PvPolicyService *self, const PvGuestPolicy *guest, gint64 now)
{
  g_auto(PvPolicyState) state = { 0 };
  PvPlan plan;

  tell (self, guest, guest->bad != NULL ? guest->bad->message : NULL);
  if (guest->policy == NULL || !load_state (self, guest, now, &state))
    return PV_NEVER;
  plan = pv_policy_plan (guest->policy, &state, now, pv_policy_retry_first ());
  if (plan.step == PV_PLAN_WAIT)
    return plan.time;
  if (plan.step == PV_PLAN_PUSH || guest->running)
    start_run (self, guest);
  return PV_NEVER;
}

static gint64
look (PvPolicyService *self)
{
  static char *no_names[] = { NULL };
  g_autoptr(PvConnection) connection = pv_libvirt_link_get (self->link);
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) guests = connection != NULL ? pv_guest_policies (connection, no_names, &error) : NULL;
  gint64 now = seconds_now (), next = now + LOOK_S;

  if (error != NULL)
    g_debug ("policies: %s", error->message);
  for (guint i = 0; guests != NULL && i < guests->len; i++)
    next = MIN (next, look_at (self, guests->pdata[i], now));
  return MAX (next, now + 1);
}

static gpointer
keep_looking (gpointer data)
{
  PvPolicyService *self = data;

  g_mutex_lock (&self->lock);
  while (!g_cancellable_is_cancelled (self->cancellable))
    {
      gint64 wait_us;

      g_mutex_unlock (&self->lock);
      wait_us = look (self) * G_USEC_PER_SEC - g_get_real_time ();
      g_mutex_lock (&self->lock);
      if (!g_cancellable_is_cancelled (self->cancellable))
        g_cond_wait_until (&self->cond, &self->lock,
                           g_get_monotonic_time () + CLAMP (wait_us, 0, LOOK_S * G_USEC_PER_SEC));
    }
  g_mutex_unlock (&self->lock);
  return NULL;
}

/* --- life -------------------------------------------------------------------------------------------------------- */

PvPolicyService *
pv_policy_service_new (const char *store_directory, const char *passphrase_file, const char *secret_uuid,
                       PvLibvirtLink *link)
{
  g_autoptr(GError) error = NULL;
  g_auto(PvFd) served = pv_policy_serve (store_directory, &error);
  PvPolicyService *self;

  if (served < 0)
    {
      g_warning ("policies are left to others: %s", error->message);
      return NULL;
    }
  self = g_new0 (PvPolicyService, 1);
  self->store = g_strdup (store_directory);
  self->passphrase_file = g_strdup (passphrase_file);
  self->secret_uuid = g_strdup (secret_uuid);
  self->link = link;
  self->served = pv_fd_steal (&served);
  g_mutex_init (&self->lock);
  g_cond_init (&self->cond);
  self->busy = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, NULL);
  self->told = g_hash_table_new_full (g_str_hash, g_str_equal, g_free, g_free);
  self->cancellable = g_cancellable_new ();
  self->runs = g_thread_pool_new (on_run, self, RUNS, FALSE, NULL);
  self->thread = g_thread_new ("policies", keep_looking, self);
  return self;
}

void
pv_policy_service_free (PvPolicyService *self)
{
  g_mutex_lock (&self->lock);
  g_cancellable_cancel (self->cancellable);
  g_cond_broadcast (&self->cond);
  g_mutex_unlock (&self->lock);
  g_thread_join (self->thread);
  g_thread_pool_free (self->runs, FALSE, TRUE);
  pv_fd_clear (&self->served);
  g_object_unref (self->cancellable);
  g_hash_table_unref (self->busy);
  g_hash_table_unref (self->told);
  g_mutex_clear (&self->lock);
  g_cond_clear (&self->cond);
  g_free (self->store);
  g_free (self->passphrase_file);
  g_free (self->secret_uuid);
  g_free (self);
}
