/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Taking a restore back, newest step first, or finishing one that needed no undoing any more. */
#pragma once

#include "restore/restore-journal.h"
#include "store/store.h"
#include "virt/guest.h"

G_BEGIN_DECLS

/* Brings a guest back that was replaced: @snapshot is DOMAIN@NAME or "" (none), @xml its live description, @paused
 * whether it was. */
typedef gboolean (*PvBringBackFunc) (const char *snapshot, const char *xml, gboolean paused, gpointer data,
                                     GError **error);

/* Does what is left to be done for @journal: before PV_MADE_COMMIT everything is undone, from there on everything is
 * finished. Then the journal is removed. @patient: the restore was killed, and libvirtd may still be at work for it.
 * @bring_back: (nullable): as pv_restore_bring_back() does; NULL: a replaced guest stays away. @done: (out) (optional)
 * (transfer full) (nullable): what was found to be done, a sentence. */
gboolean pv_restore_undo (PvRestoreJournal *journal, PvConnection *connection, gboolean patient,
                          PvBringBackFunc bring_back, gpointer data, char **done, GError **error);

G_END_DECLS
