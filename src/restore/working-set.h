/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The working set of a snapshot: which pages guests restored from it asked for, in the order in which they did.
 *
 * Beside the snapshot, which is immutable: STORE/working-sets/ID (docs/format-working-set.md). It only makes things
 * faster: one that is damaged or missing is as good as none, and pages in it that do not exist are left out.
 */
#pragma once

#include "store/store.h"

G_BEGIN_DECLS

#define PV_WORKING_SET_MAX 65536u /* pages */

/* (transfer full) (element-type guint64): pages below @n_pages, each once; empty when there is nothing usable. */
GArray *pv_working_set_read (const char *store_directory, PvSnapshot *snapshot, guint64 n_pages);
/* Adds @pages behind those known already and writes it. */
gboolean pv_working_set_add (const char *store_directory, PvSnapshot *snapshot, const guint64 *pages, guint n,
                             guint64 n_pages, GError **error);
/* Removes those of snapshots that are not listed any more. */
gboolean pv_working_set_sweep (PvStore *store, GError **error);

/* The bytes of the file and back; PV_ERROR_CORRUPT for anything that is not well-formed. */
GBytes *pv_working_set_serialize (const GArray *pages);
GArray *pv_working_set_parse (const guint8 *data, gsize size, GError **error);

G_END_DECLS
