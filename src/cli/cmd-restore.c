/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include "cli/restore-common.h"
#include "util/snapshot-name.h"

static char *opt_name, *opt_disks, *opt_disks_dir;
static gboolean opt_paused, opt_eager;

static const GOptionEntry options[] = {
  { "name", 0, 0, G_OPTION_ARG_STRING, &opt_name, "Give the guest another name, and a new UUID", "NEW" },
  { "paused", 0, 0, G_OPTION_ARG_NONE, &opt_paused, "Leave the guest paused", NULL },
  { "eager", 0, 0, G_OPTION_ARG_NONE, &opt_eager, "Load all memory before the guest runs", NULL },
  { "disks", 0, 0, G_OPTION_ARG_STRING, &opt_disks,
    "copy: full copies; overlay: overlays over images that the store serves (copy)", "HOW" },
  { "disks-dir", 0, 0, G_OPTION_ARG_FILENAME, &opt_disks_dir, "Where the new disks go (beside the original ones)",
    "DIR" },
  G_OPTION_ENTRY_NULL
};

static void
print_result (PvCli *cli, PvSnapshot *snapshot, const PvRestoreResult *result)
{
  g_autoptr(JsonBuilder) builder = NULL;

  if (!cli->json)
    {
      pv_restore_print (snapshot, result);
      return;
    }
  builder = json_builder_new ();
  json_builder_begin_object (builder);
  pv_restore_add_json (builder, result);
  json_builder_end_object (builder);
  pv_json_print (builder);
}

static PvExit
run_restore (PvCli *cli, char **args, GError **error)
{
  g_auto(PvRestoreGround) ground = { 0 };
  g_autofree char *disks_dir = NULL;
  g_autofree char *domain = NULL;
  PvRestoreOptions restore = { .name = opt_name, .paused = opt_paused };
  PvRestoreResult result = { 0 };
  gboolean done;

  if (!pv_cli_check_snapshot (cli, args[0], error) || !pv_snapshot_name_parse (args[0], &domain, NULL, error)
      || !pv_restore_parse_disks (opt_disks, &restore.disks, error)
      || (opt_name != NULL && !pv_domain_name_check (opt_name, error)))
    return PV_EXIT_USAGE;
  if (opt_disks_dir != NULL)
    restore.disks_dir = disks_dir = g_canonicalize_filename (opt_disks_dir, NULL);
  done = pv_restore_ground_open (&ground, cli, args[0], opt_name != NULL ? opt_name : domain, error)
         && pv_restore_ground_run (&ground, cli, &restore, &result, error);
  if (done)
    print_result (cli, ground.snapshot, &result);
  pv_restore_result_clear (&result);
  return done ? PV_EXIT_OK : PV_EXIT_FAILED;
}

const PvCommand pv_command_restore = {
  .name = "restore",
  .arguments = "DOMAIN@NAME",
  .summary = "Bring a guest back",
  .details = "The guest goes on from the snapshot's instant: memory, devices and disks. Its disks are new\n"
             "qcow2 files; no existing file is touched. A running domain of that name is refused: shut it\n"
             "off, or give the new one another name with --name. If the guest was defined persistently, so\n"
             "is the restored one, with the new disks in its definition.\n"
             "\n"
             "With --disks overlay the disks are small qcow2 files over images that 'pagevault mount' serves\n"
             "from the store, which is mounted if it is not. Such a guest needs the mount, and its snapshot,\n"
             "for as long as it has these disks.\n"
             "\n"
             "A snapshot of disks only (of a shut-off domain, or --disk-only) gives a domain that is shut\n"
             "off.\n"
             "\n"
             "Examples:\n"
             "  pagevault restore web1@before-upgrade\n"
             "  pagevault restore web1@before-upgrade --name web1-debug --paused --disks-dir /srv/scratch\n"
             "\n"
             "Keys of --json: domain, lazy, running_ms, total_ms, pages_on_demand.",
  .min_args = 1,
  .max_args = 1,
  .options = options,
  .run = run_restore,
};
