/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvSpill: a first-in-first-out queue of bytes in a file that has no name.
 *
 * One thread pushes, one pops; size() is for any thread. What was popped gives its blocks back to the file system where
 * that can punch holes.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PvSpill PvSpill;

/* The file is made in @directory when the first byte comes. */
PvSpill *pv_spill_new (const char *directory);
void pv_spill_free (PvSpill *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvSpill, pv_spill_free)

/* PV_ERROR_NO_SPACE when the file system is full. */
gboolean pv_spill_push (PvSpill *self, const guint8 *bytes, gsize n, GError **error);
/* Up to @max bytes into @bytes: the number, 0 when the queue is empty, -1 with @error. */
gssize pv_spill_pop (PvSpill *self, guint8 *bytes, gsize max, GError **error);
/* Bytes pushed and not popped. */
guint64 pv_spill_size (PvSpill *self);
/* Bytes ever pushed. */
guint64 pv_spill_total (PvSpill *self);

G_END_DECLS
