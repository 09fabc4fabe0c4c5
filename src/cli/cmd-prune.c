/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/local-prune.h"
#include "cli/output.h"
#include "cli/remote-argument.h"
#include "store/prune.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"
#include "virt/guest-policy.h"

#define SECONDS_PER_HOUR 3600u
#define HOURS_MAX (10 * 365 * 24)

static char *opt_remote, *opt_keep;
static int opt_grace = PV_PRUNE_GRACE_DEFAULT / SECONDS_PER_HOUR;
static gboolean opt_dry_run;

static const GOptionEntry options[] = {
  { "keep", 0, 0, G_OPTION_ARG_STRING, &opt_keep,
    "Keep these, like last=3,hourly=24,daily=7,weekly=4, not those of policies", "RETENTION" },
  { "remote", 0, 0, G_OPTION_ARG_STRING, &opt_remote, "Give back space there, and prune nothing here", "REMOTE" },
  { "grace", 0, 0, G_OPTION_ARG_INT, &opt_grace, "Remove what was found unneeded there so long ago (168)", "HOURS" },
  { "dry-run", 0, 0, G_OPTION_ARG_NONE, &opt_dry_run, "Only tell what would be done", NULL },
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

static void
print_result (PvCli *cli, const PvPruneResult *result)
{
  g_autofree char *removed = pv_bytesize_format (result->removed_bytes);
  g_autofree char *condemned = pv_bytesize_format (result->condemned_bytes);

  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_size (builder, "removed_packs", result->removed_packs);
      pv_json_size (builder, "removed_bytes", result->removed_bytes);
      pv_json_size (builder, "condemned_packs", result->condemned_packs);
      pv_json_size (builder, "condemned_bytes", result->condemned_bytes);
      pv_json_size (builder, "waiting_packs", result->waiting_packs);
      json_builder_end_object (builder);
      pv_json_print (builder);
      return;
    }
  printf ("%s removed in %" G_GUINT64_FORMAT " packs\n", removed, result->removed_packs);
  if (result->condemned_packs > 0)
    printf ("%s in %" G_GUINT64_FORMAT " packs are not needed: a prune in %d hours or later removes them\n", condemned,
            result->condemned_packs, opt_grace);
  if (result->waiting_packs > 0)
    printf ("%" G_GUINT64_FORMAT " packs were found before and have to wait\n", result->waiting_packs);
}

static PvExit
prune_remote (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(PvMirror) mirror = NULL;
  PvPruneResult result;

  if (*args != NULL || opt_keep != NULL)
    {
      pv_throw (error, PV_ERROR_INVALID, "--remote is about all that is there: it goes with neither DOMAIN nor --keep");
      return PV_EXIT_USAGE;
    }
  if (opt_grace < (int) (PV_PRUNE_GRACE_MIN / SECONDS_PER_HOUR) || opt_grace > HOURS_MAX)
    {
      pv_throw (error, PV_ERROR_INVALID, "--grace: 1 to %d hours", HOURS_MAX);
      return PV_EXIT_USAGE;
    }
  if (!pv_remote_argument_check (opt_remote, error))
    return PV_EXIT_USAGE;
  store = pv_cli_open_store (cli, 0, error);
  mirror = store != NULL ? pv_remote_argument_open (store, opt_remote, NULL, error) : NULL;
  if (mirror == NULL
      || !pv_mirror_prune (mirror, (guint64) opt_grace * SECONDS_PER_HOUR, g_get_real_time (), opt_dry_run, &result,
                           cli->cancellable, error))
    return PV_EXIT_FAILED;
  print_result (cli, &result);
  return PV_EXIT_OK;
}

/* --- in the store ------------------------------------------------------------------------------------------------- */

static void
print_json_here (GPtrArray *results)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "snapshots");
  json_builder_begin_array (builder);
  for (guint i = 0; i < results->len; i++)
    {
      const PvPruned *pruned = results->pdata[i];

      json_builder_begin_object (builder);
      pv_json_string (builder, "snapshot", pv_snapshot_full_name (pruned->snapshot));
      pv_json_string (builder, "domain", pv_snapshot_domain (pruned->snapshot));
      pv_json_time (builder, "time", pv_snapshot_time (pruned->snapshot));
      pv_json_string (builder, "kept", pruned->kept);
      pv_json_boolean (builder, "removed", pruned->kept == NULL && !opt_dry_run);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_here (PvCli *cli, GPtrArray *results)
{
  static const PvColumn columns[]
    = { { "SNAPSHOT", PV_COLUMN_LEFT }, { "TIME", PV_COLUMN_LEFT }, { "KEPT", PV_COLUMN_WRAP } };
  g_autoptr(PvTable) table = pv_table_new (columns, G_N_ELEMENTS (columns));

  if (cli->json)
    {
      print_json_here (results);
      return;
    }
  for (guint i = 0; i < results->len; i++)
    {
      const PvPruned *pruned = results->pdata[i];
      g_autofree char *time = pv_output_time (pv_snapshot_time (pruned->snapshot));

      pv_table_row (table, pv_snapshot_full_name (pruned->snapshot), time,
                    pruned->kept != NULL ? pruned->kept : opt_dry_run ? "no: would be removed" : "no: removed", NULL);
    }
  if (results->len > 0)
    pv_table_print (table);
}

/* (transfer full) (element-type utf8): the domains that have snapshots, each once. */
static GPtrArray *
domains_of_store (PvStore *store, GError **error)
{
  g_autoptr(GPtrArray) snapshots = pv_store_list (store, NULL, error);
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free);

  for (guint i = 0; snapshots != NULL && i < snapshots->len; i++)
    {
      const char *domain = pv_snapshot_domain (snapshots->pdata[i]);

      if (!g_ptr_array_find_with_equal_func (names, domain, g_str_equal, NULL))
        g_ptr_array_add (names, g_strdup (domain));
    }
  return snapshots != NULL ? g_steal_pointer (&names) : NULL;
}

/* As --keep says; without domains: all that are in the store. */
static gboolean
prune_as_told (PvCli *cli, PvStore *store, char **args, const PvRetention *retention, GPtrArray *results,
               GError **error)
{
  g_autoptr(GPtrArray) all = *args == NULL ? domains_of_store (store, error) : NULL;

  if (*args == NULL && all == NULL)
    return FALSE;
  for (guint i = 0; all != NULL && i < all->len; i++)
    if (!pv_local_prune (cli, store, NULL, all->pdata[i], retention, opt_dry_run, results, error))
      return FALSE;
  for (char **at = args; *at != NULL; at++)
    if (!pv_local_prune (cli, store, NULL, *at, retention, opt_dry_run, results, error))
      return FALSE;
  return TRUE;
}

/* As each guest's policy says. One that cannot be read keeps everything. */
static gboolean
prune_by_policies (PvCli *cli, PvStore *store, char **args, GPtrArray *results, GError **error)
{
  g_autoptr(PvConnection) connection = pv_cli_open_connection (cli, error);
  g_autoptr(GPtrArray) guests = connection != NULL ? pv_guest_policies (connection, args, error) : NULL;
  gboolean failed = FALSE;

  for (guint i = 0; guests != NULL && i < guests->len; i++)
    {
      const PvGuestPolicy *guest = guests->pdata[i];
      g_autoptr(GError) local = NULL;

      if (guest->policy == NULL && guest->bad == NULL)
        continue;
      if (guest->bad != NULL)
        local = g_error_copy (guest->bad);
      else if (pv_local_prune (cli, store, connection, guest->domain, &guest->policy->retention, opt_dry_run, results,
                               &local))
        continue;
      pv_cli_set_subject (cli, guest->domain);
      pv_cli_print_error (cli, "prune", local);
      failed = TRUE;
    }
  pv_cli_set_subject (cli, NULL);
  return guests != NULL && (!failed || pv_throw (error, PV_ERROR_FAILED, "not all guests could be pruned"));
}

static PvExit
run_prune (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvStore) store = NULL;
  g_autoptr(GPtrArray) results = g_ptr_array_new_with_free_func (pv_pruned_free);
  PvRetention retention;
  gboolean done;

  if (opt_remote != NULL)
    return prune_remote (cli, args, error);
  for (char **at = args; *at != NULL; at++)
    if (!pv_domain_name_check (*at, error))
      return PV_EXIT_USAGE;
  if (opt_keep != NULL && !pv_retention_parse (opt_keep, &retention, error))
    {
      g_prefix_error (error, "--keep: ");
      return PV_EXIT_USAGE;
    }
  store = pv_cli_open_store (cli, 0, error);
  if (store == NULL)
    return PV_EXIT_FAILED;
  done = opt_keep != NULL ? prune_as_told (cli, store, args, &retention, results, error)
                          : prune_by_policies (cli, store, args, results, error);
  print_here (cli, results);
  return done ? PV_EXIT_OK : PV_EXIT_FAILED;
}

const PvCommand pv_command_prune = {
  .name = "prune",
  .arguments = "[DOMAIN...] | --remote REMOTE",
  .summary = "Remove snapshots that no policy keeps; give back space of a remote",
  .details = "Of the snapshots that policies took (auto-...) those go that the guest's policy does not keep,\n"
             "or that --keep does not; those that a person has named stay. The newest good one of each guest\n"
             "always stays, and one that somebody needs. Space comes back with 'pagevault gc'. pagevaultd does\n"
             "it after each run of a policy.\n"
             "\n"
             "With --remote, in two phases: packs that no snapshot of the remote needs are noted; a prune that\n"
             "runs when that is --grace hours ago removes those that are not needed still. So no push, of\n"
             "whichever host, ever loses a pack. Run it now and then, on any host.\n"
             "\n"
             "Examples:\n"
             "  pagevault prune --dry-run\n"
             "  pagevault prune web1 --keep last=3,daily=7\n"
             "  pagevault delete --remote file:///mnt/backup web1@monday\n"
             "  pagevault prune --remote file:///mnt/backup\n"
             "\n"
             "Keys of --json: snapshots, an array of snapshot, domain, time, kept (why; null: it is not),\n"
             "removed; with --remote: removed_packs, removed_bytes, condemned_packs, condemned_bytes,\n"
             "waiting_packs.",
  .max_args = PV_ARGS_ANY,
  .options = options,
  .run = run_prune,
};
