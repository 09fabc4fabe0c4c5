/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRestoreGuard: a process that stands behind a restore which ends a guest to put another in its place.
 *
 *   start (the guest still runs) -> over (nothing is left to be mended) -> free;   free without over: it mends
 *
 * When the restore is killed in between, the guard does at once what the next command would do: the former guest comes
 * back, or the new one is finished (pv_restore_recover()). It is pagevault-pager under another option.
 */
#pragma once

#include "store/store.h"

G_BEGIN_DECLS

typedef struct _PvRestoreGuard PvRestoreGuard;

/* @uri: of libvirt. The guard waits when this returns. */
PvRestoreGuard *pv_restore_guard_start (PvStore *store, const char *uri, GError **error);
void pv_restore_guard_over (PvRestoreGuard *self);
void pv_restore_guard_free (PvRestoreGuard *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRestoreGuard, pv_restore_guard_free)

/* The guard itself: until the restore is over, or what it left is mended. The exit status. */
int pv_restore_guard_run (const char *store, const char *uri);

G_END_DECLS
