/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

#include "cli/lazy.h"
#include "cli/progress.h"
#include "cli/restore-common.h"
#include "restore/lazy-restore.h"
#include "util/bytesize.h"
#include "util/error.h"
#include "util/snapshot-name.h"

static char *opt_name, *opt_disks, *opt_disks_dir, *opt_rate;
static gboolean opt_paused, opt_eager, opt_wait, opt_recover, opt_hydrate;

static const GOptionEntry options[] = {
  { "name", 0, 0, G_OPTION_ARG_STRING, &opt_name, "Give the guest another name, and a new UUID", "NEW" },
  { "paused", 0, 0, G_OPTION_ARG_NONE, &opt_paused, "Leave the guest paused", NULL },
  { "eager", 0, 0, G_OPTION_ARG_NONE, &opt_eager, "Load all memory before the guest runs", NULL },
  { "wait", 0, 0, G_OPTION_ARG_NONE, &opt_wait, "Return only when all memory is there", NULL },
  { "prefetch-rate", 0, 0, G_OPTION_ARG_STRING, &opt_rate,
    "Bytes a second (K, M, G) of memory that the guest has not asked for (no limit)", "RATE" },
  { "recover", 0, 0, G_OPTION_ARG_NONE, &opt_recover,
    "Go on with guests whose memory stopped coming, because its pagers were killed", NULL },
  { "disks", 0, 0, G_OPTION_ARG_STRING, &opt_disks,
    "copy: full copies; overlay: overlays over images that the store serves (copy)", "HOW" },
  { "hydrate", 0, 0, G_OPTION_ARG_NONE, &opt_hydrate,
    "Copy what the store serves into the overlays while the guest runs", NULL },
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

/* Goes on with all guests of the store whose pagers were killed. */
static PvExit
recover (PvCli *cli, GError **error)
{
  g_autoptr(PvStore) store = pv_cli_open_store (cli, 0, error);
  g_autoptr(JsonBuilder) builder = NULL;

  if (store == NULL || !pv_lazy_recover_all (store, error))
    return PV_EXIT_FAILED;
  if (!cli->json)
    {
      pv_lazy_print (store, NULL);
      return PV_EXIT_OK;
    }
  builder = json_builder_new ();
  json_builder_begin_object (builder);
  pv_lazy_add_json (builder, store, NULL);
  json_builder_end_object (builder);
  pv_json_print (builder);
  return PV_EXIT_OK;
}

/* (transfer full) in @domain: whose snapshot it is. */
static gboolean
read_options (PvCli *cli, const char *snapshot, char **domain, PvRestoreOptions *restore, GError **error)
{
  if (!pv_cli_check_snapshot (cli, snapshot, error) || !pv_snapshot_name_parse (snapshot, domain, NULL, error)
      || !pv_restore_parse_disks (opt_disks, &restore->disks, error)
      || (opt_name != NULL && !pv_domain_name_check (opt_name, error)))
    return FALSE;
  if (opt_rate == NULL || pv_bytesize_parse (opt_rate, &restore->prefetch_rate, error))
    return TRUE;
  g_prefix_error (error, "--prefetch-rate: ");
  return FALSE;
}

/* Memory first: QEMU is not asked to move disks while its memory is on its way. */
static gboolean
finish (PvCli *cli, PvRestoreGround *ground, const PvRestoreResult *result, GError **error)
{
  g_autoptr(PvProgress) progress = NULL;

  if ((opt_wait || opt_hydrate) && result->lazy && !pv_lazy_finish (cli, ground->store, result->uuid, FALSE, error))
    return FALSE;
  if (!opt_hydrate || pv_snapshot_volumes_size (ground->snapshot, PV_VOLUME_RAM) == 0)
    return TRUE;
  progress = pv_progress_new ();
  return pv_restore_hydrate (ground->connection, ground->snapshot, result->uuid, pv_progress_update, progress,
                             cli->cancellable, error);
}

static PvExit
restore_one (PvCli *cli, const char *snapshot, GError **error)
{
  g_auto(PvRestoreGround) ground = { 0 };
  g_autofree char *disks_dir = NULL;
  g_autofree char *domain = NULL;
  PvRestoreOptions restore = {
    .name = opt_name,
    .paused = opt_paused,
    .eager = opt_eager,
    .disks = opt_hydrate ? PV_RESTORE_DISKS_OVERLAY : PV_RESTORE_DISKS_COPY,
  };
  PvRestoreResult result = { 0 };
  gboolean done;

  if (!read_options (cli, snapshot, &domain, &restore, error))
    return PV_EXIT_USAGE;
  if (opt_hydrate && restore.disks != PV_RESTORE_DISKS_OVERLAY)
    {
      pv_throw (error, PV_ERROR_INVALID, "--hydrate is for --disks overlay: a copy needs the store no more");
      return PV_EXIT_USAGE;
    }
  if (opt_disks_dir != NULL)
    restore.disks_dir = disks_dir = g_canonicalize_filename (opt_disks_dir, NULL);
  done = pv_restore_ground_open (&ground, cli, snapshot, opt_name != NULL ? opt_name : domain, error)
         && pv_restore_ground_run (&ground, cli, &restore, &result, error)
         && finish (cli, &ground, &result, error);
  if (done)
    print_result (cli, ground.snapshot, &result);
  pv_restore_result_clear (&result);
  return done ? PV_EXIT_OK : PV_EXIT_FAILED;
}

static PvExit
run_restore (PvCli *cli, char **args, GError **error)
{
  if (opt_recover == (args[0] == NULL))
    return opt_recover ? recover (cli, error) : restore_one (cli, args[0], error);
  pv_throw (error, PV_ERROR_INVALID, "%s",
            opt_recover ? "--recover is for all guests of the store: leave the snapshot out"
                        : "which snapshot? 'pagevault list' names them");
  return PV_EXIT_USAGE;
}

const PvCommand pv_command_restore = {
  .name = "restore",
  .arguments = "[DOMAIN@NAME]",
  .summary = "Bring a guest back",
  .details = "The guest goes on from the snapshot's instant: memory, devices and disks. Its disks are new\n"
             "qcow2 files; no existing file is touched. A running domain of that name is refused: shut it\n"
             "off, or give the new one another name with --name. If the guest was defined persistently, so\n"
             "is the restored one, with the new disks in its definition.\n"
             "\n"
             "The guest runs before its memory is read: pages come when it asks for them, and the rest in\n"
             "the background, by a process that stays behind until all are there. Where the host cannot do\n"
             "that, or with --eager, all memory is loaded first.\n"
             "\n"
             "With --disks overlay the disks are small qcow2 files over images that 'pagevault mount' serves\n"
             "from the store, which is mounted if it is not. Such a guest needs the mount, and its snapshot,\n"
             "for as long as it has these disks; with --hydrate only until this command ends, which\n"
             "copies all into them while the guest runs.\n"
             "\n"
             "A snapshot of disks only (of a shut-off domain, or --disk-only) gives a domain that is shut\n"
             "off.\n"
             "\n"
             "Examples:\n"
             "  pagevault restore web1@before-upgrade\n"
             "  pagevault restore web1@before-upgrade --name web1-debug --paused --disks-dir /srv/scratch\n"
             "\n"
             "Keys of --json: domain, lazy, running_ms, total_ms, pages_on_demand.",
  .max_args = 1,
  .options = options,
  .run = run_restore,
};
