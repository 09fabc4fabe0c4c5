/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What 'push' and 'pull' have in common: DOMAIN@NAME... REMOTE, one snapshot after the other, progress, and one JSON
 * document over all. */
#pragma once

#include <json-glib/json-glib.h>

#include "cli/cli.h"
#include "cli/progress.h"
#include "store/mirror.h"

G_BEGIN_DECLS

/* One snapshot under way. */
typedef struct
{
  PvCli *cli;
  PvStore *store;
  PvMirror *mirror;
  const char *full, *domain, *name; /* of the snapshot: full is DOMAIN@NAME */
  PvProgress *progress;
  JsonBuilder *builder;             /* (nullable): in an object of its own, which has "snapshot" already */
  gint64 began;                     /* microseconds, monotonic */
} PvTransfer;

/* Moves one snapshot, then calls pv_transfer_over() and tells of it: members of @transfer->builder, or a line of text
 * when there is no builder. */
typedef gboolean (*PvTransferFunc) (PvTransfer *transfer, GError **error);

/* Takes the progress off the terminal, before anything is printed. (transfer full): how long it took, for people. */
char *pv_transfer_over (PvTransfer *transfer);

/* @args: snapshots, then the remote, at least two. @member: of the JSON document: an array of the transfers. @flags:
 * for opening the store. @refresh: the list of the remote's snapshots is brought up to date first. */
PvExit pv_transfer_command_run (PvCli *cli, char **args, const char *member, PvStoreOpenFlags flags, gboolean refresh,
                                PvTransferFunc func, GError **error);

G_END_DECLS
