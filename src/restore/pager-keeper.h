/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPagerKeeper: the process that stands behind a pager, and starts another one when it is killed.
 *
 * Pager and keeper hold the same channel to QEMU, the same PvPagerShared and the same lock; when either dies the other
 * starts it anew, and QEMU never notices. That matters: a QEMU whose channel breaks while one of its own threads waits
 * for a page can not be given another channel, because its monitor waits too.
 *
 * Descriptors of both programs:
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_PAGER_PROGRAM "pagevault-pager"

enum
{
  PV_PAGER_FD_COMMAND = 3, /* first pager: the command that started it (restore/lazy-restore.h) */
  PV_PAGER_FD_CHANNEL = 3, /* all others: QEMU */
  PV_PAGER_FD_SHARED = 4,
  PV_PAGER_FD_LOCK = 5,
  PV_PAGER_FD_OTHER = 6, /* a socket to the other one of the two: it closes when that dies */
  PV_PAGER_FD_KEYS = 7,  /* all: the key of an encrypted store (store/unlock.h) */
};

/* (transfer full): where the program is: beside this one where that is not installed. */
char *pv_pager_program (void);
/* Starts @argv in a session of its own; @sources become its descriptors @targets, at most PV_PAGER_FDS_MAX. The keys of
 * stores that this process knows are handed over besides. */
#define PV_PAGER_FDS_MAX 4u
gboolean pv_pager_spawn (const char *const *argv, const int *sources, const int *targets, guint n, GError **error);

/* What both inherit from whom they replace. */
typedef struct
{
  const char *store;
  const char *uuid;
  int channel, shared, lock;
} PvPagerPair;
/* Starts a keeper (@mode "keep") or a pager ("again") that shares @pair: our end of the socket to it, -1 on error. */
int pv_pager_pair_start (const PvPagerPair *pair, const char *mode, GError **error);

/* The keeper itself: until the pager is over. The exit status. */
int pv_pager_keeper_run (const char *store, const char *uuid);

G_END_DECLS
