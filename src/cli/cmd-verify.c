/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include <stdio.h>

#include "cli/output.h"
#include "cli/progress.h"
#include "cli/remote-argument.h"
#include "store/repair.h"
#include "util/bytesize.h"
#include "util/error.h"

static gboolean opt_rebuild_index;
static char *opt_remote;
static char *opt_repair;
static gboolean opt_resend;
static int opt_sample = 100;

static const GOptionEntry options[] = {
  { "rebuild-index", 0, 0, G_OPTION_ARG_NONE, &opt_rebuild_index,
    "First make the index anew from packs and snapshot objects", NULL },
  { "repair", 0, 0, G_OPTION_ARG_STRING, &opt_repair, "Take good copies of damaged packs from there", "REMOTE" },
  { "remote", 0, 0, G_OPTION_ARG_STRING, &opt_remote, "Check what is there, as for 'push', and not here", "REMOTE" },
  { "sample", 0, 0, G_OPTION_ARG_INT, &opt_sample, "With --remote: fetch so many of its packs (100)", "PERCENT" },
  { "resend", 0, 0, G_OPTION_ARG_NONE, &opt_resend, "With --remote: send damaged packs again from here", NULL },
  PV_REMOTE_ARGUMENT_OPTIONS,
  G_OPTION_ENTRY_NULL
};

static guint64 n_repaired;

static void
print_json (const PvVerifyResult *result, GPtrArray *dropped)
{
  g_autoptr(JsonBuilder) builder = json_builder_new ();

  json_builder_begin_object (builder);
  pv_json_size (builder, "checked_bytes", result->checked_bytes);
  json_builder_set_member_name (builder, "damaged");
  json_builder_begin_array (builder);
  for (guint i = 0; i < result->damaged->len; i++)
    {
      const PvDamage *damage = g_ptr_array_index (result->damaged, i);

      json_builder_begin_object (builder);
      pv_json_string (builder, "what", damage->what);
      pv_json_string (builder, "why", damage->why);
      pv_json_strings (builder, "snapshots", damage->snapshots);
      json_builder_end_object (builder);
    }
  json_builder_end_array (builder);
  if (opt_repair != NULL || opt_resend)
    pv_json_size (builder, "repaired", n_repaired);
  if (opt_rebuild_index)
    pv_json_strings (builder, "dropped", dropped);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static void
print_damage (const PvDamage *damage)
{
  printf ("%s: %s\n", damage->what, damage->why);
  for (guint i = 0; damage->snapshots != NULL && i < damage->snapshots->len; i++)
    printf ("  hits %s\n", (const char *) g_ptr_array_index (damage->snapshots, i));
}

static void
print_text (const PvVerifyResult *result, GPtrArray *dropped)
{
  g_autofree char *checked = pv_bytesize_format (result->checked_bytes);

  for (guint i = 0; i < dropped->len; i++)
    printf ("left out: %s\n", (const char *) g_ptr_array_index (dropped, i));
  for (guint i = 0; i < result->damaged->len; i++)
    print_damage (g_ptr_array_index (result->damaged, i));
  if (n_repaired > 0)
    printf ("%" G_GUINT64_FORMAT " packs repaired\n", n_repaired);
  if (result->damaged->len == 0)
    printf ("%s checked, no damage found\n", checked);
  else
    printf ("%s checked, %u damaged\n", checked, result->damaged->len);
}

/* Repairs the store as far as that goes, and looks again. */
static gboolean
repair (PvCli *cli, PvStore *store, PvVerifyResult *result, PvProgress *progress, GError **error)
{
  g_autoptr(PvMirror) mirror = pv_remote_argument_open (store, opt_repair, NULL, error);
  g_autoptr(GPtrArray) failures = g_ptr_array_new_with_free_func (g_free);
  gboolean done = mirror != NULL
                  && pv_store_repair (store, mirror, result, &n_repaired, failures, cli->cancellable, error);

  pv_verify_result_clear (result);
  for (guint i = 0; i < failures->len; i++)
    fprintf (stderr, "pagevault: verify: %s\n", (const char *) failures->pdata[i]);
  return done && pv_store_verify (store, result, pv_progress_update, progress, cli->cancellable, error);
}

static gboolean
verify_remote (PvCli *cli, PvVerifyResult *result, PvProgress *progress, GError **error)
{
  g_autoptr(PvStore) store = pv_cli_open_store (cli, 0, error);
  g_autoptr(PvMirror) mirror = store != NULL ? pv_remote_argument_open (store, opt_remote, NULL, error) : NULL;

  return mirror != NULL
         && pv_mirror_verify (mirror, (guint) opt_sample, opt_resend ? store : NULL, result, &n_repaired,
                              pv_progress_update, progress, cli->cancellable, error);
}

static gboolean
work (PvCli *cli, PvVerifyResult *result, GPtrArray *dropped, GError **error)
{
  g_autoptr(PvProgress) progress = pv_progress_new ();
  g_autoptr(PvStore) store = NULL;

  if (opt_remote != NULL)
    return verify_remote (cli, result, progress, error);

  if (opt_rebuild_index
      && !pv_store_rebuild_index (cli->store_directory, dropped, pv_progress_update, progress, cli->cancellable,
                                  error))
    return FALSE;
  store = pv_cli_open_store (cli, 0, error);
  if (store == NULL || !pv_store_verify (store, result, pv_progress_update, progress, cli->cancellable, error))
    return FALSE;
  return opt_repair == NULL || result->damaged->len == 0 || repair (cli, store, result, progress, error);
}

/* The store did not even open. A format marker that is none is damage where there is a store around it. */
static gboolean
is_damage (PvCli *cli, const GError *error)
{
  g_autofree char *packs = g_build_filename (cli->store_directory, "packs", NULL);
  g_autofree char *index = g_build_filename (cli->store_directory, "index.sqlite", NULL);

  return g_error_matches (error, PV_ERROR, PV_ERROR_CORRUPT)
         || (g_error_matches (error, PV_ERROR, PV_ERROR_INVALID) && g_file_test (packs, G_FILE_TEST_IS_DIR)
             && g_file_test (index, G_FILE_TEST_IS_REGULAR));
}

static gboolean
check_options (GError **error)
{
  const char *remote = opt_remote != NULL ? opt_remote : opt_repair;

  if (opt_remote != NULL && (opt_repair != NULL || opt_rebuild_index))
    return pv_throw (error, PV_ERROR_INVALID, "--remote checks the remote; --repair and --rebuild-index are for the"
                                              " store");
  if (opt_remote == NULL && (opt_resend || opt_sample != 100))
    return pv_throw (error, PV_ERROR_INVALID, "--sample and --resend go with --remote");
  if (opt_sample < 1 || opt_sample > 100)
    return pv_throw (error, PV_ERROR_INVALID, "--sample is a percentage: 1 to 100, not %d", opt_sample);
  return remote == NULL || pv_remote_argument_check (remote, error);
}

static PvExit
run_verify (PvCli *cli, char **args, GError **error)
{
  g_autoptr(GPtrArray) dropped = g_ptr_array_new_with_free_func (g_free);
  PvVerifyResult result = { 0 };
  PvExit exit_status = PV_EXIT_FAILED;
  g_autoptr(GError) local = NULL;

  if (!check_options (error))
    return PV_EXIT_USAGE;
  if (work (cli, &result, dropped, &local))
    {
      exit_status = result.damaged->len > 0 || dropped->len > 0 ? PV_EXIT_DAMAGE : PV_EXIT_OK;
      if (cli->json)
        print_json (&result, dropped);
      else
        print_text (&result, dropped);
    }
  else
    {
      if (is_damage (cli, local))
        exit_status = PV_EXIT_DAMAGE;
      g_propagate_error (error, g_steal_pointer (&local));
    }
  pv_verify_result_clear (&result);
  return exit_status;
}

const PvCommand pv_command_verify = {
  .name = "verify",
  .arguments = "",
  .summary = "Read everything in the store and check it",
  .details = "Every file is read, every checksum and name is checked, and that all is there that snapshots\n"
             "refer to. What is damaged is named together with the snapshots it hits; the exit status is 3\n"
             "then.\n"
             "\n"
             "--rebuild-index is for a lost or damaged index.sqlite: packs and snapshot objects say all\n"
             "that is in it. Nobody else may be using the store meanwhile. Snapshots that are not complete\n"
             "any more are left out and listed.\n"
             "\n"
             "--repair takes good copies of damaged packs from a remote. --remote checks a remote: that all is\n"
             "there that its snapshots need, and the content of --sample percent of its packs; with --resend\n"
             "damaged packs are sent again.\n"
             "\n"
             "Examples:\n"
             "  pagevault verify\n"
             "  pagevault verify --repair file:///mnt/backup\n"
             "  pagevault verify --remote file:///mnt/backup --sample 5\n"
             "  pagevault verify --json | jq -r '.damaged[].snapshots[]' | sort -u\n"
             "  pagevault verify --rebuild-index\n"
             "\n"
             "Keys of --json: checked_bytes, damaged (an array of what, why, snapshots); with\n"
             "--rebuild-index also dropped (an array of sentences); with --repair and --resend repaired (a\n"
             "number of packs).",
  .max_args = 0,
  .options = options,
  .run = run_verify,
};
