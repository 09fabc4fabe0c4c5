/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPackOutput: the bytes of a file that is written from its start to its end, behind its caller's back.
 *
 * new -> append (many) -> finish -> free. Bytes are gathered a mebibyte at a time and written by a thread of the
 * output's own, with O_DIRECT where the file system takes it: a pack is hardly ever read soon after, and copying it
 * through the page cache costs as much as compressing a quarter of it. A file that stays below a mebibyte has neither
 * thread nor O_DIRECT. append() waits when PV_PACK_OUTPUT_AHEAD blocks are waiting for the disk. Nothing is synced.
 * Dropped before finish: what is not written yet is forgotten. Not shareable between threads.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

#define PV_PACK_OUTPUT_BLOCK (1u << 20) /* bytes of a write */
#define PV_PACK_OUTPUT_AHEAD 8u         /* blocks on their way to the disk */

typedef struct _PvPackOutput PvPackOutput;

/* Writes to @fd, an empty file open for writing (not owned), called @path in messages. */
PvPackOutput *pv_pack_output_new (int fd, const char *path);
void pv_pack_output_free (PvPackOutput *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPackOutput, pv_pack_output_free)

/* Fails when an earlier write failed, if not at once then at the next full block. After that: only free. */
gboolean pv_pack_output_append (PvPackOutput *self, const guint8 *data, gsize size, GError **error);
/* Writes all that is left and waits for it. Afterwards only free. */
gboolean pv_pack_output_finish (PvPackOutput *self, GError **error);

G_END_DECLS
