/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The process that serves a store's disks as files (pool/mount.h): it outlives the command that starts it. */
#pragma once

#include "cli/cli.h"

G_BEGIN_DECLS

/* (transfer full): where the disks of the store are served unless the user names another directory: the same path
 * always, below /run/pagevault-disks for root, below the runtime directory of another user. */
char *pv_mount_process_directory (PvCli *cli);

/* Makes sure that @directory (made when it is missing) serves the store: starts "pagevault mount --foreground" in a
 * session of its own unless something is mounted there already, and waits until the files are there and guests that
 * had lost them read them again. What goes wrong later is in a file called after pv_mount_process_directory(), with
 * ".log" behind it. */
gboolean pv_mount_process_start (PvCli *cli, const char *directory, GError **error);

G_END_DECLS
