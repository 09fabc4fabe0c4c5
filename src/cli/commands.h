/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The commands: each is described and defined in cmd-VERB.c; command-table.c puts them in order. */
#pragma once

#include "cli/command.h"

G_BEGIN_DECLS

extern const PvCommand pv_command_init;
extern const PvCommand pv_command_key;
extern const PvCommand pv_command_create;
extern const PvCommand pv_command_list;
extern const PvCommand pv_command_show;
extern const PvCommand pv_command_restore;
extern const PvCommand pv_command_clone;
extern const PvCommand pv_command_revert;
extern const PvCommand pv_command_export;
extern const PvCommand pv_command_import;
extern const PvCommand pv_command_delete;
extern const PvCommand pv_command_gc;
extern const PvCommand pv_command_verify;
extern const PvCommand pv_command_stat;
extern const PvCommand pv_command_mount;
extern const PvCommand pv_command_doctor;
extern const PvCommand pv_command_push;
extern const PvCommand pv_command_pull;
extern const PvCommand pv_command_attach;
extern const PvCommand pv_command_prune;
extern const PvCommand pv_command_remote;
extern const PvCommand pv_command_policy;

G_END_DECLS
