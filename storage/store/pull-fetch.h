/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fetching whole packs of a remote, several at once. */
#pragma once

#include "store/mirror-private.h"

G_BEGIN_DECLS

/* (transfer full): where pack @name lies once it was fetched: below STORE/mirrors/NAME/incoming. */
char *pv_pull_path (PvMirror *self, const PvName *name);

/* Fetches @packs (element-type PvRemotePack) to pv_pull_path(), synced, each checked whole: checksums, and the names of
 * all chunks. What is there already, and sound, is left. PV_ERROR_CORRUPT for one that is not what it should be. */
gboolean pv_pull_fetch (PvMirror *self, GArray *packs, PvStoreProgressFunc progress, gpointer data,
                        GCancellable *cancellable, GError **error);

/* TRUE when every byte of the file @path is what the name of the pack and the names of its objects say. */
gboolean pv_pull_check (PvMirror *self, const char *path, const PvRemotePack *pack, GError **error);

G_END_DECLS
