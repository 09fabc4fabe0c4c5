/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/policy-run.h"

#include <glib/gstdio.h>
#include <sys/stat.h>

#include "cli/local-prune.h"
#include "policy/policy-child.h"
#include "policy/policy-plan.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"

#define LOCK_TRIES 20 /* a tenth of a second apart */
#define GC_AGE 86400 /* seconds: space comes back once a day */

void
pv_policy_run_clear (PvPolicyRun *self)
{
  g_clear_pointer (&self->snapshot, g_free);
}

static gint64
seconds_now (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

/* --- children ---------------------------------------------------------------------------------------------------- */

/* (transfer full) (element-type utf8): this program, with the options that choose store and connection. */
static GPtrArray *
new_command (PvCli *cli, const char *verb)
{
  PvPolicyPlace place = {
    .store = cli->store_directory,
    .uri = cli->uri,
    .passphrase_file = cli->passphrase_file,
    .secret_uuid = cli->secret_uuid,
  };

  return pv_policy_child_command ("/proc/self/exe", verb, &place);
}

static gboolean
run_child (PvCli *cli, GPtrArray *arguments, GError **error)
{
  return pv_policy_child_run (arguments, cli->cancellable, NULL, NULL, error);
}

/* --- steps ------------------------------------------------------------------------------------------------------- */

static void
add_disks (GPtrArray *arguments, GPtrArray *disks)
{
  for (guint i = 0; i < disks->len; i++)
    {
      const PvDiskSpec *disk = disks->pdata[i];

      g_ptr_array_add (arguments, g_strdup_printf ("--diskspec=%s,snapshot=%s", disk->target,
                                                   disk->exclude ? "no" : "external"));
    }
}

static gboolean
take (PvCli *cli, const PvGuestPolicy *guest, const char *name, GError **error)
{
  const PvPolicy *policy = guest->policy;
  g_autoptr(GPtrArray) arguments = new_command (cli, "create");

  if (policy->engine != NULL)
    g_ptr_array_add (arguments, g_strdup_printf ("--engine=%s", policy->engine));
  if (policy->buffer > 0)
    g_ptr_array_add (arguments, g_strdup_printf ("--buffer=%" G_GUINT64_FORMAT, policy->buffer));
  if (policy->on_overrun != NULL)
    g_ptr_array_add (arguments, g_strdup_printf ("--on-overrun=%s", policy->on_overrun));
  if (policy->disk_only)
    g_ptr_array_add (arguments, g_strdup ("--disk-only"));
  if (policy->quiesce)
    g_ptr_array_add (arguments, g_strdup ("--quiesce"));
  add_disks (arguments, policy->disks);
  g_ptr_array_add (arguments, g_strdup ("--"));
  g_ptr_array_add (arguments, g_strdup (guest->domain));
  g_ptr_array_add (arguments, g_strdup (name));
  return run_child (cli, arguments, error);
}

static gboolean
capture (PvCli *cli, const PvGuestPolicy *guest, PvPolicyState *state, PvPolicyRun *run, GError **error)
{
  g_autofree char *name = pv_auto_name (seconds_now ());
  g_autoptr(GError) local = NULL;

  if (pv_domain_name_check (guest->domain, &local) && take (cli, guest, name, &local))
    {
      run->snapshot = g_strdup_printf ("%s@%s", guest->domain, name);
      pv_policy_state_succeeded (state, run->snapshot, seconds_now ());
      if (guest->policy->push != NULL)
        pv_policy_state_add_unpushed (state, run->snapshot);
      return TRUE;
    }
  if (!g_error_matches (local, PV_ERROR, PV_ERROR_CANCELLED))
    pv_policy_state_failed (state, local->message, seconds_now ());
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static gboolean
is_listed (PvStore *store, const char *full)
{
  g_autofree char *domain = NULL;
  g_autofree char *name = NULL;
  g_autoptr(PvSnapshot) snapshot = NULL;

  if (!pv_snapshot_name_parse (full, &domain, &name, NULL))
    return FALSE;
  snapshot = pv_store_lookup (store, domain, name, NULL);
  return snapshot != NULL;
}

/* The oldest first; the first that fails ends it. */
static gboolean
push (PvCli *cli, PvStore *store, const PvPolicy *policy, PvPolicyState *state, PvPolicyRun *run, GError **error)
{
  while (policy->push != NULL && state->unpushed != NULL && *state->unpushed != NULL)
    {
      g_autofree char *full = g_strdup (*state->unpushed);
      g_autoptr(GPtrArray) arguments = new_command (cli, "push");
      g_autoptr(GError) local = NULL;

      g_ptr_array_add (arguments, g_strdup ("--"));
      g_ptr_array_add (arguments, g_strdup (full));
      g_ptr_array_add (arguments, g_strdup (policy->push));
      if (is_listed (store, full) && !run_child (cli, arguments, &local))
        {
          if (!g_error_matches (local, PV_ERROR, PV_ERROR_CANCELLED))
            pv_policy_state_push_failed (state, local->message, seconds_now ());
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      run->n_pushed++;
      pv_policy_state_pushed (state, full);
    }
  return TRUE;
}

/* Once a day; the time of a file says when that was. Another gc under way is as good. */
static void
give_back_space (PvCli *cli)
{
  g_autofree char *stamp = g_build_filename (cli->store_directory, PV_POLICIES, "gc", NULL);
  g_autoptr(GPtrArray) arguments = new_command (cli, "gc");
  g_autoptr(GError) error = NULL;
  GStatBuf status;

  if (g_stat (stamp, &status) == 0 && status.st_mtime <= seconds_now () && status.st_mtime > seconds_now () - GC_AGE)
    return;
  if (!run_child (cli, arguments, &error) || !pv_write_file (stamp, "", 0, &error))
    g_message ("space does not come back: %s", error->message);
}

static gboolean
prune (PvCli *cli, PvStore *store, const PvGuestPolicy *guest, PvPolicyState *state, PvPolicyRun *run, GError **error)
{
  g_autoptr(GPtrArray) results = g_ptr_array_new_with_free_func (pv_pruned_free);
  g_autoptr(GError) local = NULL;
  g_autoptr(PvConnection) connection = pv_cli_open_connection (cli, &local); /* the former may be lost meanwhile */
  gboolean done = connection != NULL
                  && pv_local_prune (cli, store, connection, guest->domain, &guest->policy->retention, FALSE, results,
                                     &local);

  for (guint i = 0; i < results->len; i++)
    run->n_removed += ((PvPruned *) results->pdata[i])->kept == NULL;
  g_clear_pointer (&state->prune_message, g_free);
  if (!done)
    {
      state->prune_message = g_strdup (local->message);
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (run->n_removed > 0)
    give_back_space (cli);
  return TRUE;
}

/* --- the run ----------------------------------------------------------------------------------------------------- */

/* What the first of several steps says is what counts. @local (transfer full) (nullable). */
static void
keep_first (GError **first, GError *local)
{
  if (local != NULL && *first == NULL)
    *first = local;
  else
    g_clear_error (&local);
}

/* The snapshot counts as soon as it is there: what comes behind it may take long, or be killed. */
static void
take_steps (PvCli *cli, const PvGuestPolicy *guest, PvPlanStep step, PvPolicyState *state, PvPolicyRun *run,
            GError **first)
{
  g_autoptr(PvStore) store = NULL;
  GError *local = NULL;

  if (step == PV_PLAN_CAPTURE && capture (cli, guest, state, run, first))
    pv_policy_state_save (state, cli->store_directory, guest->uuid, first);
  store = pv_cli_open_store (cli, 0, &local);
  keep_first (first, local);
  if (store == NULL || g_cancellable_is_cancelled (cli->cancellable))
    return;
  local = NULL;
  push (cli, store, guest->policy, state, run, &local);
  keep_first (first, local);
  local = NULL;
  if (run->snapshot != NULL)
    prune (cli, store, guest, state, run, &local);
  keep_first (first, local);
}

/* One run at a time. Only a store can have a folder for states. pagevaultd has the lock for a moment when it sees a
 * policy that is new. */
static int
begin (PvCli *cli, const char *uuid, GError **error)
{
  g_autoptr(PvStore) store = pv_cli_open_store (cli, PV_STORE_OPEN_CREATE, error);
  g_autoptr(GError) local = NULL;
  int lock = PV_FD_NONE;

  for (guint i = 0; store != NULL && lock < 0 && i < LOCK_TRIES; i++)
    {
      g_clear_error (&local);
      if (i > 0)
        g_usleep (G_USEC_PER_SEC / 10);
      lock = pv_policy_state_lock (cli->store_directory, uuid, &local);
      if (!g_error_matches (local, PV_ERROR, PV_ERROR_BUSY))
        break;
    }

  if (g_error_matches (local, PV_ERROR, PV_ERROR_BUSY))
    pv_throw (error, PV_ERROR_BUSY, "a run of its policy is under way: wait until it is over");
  else if (local != NULL)
    g_propagate_error (error, g_steal_pointer (&local));
  return lock;
}

gboolean
pv_policy_run (PvCli *cli, const PvGuestPolicy *guest, gboolean due_only, PvPolicyRun *run, GError **error)
{
  g_auto(PvPolicyState) state = { 0 };
  g_autofree char *normal = pv_policy_to_xml (guest->policy, FALSE);
  g_auto(PvFd) lock = begin (cli, guest->uuid, error);
  g_autoptr(GError) first = NULL;
  PvPlanStep step = PV_PLAN_CAPTURE;
  gint64 now = seconds_now ();

  *run = (PvPolicyRun){ 0 };
  if (lock < 0)
    return FALSE;
  pv_policy_state_load (&state, cli->store_directory, guest->uuid);
  pv_policy_state_see (&state, guest->domain, normal, now);
  if (due_only)
    step = pv_policy_plan (guest->policy, &state, now, pv_policy_retry_first ()).step;
  if (due_only && step == PV_PLAN_CAPTURE && !guest->running)
    step = PV_PLAN_WAIT;
  if (step != PV_PLAN_WAIT)
    take_steps (cli, guest, step, &state, run, &first);
  pv_policy_state_save (&state, cli->store_directory, guest->uuid, first == NULL ? &first : NULL);
  if (first == NULL)
    return TRUE;
  g_propagate_error (error, g_steal_pointer (&first));
  return FALSE;
}
