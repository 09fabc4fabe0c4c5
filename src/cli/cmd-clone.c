/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include "cli/restore-common.h"
#include "util/error.h"
#include "util/snapshot-name.h"

#define COUNT_MAX 1000

static char *opt_network, *opt_disks, *opt_disks_dir;
static gboolean opt_paused;
static int opt_count;

static const GOptionEntry options[] = {
  { "count", 0, 0, G_OPTION_ARG_INT, &opt_count, "Make N clones: NEW-1 to NEW-N", "N" },
  { "network", 0, 0, G_OPTION_ARG_STRING, &opt_network,
    "down: the links of all network interfaces are down; keep: as they were (down)", "HOW" },
  { "paused", 0, 0, G_OPTION_ARG_NONE, &opt_paused, "Leave the clones paused", NULL },
  { "disks", 0, 0, G_OPTION_ARG_STRING, &opt_disks,
    "overlay: overlays over images that the store serves; copy: full copies (overlay)", "HOW" },
  { "disks-dir", 0, 0, G_OPTION_ARG_FILENAME, &opt_disks_dir, "Where the new disks go (beside the original ones)",
    "DIR" },
  G_OPTION_ENTRY_NULL
};

static gboolean
read_options (PvRestoreOptions *clone, GError **error)
{
  g_autofree char *shown = NULL;

  if (!pv_restore_parse_disks (opt_disks, &clone->disks, error))
    return FALSE;
  if (opt_count < 0 || opt_count > COUNT_MAX)
    return pv_throw (error, PV_ERROR_INVALID, "--count is a number from 1 to %d", COUNT_MAX);
  clone->isolate = g_strcmp0 (opt_network, "keep") != 0;
  if (opt_network == NULL || g_str_equal (opt_network, "keep") || g_str_equal (opt_network, "down"))
    return TRUE;
  shown = pv_escape_for_message (opt_network);
  return pv_throw (error, PV_ERROR_INVALID, "--network is down or keep, not '%s'", shown);
}

/* (transfer full): the names of all clones. */
static char **
make_names (const char *stem, GError **error)
{
  g_autoptr(GStrvBuilder) builder = g_strv_builder_new ();
  g_auto(GStrv) names = NULL;

  if (opt_count == 0)
    g_strv_builder_add (builder, stem);
  for (int i = 1; i <= opt_count; i++)
    {
      g_autofree char *name = g_strdup_printf ("%s-%d", stem, i);

      g_strv_builder_add (builder, name);
    }
  names = g_strv_builder_end (builder);
  for (char **name = names; *name != NULL; name++)
    if (!pv_domain_name_check (*name, error))
      return NULL;
  return g_steal_pointer (&names);
}

/* All or none: none is made when one of the names is taken. */
static gboolean
check_free (PvConnection *connection, char **names, GError **error)
{
  for (; *names != NULL; names++)
    {
      g_autoptr(GError) local = NULL;
      g_autoptr(PvGuest) guest = pv_guest_lookup (connection, *names, &local);

      if (guest != NULL)
        return pv_throw (error, PV_ERROR_EXISTS, "there is a domain '%s' already: choose another name", *names);
      if (!g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
    }
  return TRUE;
}

/* Those that were made before one failed stay, and are told. */
static gboolean
make_clones (PvRestoreGround *ground, PvCli *cli, PvRestoreOptions *clone, char **names, JsonBuilder *builder,
             GError **error)
{
  for (; *names != NULL; names++)
    {
      PvRestoreResult result = { 0 };
      gboolean made;

      clone->name = *names;
      made = pv_restore_ground_run (ground, cli, clone, &result, error);
      if (made && cli->json)
        {
          json_builder_begin_object (builder);
          pv_restore_add_json (builder, &result);
          json_builder_end_object (builder);
        }
      else if (made)
        pv_restore_print (ground->snapshot, &result);
      pv_restore_result_clear (&result);
      if (!made)
        {
          g_prefix_error (error, "%s: ", *names);
          return FALSE;
        }
    }
  return TRUE;
}

static PvExit
run_clone (PvCli *cli, char **args, GError **error)
{
  g_auto(PvRestoreGround) ground = { 0 };
  g_auto(GStrv) names = NULL;
  g_autofree char *disks_dir = NULL;
  g_autoptr(JsonBuilder) builder = json_builder_new ();
  PvRestoreOptions clone = { .paused = opt_paused, .disks = PV_RESTORE_DISKS_OVERLAY };
  gboolean done;

  if (!pv_cli_check_snapshot (cli, args[0], error) || !pv_domain_name_check (args[1], error)
      || !read_options (&clone, error) || (names = make_names (args[1], error)) == NULL)
    return PV_EXIT_USAGE;
  if (opt_disks_dir != NULL)
    clone.disks_dir = disks_dir = g_canonicalize_filename (opt_disks_dir, NULL);
  if (!pv_restore_ground_open (&ground, cli, args[0], args[1], error)
      || !check_free (ground.connection, names, error))
    return PV_EXIT_FAILED;
  json_builder_begin_object (builder);
  json_builder_set_member_name (builder, "clones");
  json_builder_begin_array (builder);
  done = make_clones (&ground, cli, &clone, names, builder, error);
  json_builder_end_array (builder);
  json_builder_end_object (builder);
  if (cli->json)
    pv_json_print (builder);
  return done ? PV_EXIT_OK : PV_EXIT_FAILED;
}

const PvCommand pv_command_clone = {
  .name = "clone",
  .arguments = "DOMAIN@NAME NEW",
  .summary = "Make new guests from a snapshot",
  .details = "A clone goes on from the snapshot's instant beside the original: with a name and UUID of its\n"
             "own, a new generation id where the guest has one, and disks that are small overlays over\n"
             "images which 'pagevault mount' serves from the store. Any number can run at once.\n"
             "\n"
             "Its memory knows the MAC addresses of the original, so it keeps them; therefore its network\n"
             "links are down. Give it another network, then 'virsh domif-setlink NEW MAC up', or clone\n"
             "with --network keep. A snapshot of disks only gives domains with new MAC addresses.\n"
             "\n"
             "Examples:\n"
             "  pagevault clone web1@before-upgrade web1-debug\n"
             "  pagevault clone web1@before-upgrade test --count 3 --disks-dir /srv/scratch\n"
             "\n"
             "Keys of --json: clones (an array of what 'restore' prints: domain, lazy, running_ms,\n"
             "total_ms, pages_on_demand).",
  .min_args = 2,
  .max_args = 2,
  .options = options,
  .run = run_clone,
};
