/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvScratchFile: bytes that are appended and later become a blob volume; they lie in the store's scratch folder, not
 * in memory, encrypted with a key that only this process has. */
#pragma once

#include "store/txn.h"

G_BEGIN_DECLS

typedef struct _PvScratchFile PvScratchFile;

/* The file is unlinked at once. */
PvScratchFile *pv_scratch_file_new (PvStoreScratch *scratch, GError **error);
void pv_scratch_file_free (PvScratchFile *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvScratchFile, pv_scratch_file_free)

gboolean pv_scratch_file_append (PvScratchFile *self, gconstpointer data, gsize size, GError **error);
guint64 pv_scratch_file_size (const PvScratchFile *self);
/* @size bytes at @offset, all of which were appended. */
gboolean pv_scratch_file_read (PvScratchFile *self, guint64 offset, gpointer data, gsize size, GError **error);
/* Makes all of it the blob volume @name; nothing when it is empty. */
gboolean pv_scratch_file_add_blob (PvScratchFile *self, PvTxn *txn, const char *name, GError **error);

G_END_DECLS
