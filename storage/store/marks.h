/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvMarks: which objects snapshots refer to: one bit for each object of each pack, found by walking their trees.
 *
 * Memory: four bytes for each frame of the store, and the names of nodes walked. Belongs to one thread.
 */
#pragma once

#include <gio/gio.h>

#include "store/object-reader.h"
#include "store/snapshot.h"

G_BEGIN_DECLS

typedef struct _PvMarks PvMarks;

PvMarks *pv_marks_new (PvIndex *index, PvObjectReader *reader);
void pv_marks_free (PvMarks *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvMarks, pv_marks_free)

/* Marks everything that @snapshot refers to. What was walked before is not walked again. A node that cannot be
 * read is an error; chunks that are missing are counted, for each snapshot that refers to them. */
gboolean pv_marks_add_snapshot (PvMarks *self, PvSnapshot *snapshot, GCancellable *cancellable, GError **error);
guint64 pv_marks_n_missing (PvMarks *self);

/* Calls @func for each object when it is marked for the first time. */
typedef gboolean (*PvMarksFunc) (const PvLocation *location, gpointer data, GError **error);
void pv_marks_set_func (PvMarks *self, PvMarksFunc func, gpointer data);

gboolean pv_marks_contains (PvMarks *self, const PvLocation *location);
/* Objects marked in @pack. */
guint64 pv_marks_count (PvMarks *self, guint32 pack);

G_END_DECLS
