/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRestoreJournal: what a restore has made so far, written down before it is made, so that it can be taken away again
 * by pv_restore_undo(): by the restore that failed, or by whoever comes after one that was killed.
 *
 *   create -> add, add … -> remove -> free;      open (that of a killed restore) -> steps -> remove -> free
 *
 * A file of lines, one step each, in STORE/restores, called after the guest. It is locked as long as a restore of that
 * guest is at work, so there is one of them at a time. Each line is one system call; a line that is not whole was
 * never acted upon. Everything before PV_MADE_COMMIT is undone, everything after it is finished.
 *
 * One thread.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef enum
{
  PV_MADE_GUEST,      /* layout version, name, UUID of the guest that is to be */
  PV_MADE_FILE,       /* path, device, inode: the file has no name yet, and gets this one now */
  PV_MADE_REPLACE,    /* run state "running", "paused"; snapshot to bring it back from, "" is none; its description:
                         the guest that runs under this UUID is ended now */
  PV_MADE_LOAD,       /* the new guest is started now, paused */
  PV_MADE_DEFINITION, /* the definition that there was, "" is none: it is replaced now */
  PV_MADE_COMMIT,     /* "running" or "paused": all is there; the guest gets this run state now */
  PV_N_MADE,
} PvMadeKind;

const char *pv_made_kind_to_string (PvMadeKind kind);

typedef struct
{
  PvMadeKind kind;
  char **arguments; /* (owned): as many as the kind has */
} PvMade;

#define PV_RESTORE_JOURNAL_MAX (64u << 20) /* bytes */

typedef struct _PvRestoreJournal PvRestoreJournal;

/* For a restore of the guest @name; @way_back: for one that brings back what another restore, of the same guest, has
 * replaced. PV_ERROR_BUSY when another one is at work; PV_ERROR_EXISTS when one was killed and
 * is to be recovered first. */
PvRestoreJournal *pv_restore_journal_create (const char *store_directory, const char *name, gboolean way_back,
                                             GError **error);
/* (nullable): NULL without @error when it is gone, or its restore is at work. */
PvRestoreJournal *pv_restore_journal_open (const char *path, GError **error);
void pv_restore_journal_free (PvRestoreJournal *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRestoreJournal, pv_restore_journal_free)

/* (element-type utf8) (transfer full): paths of all journals of the store, in the order in which
 * they are to be undone: ways back first. */
GPtrArray *pv_restore_journal_list (const char *store_directory, GError **error);

/* Arguments as the kind has them. Passes the fault point "restore.KIND" before and "restore.KIND.after" after. */
gboolean pv_restore_journal_add (PvRestoreJournal *self, GError **error, PvMadeKind kind, ...) G_GNUC_NULL_TERMINATED;
/* (element-type PvMade) (transfer container): oldest first. PV_ERROR_CORRUPT for a line that is whole and makes no
 * sense. */
GPtrArray *pv_restore_journal_steps (PvRestoreJournal *self, GError **error);
const char *pv_restore_journal_file (PvRestoreJournal *self);
gboolean pv_restore_journal_remove (PvRestoreJournal *self, GError **error);

G_END_DECLS
