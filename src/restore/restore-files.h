/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRestoreFiles: the files that a restore makes. Each is written down in the journal before it has a name, so that
 * pv_restore_undo() can take exactly these away again.
 *
 *   new -> add (many) -> free, which leaves them where they are
 *
 * No file that exists is ever touched. One thread.
 */
#pragma once

#include "restore/restore-journal.h"
#include "restore/transfer.h"

G_BEGIN_DECLS

typedef struct _PvRestoreFiles PvRestoreFiles;

/* @stem: what the names of all files begin with; characters that some program takes for special are replaced.
 * @directory: (nullable): where they go; beside the file that each stands for. @journal: borrowed. */
PvRestoreFiles *pv_restore_files_new (PvRestoreJournal *journal, const char *stem, const char *directory);
void pv_restore_files_free (PvRestoreFiles *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRestoreFiles, pv_restore_files_free)

/* What a new file is made of. */
typedef struct
{
  PvStore *store;
  const PvVolume *volume;
  const char *format;  /* "raw", "qcow2" */
  const char *backing; /* (nullable): a file with the content of @volume: the new file is a qcow2 overlay over it */
  const char *backing_format; /* (nullable): "raw" */
} PvFileContent;

/* (transfer none): path of a new file STEM.@suffix with @content. @original: (nullable): the file that it stands for.
 * When the name is taken, a number is added. */
const char *pv_restore_files_add (PvRestoreFiles *self, const PvFileContent *content, const char *suffix,
                                  const char *original, const PvTransfer *transfer, GError **error);

/* (transfer full): @stem as part of a file name: letters, digits and . _ + - stay, everything else becomes _; at most
 * 200 bytes. */
char *pv_restore_files_clean_name (const char *stem);

G_END_DECLS
