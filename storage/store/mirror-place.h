/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of remotes: STORE/mirrors/NAME/remote says where the remote NAME is (remote/remote-place.h). It is not in
 * the index, which is made anew from packs: nothing else knows where a remote is. Any thread, any number of processes.
 */
#pragma once

#include "remote/remote-place.h"

G_BEGIN_DECLS

#define PV_MIRRORS "mirrors" /* STORE/mirrors */

/* TRUE when a remote may be called @name: 1 to 64 letters, digits, '.', '_', '-', no '.' or '-' first. INVALID. */
gboolean pv_mirror_name_check (const char *name, GError **error);

/* (transfer full) (element-type utf8): the names of all remotes of store directory @store, sorted. */
GPtrArray *pv_mirror_place_names (const char *store);

/* PV_ERROR_NOT_FOUND when there is no remote @name. */
PvRemotePlace *pv_mirror_place_read (const char *store, const char *name, GError **error);

/* Notes @place as remote @name. @replace: also when there is one of that name; else that is PV_ERROR_EXISTS. */
gboolean pv_mirror_place_write (const char *store, const char *name, const PvRemotePlace *place, gboolean replace,
                                GError **error);

/* Forgets remote @name and all that is known of it; the remote itself stays as it is. NOT_FOUND. */
gboolean pv_mirror_place_remove (const char *store, const char *name, GError **error);

G_END_DECLS
