/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/policy-run.h"
#include "policy/policy-report.h"
#include "util/error.h"
#include "util/file.h"
#include "util/snapshot-name.h"

#define FILE_MAX (1u << 20) /* bytes of a policy */

static gboolean opt_remove, opt_due;

static const GOptionEntry options[] = {
  { "remove", 0, 0, G_OPTION_ARG_NONE, &opt_remove, "With set: take the policy away", NULL },
  { "due", 0, 0, G_OPTION_ARG_NONE, &opt_due, "With run: do only what is due by now", NULL },
  G_OPTION_ENTRY_NULL
};

static gint64
seconds_now (void)
{
  return g_get_real_time () / G_USEC_PER_SEC;
}

/* --- get ---------------------------------------------------------------------------------------------------------- */

static PvExit
get_policy (PvCli *cli, PvGuest *guest, GError **error)
{
  g_autoptr(PvGuestPolicy) found = pv_guest_policy_read (guest, error);
  g_autofree char *xml = found != NULL && found->policy != NULL ? pv_policy_to_xml (found->policy, TRUE) : NULL;

  if (found == NULL)
    return PV_EXIT_FAILED;
  if (found->bad != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&found->bad));
      return PV_EXIT_FAILED;
    }
  if (xml == NULL)
    {
      pv_throw (error, PV_ERROR_NOT_FOUND, "it has no policy: 'pagevault policy set' gives it one");
      return PV_EXIT_FAILED;
    }
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "domain", found->domain);
      pv_json_string (builder, "policy", xml);
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  else
    fputs (xml, stdout);
  return PV_EXIT_OK;
}

/* --- set ---------------------------------------------------------------------------------------------------------- */

/* (transfer full): what is in @path; "-" is standard input. */
static char *
read_policy_file (const char *path, GError **error)
{
  g_autoptr(GBytes) bytes = NULL;

  if (strcmp (path, "-") == 0)
    {
      g_autofree char *buffer = g_malloc (FILE_MAX);
      gssize size = pv_read_full (STDIN_FILENO, buffer, FILE_MAX, "standard input", error);

      return size >= 0 ? g_strndup (buffer, (gsize) size) : NULL;
    }
  bytes = pv_read_file (path, FILE_MAX, error);
  return bytes != NULL ? g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)) : NULL;
}

static PvExit
set_policy (PvCli *cli, PvGuest *guest, const char *path, GError **error)
{
  g_autofree char *text = path != NULL ? read_policy_file (path, error) : NULL;
  g_autoptr(PvPolicy) policy = text != NULL ? pv_policy_parse (text, error) : NULL;
  g_autofree char *xml = policy != NULL ? pv_policy_to_xml (policy, FALSE) : NULL;

  if (path != NULL && xml == NULL)
    {
      if (text != NULL)
        g_prefix_error (error, "%s: ", path);
      return PV_EXIT_FAILED;
    }
  if (!pv_guest_set_metadata (guest, PV_POLICY_URI, PV_POLICY_PREFIX, xml, error))
    return PV_EXIT_FAILED;
  if (cli->json)
    {
      g_autoptr(JsonBuilder) builder = json_builder_new ();

      json_builder_begin_object (builder);
      pv_json_string (builder, "domain", pv_guest_name (guest));
      json_builder_end_object (builder);
      pv_json_print (builder);
    }
  return PV_EXIT_OK;
}

/* --- run ---------------------------------------------------------------------------------------------------------- */

static void
print_run (PvCli *cli, const char *domain, const PvPolicyRun *run)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  if (!cli->json)
    {
      if (run->snapshot != NULL)
        printf ("%s is taken\n", run->snapshot);
      if (run->n_pushed > 0)
        printf ("%u snapshots are pushed\n", run->n_pushed);
      if (run->n_removed > 0)
        printf ("%u snapshots are removed\n", run->n_removed);
      return;
    }
  json_builder_begin_object (builder);
  pv_json_string (builder, "domain", domain);
  pv_json_string (builder, "snapshot", run->snapshot);
  pv_json_size (builder, "pushed", run->n_pushed);
  pv_json_size (builder, "removed", run->n_removed);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static PvExit
run_policy (PvCli *cli, PvGuest *guest, GError **error)
{
  g_autoptr(PvGuestPolicy) found = pv_guest_policy_read (guest, error);
  g_auto(PvPolicyRun) run = { 0 };
  gboolean done;

  if (found == NULL)
    return PV_EXIT_FAILED;
  if (found->policy == NULL)
    {
      if (found->bad != NULL)
        g_propagate_error (error, g_steal_pointer (&found->bad));
      else
        pv_throw (error, PV_ERROR_NOT_FOUND, "it has no policy: 'pagevault policy set' gives it one");
      return PV_EXIT_FAILED;
    }
  done = pv_policy_run (cli, found, opt_due, &run, error);
  if (done || run.snapshot != NULL)
    print_run (cli, found->domain, &run);
  return done ? PV_EXIT_OK : PV_EXIT_FAILED;
}

/* --- status ------------------------------------------------------------------------------------------------------- */

typedef struct
{
  PvTable *table;
  JsonBuilder *builder;
  gboolean served;
  gboolean healthy; /* all of them */
} Status;

static void
add_time (JsonBuilder *builder, const char *member, gint64 seconds)
{
  if (seconds > 0 && seconds < PV_NEVER)
    pv_json_time (builder, member, seconds * G_USEC_PER_SEC);
  else
    pv_json_string (builder, member, NULL);
}

static void
add_status (Status *self, PvCli *cli, const PvGuestPolicy *guest)
{
  g_auto(PvPolicyState) state = { 0 };
  g_auto(PvPolicyReport) report = { 0 };
  g_autofree char *next = NULL, *last = NULL;

  pv_policy_state_load (&state, cli->store_directory, guest->uuid);
  pv_policy_report (&report, guest->policy, guest->bad != NULL ? guest->bad->message : NULL, &state, guest->running,
                    pv_policy_state_is_locked (cli->store_directory, guest->uuid), self->served, seconds_now ());
  if (report.message == NULL && guest->differs)
    report.message = g_strdup ("the running guest has another one, which does not count: use 'policy set', or "
                               "'virsh metadata --config'");
  self->healthy &= report.healthy;
  next = report.next < PV_NEVER ? pv_output_time (report.next * G_USEC_PER_SEC) : g_strdup ("-");
  last = state.success > 0 ? pv_output_time (state.success * G_USEC_PER_SEC) : g_strdup ("-");
  pv_table_row (self->table, guest->domain, report.state, next, last, report.message != NULL ? report.message : "",
                NULL);
  json_builder_begin_object (self->builder);
  pv_json_string (self->builder, "domain", guest->domain);
  pv_json_string (self->builder, "state", report.state);
  add_time (self->builder, "next", report.next);
  add_time (self->builder, "last", state.success);
  pv_json_string (self->builder, "snapshot", state.snapshot);
  pv_json_size (self->builder, "failures", state.failures);
  pv_json_size (self->builder, "unpushed", state.unpushed != NULL ? g_strv_length (state.unpushed) : 0);
  pv_json_string (self->builder, "message", report.message);
  json_builder_end_object (self->builder);
}

static PvExit
show_status (PvCli *cli, PvConnection *connection, char **names, GError **error)
{
  static const PvColumn columns[]
    = { { "DOMAIN", PV_COLUMN_LEFT },    { "STATE", PV_COLUMN_LEFT },   { "NEXT", PV_COLUMN_LEFT },
        { "LAST GOOD", PV_COLUMN_LEFT }, { "MESSAGE", PV_COLUMN_WRAP } };
  g_autoptr(GPtrArray) guests = pv_guest_policies (connection, names, error);
  g_autoptr(PvTable) table = pv_table_new (columns, G_N_ELEMENTS (columns));
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  Status status = { .table = table, .builder = builder, .healthy = TRUE };
  guint n = 0;

  if (guests == NULL)
    return PV_EXIT_FAILED;
  status.served = pv_policy_is_served (cli->store_directory);
  json_builder_begin_object (builder);
  pv_json_boolean (builder, "served", status.served);
  json_builder_set_member_name (builder, "policies");
  json_builder_begin_array (builder);
  for (guint i = 0; i < guests->len; i++)
    if (((PvGuestPolicy *) guests->pdata[i])->text != NULL)
      {
        add_status (&status, cli, guests->pdata[i]);
        n++;
      }
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  if (cli->json)
    pv_json_print (builder);
  else if (n > 0)
    pv_table_print (table);
  return status.healthy ? PV_EXIT_OK : PV_EXIT_FAILED;
}

/* --- the command line --------------------------------------------------------------------------------------------- */

static gboolean
check_arguments (char **args, GError **error)
{
  static const struct
  {
    const char *verb, *arguments;
    guint least, most;
  } verbs[] = { { "get", " DOMAIN", 1, 1 },
                { "set", " DOMAIN FILE' or 'pagevault policy set DOMAIN --remove", 1, 2 },
                { "status", " [DOMAIN...]", 0, G_MAXUINT },
                { "run", " DOMAIN", 1, 1 } };
  guint n = g_strv_length (args) - 1;

  if (opt_remove && !g_str_equal (args[0], "set"))
    return pv_throw (error, PV_ERROR_INVALID, "--remove goes with 'set'");
  if (opt_due && !g_str_equal (args[0], "run"))
    return pv_throw (error, PV_ERROR_INVALID, "--due goes with 'run'");
  for (guint i = 0; i < G_N_ELEMENTS (verbs); i++)
    if (g_str_equal (args[0], verbs[i].verb))
      return (n >= verbs[i].least && n <= verbs[i].most
              && (!g_str_equal (args[0], "set") || (n == 1) == opt_remove))
             || pv_throw (error, PV_ERROR_INVALID, "write 'pagevault policy %s%s'", args[0], verbs[i].arguments);
  return pv_throw (error, PV_ERROR_INVALID, "write 'pagevault policy get', 'set', 'status' or 'run'");
}

static PvExit
work_on_guest (PvCli *cli, PvConnection *connection, char **args, GError **error)
{
  g_autoptr(PvGuest) guest = pv_guest_lookup (connection, args[1], error);

  if (guest == NULL)
    return PV_EXIT_FAILED;
  if (g_str_equal (args[0], "get"))
    return get_policy (cli, guest, error);
  if (g_str_equal (args[0], "set"))
    return set_policy (cli, guest, args[2], error);
  return run_policy (cli, guest, error);
}

static PvExit
run_command (PvCli *cli, char **args, GError **error)
{
  g_autoptr(PvConnection) connection = NULL;

  if (!check_arguments (args, error))
    return PV_EXIT_USAGE;
  for (guint i = 1; args[i] != NULL && (i == 1 || g_str_equal (args[0], "status")); i++)
    if (!pv_domain_name_check (args[i], error))
      return PV_EXIT_USAGE;
  pv_cli_set_subject (cli, args[1] != NULL ? args[1] : args[0]);
  connection = pv_cli_open_connection (cli, error);
  if (connection == NULL)
    return PV_EXIT_FAILED;
  return g_str_equal (args[0], "status") ? show_status (cli, connection, args + 1, error)
                                         : work_on_guest (cli, connection, args, error);
}

const PvCommand pv_command_policy = {
  .name = "policy",
  .arguments = "get DOMAIN | set DOMAIN FILE | status [DOMAIN...] | run DOMAIN",
  .summary = "Say when snapshots of a guest are taken, and which are kept",
  .details = "A policy stands in the guest's own domain XML, as <pagevault:policy> in its <metadata>: 'virsh edit'\n"
             "and 'virsh metadata' change it as well. pagevaultd takes the snapshots, pushes them and removes\n"
             "those that are not kept. 'set' checks FILE ('-': standard input) first. 'run' takes one now,\n"
             "whatever the schedule says. 'status' tells how the policies are doing: exit status 1 when one is\n"
             "bad, fails, or nobody runs it.\n"
             "\n"
             "Examples:\n"
             "  pagevault policy set web1 /usr/share/doc/pagevault/examples/policy.xml\n"
             "  pagevault policy run web1 && pagevault policy status\n"
             "\n"
             "Keys of --json: get: domain, policy; set: domain; run: domain, snapshot (null: nothing was due),\n"
             "pushed, removed (numbers); status: served (pagevaultd runs), policies, an array of domain,\n"
             "state (ok, new, off, running, overdue, failing, bad), next, last, snapshot (of the last good\n"
             "run), failures, unpushed, message (null for none).",
  .min_args = 1,
  .max_args = PV_ARGS_ANY,
  .options = options,
  .run = run_command,
};
