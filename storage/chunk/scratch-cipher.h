/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvScratchCipher: for temporary files of one process that hold what is to be encrypted in the store: AES-256-CTR under
 * a random key that never leaves the memory of the process.
 *
 * No byte of such a file may be written twice: its place in the file is its place in the key stream. Nothing tells
 * whether the file was tampered with: that is for files without a name, which live as long as their process.
 * Immutable: any thread.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PvScratchCipher PvScratchCipher;

PvScratchCipher *pv_scratch_cipher_new (GError **error);
void pv_scratch_cipher_free (PvScratchCipher *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvScratchCipher, pv_scratch_cipher_free)

/* Encrypts, or decrypts, the @size bytes at @from, of @offset in the file, to @to (may be the same). */
void pv_scratch_cipher_apply (const PvScratchCipher *self, guint64 offset, const guint8 *from, gsize size, guint8 *to);

G_END_DECLS
