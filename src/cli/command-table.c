/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "cli/commands.h"

const PvCommand *const pv_commands[] = {
  &pv_command_init,   &pv_command_create, &pv_command_list,   &pv_command_show,   &pv_command_restore,
  &pv_command_clone,  &pv_command_revert, &pv_command_export, &pv_command_import, &pv_command_delete,
  &pv_command_gc,     &pv_command_verify, &pv_command_stat,   &pv_command_mount,  &pv_command_key,
  &pv_command_doctor, &pv_command_push,   &pv_command_pull,   &pv_command_attach, &pv_command_prune,
  &pv_command_remote, &pv_command_policy,
  NULL,
};
