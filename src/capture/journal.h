/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvJournal: what a capture has done to a guest, written down before it is done, so that it can be undone by
 * pv_undo_run(): by the job, by the guardian when the job was killed, by pv_capture_recover() when both were.
 *
 *   create -> add, add … -> remove;      find (somebody else's) -> steps -> remove
 *
 * A file of lines, one step each; a line that is not whole was never acted upon. The whole of a line is written by one
 * system call: a killed process leaves it in the page cache. The file is RUN/UUID/journal (RUN: /run/pagevault, or the
 * user's run-time directory): whatever becomes of the store, and whichever store the guest's next capture goes to, it
 * is found. Should the machine die, QEMU is gone as well and only the overlays matter: the lines that tell of them are
 * durable, which means that they are in STORE/captures/UUID too, and synced.
 *
 * Beside it, one capture of a guest at a time: a lock, on a file in the same run-time directory.
 */
#pragma once

#include <glib.h>

#include "util/file.h"

G_BEGIN_DECLS

typedef enum
{
  PV_STEP_BEGIN,      /* layout version, domain name, run state the user had it in: "running", "paused"; boot id; where
                         the durable lines are too */
  PV_STEP_OVERLAY,    /* target, overlay, base: the overlay's file is made, and may become the disk's active layer */
  PV_STEP_CAPABILITY, /* name: a migration capability is switched on */
  PV_STEP_PARAMETER,  /* name, value: a migration parameter is changed; the value it had */
  PV_STEP_FD,         /* name: a descriptor is handed to QEMU by getfd */
  PV_STEP_FDSET,      /* name: a descriptor of this name (QEMU: "opaque") is handed to QEMU by add-fd */
  PV_STEP_FREEZE,     /* the guest's file systems are frozen through its agent */
  PV_STEP_PAUSE,      /* the guest may be paused from here on */
  PV_STEP_MIGRATE,    /* "background" or "precopy": a migration is started */
  PV_STEP_LIFT,       /* QEMU's write-protection is lifted behind its back: it has to be made to forget it */
  PV_STEP_KEEP,       /* snapshot XML: overlays stay, and belong to this snapshot of libvirt's */
  PV_STEP_OVER, /* name of a kind: the last step of that kind needs no undoing any more; "live": nor does any step so
                   far, but for overlays */
  PV_N_STEPS,
} PvStepKind;

const char *pv_step_kind_to_string (PvStepKind kind);

typedef struct
{
  PvStepKind kind;
  char **arguments; /* (owned): as many as the kind has */
  gboolean over;    /* a later PV_STEP_OVER says so */
} PvStep;

typedef struct _PvJournal PvJournal;

#define PV_JOURNAL_MAX (16u << 20) /* bytes */

/* Where the journal of the guest @uuid is while it is captured (transfer full). NULL: @error. */
char *pv_journal_path (const char *uuid, GError **error);
/* (transfer full): STORE/captures/UUID: the durable lines of a capture into that store. */
char *pv_journal_copy_path (const char *store_directory, const char *uuid);

/* At @path, its durable lines at @copy too; the first line is PV_STEP_BEGIN, of @domain in run state @was.
 * PV_ERROR_EXISTS when there is one at @path: an earlier capture is to be recovered first; what is at @copy is taken
 * for an old one. The lock is held. */
PvJournal *pv_journal_create (const char *path, const char *copy, const char *domain, const char *was, GError **error);
/* (nullable): NULL without @error when there is none. */
PvJournal *pv_journal_open (const char *path, GError **error);
/* (nullable): the same, of whatever an earlier capture left: the journal at @path; without it the durable lines at
 * @copy, when the machine was started anew since. Those of this start without a journal are of a capture that was
 * undone while its store was away: they are removed. */
PvJournal *pv_journal_find (const char *path, const char *copy, GError **error);
void pv_journal_free (PvJournal *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvJournal, pv_journal_free)

/* Ends with NULL. With @durable the line is in the store and has reached the disk on return. */
gboolean pv_journal_add (PvJournal *self, gboolean durable, GError **error, PvStepKind kind,
                         ...) G_GNUC_NULL_TERMINATED;
/* Writes down that the last step of @kind needs no undoing. */
gboolean pv_journal_over (PvJournal *self, PvStepKind kind, GError **error);
/* Writes down that of all steps so far only overlays may need undoing. */
gboolean pv_journal_over_live (PvJournal *self, GError **error);
/* (element-type PvStep) (transfer container): reads the file anew, oldest first. All but overlays are over in one
 * of an earlier start of the machine. PV_ERROR_CORRUPT for a line that is whole and makes no sense. */
GPtrArray *pv_journal_steps (PvJournal *self, GError **error);
/* Of what pv_journal_steps() gave: whether it was begun since the machine was started; one without a beginning, which
 * was never acted upon, counts as if it was. */
gboolean pv_journal_is_of_this_start (GPtrArray *steps);
const char *pv_journal_file (PvJournal *self);
/* Everything is undone or done: both files go; the one in the store only if it can be reached. */
gboolean pv_journal_remove (PvJournal *self, GError **error);

/* Locks the guest @uuid for a capture: an open descriptor, to be handed to the guardian too; the lock goes with the
 * last of them. -1 with PV_ERROR_BUSY when another capture works on it. @name is for the message. */
int pv_journal_lock (const char *uuid, const char *name, GError **error);
/* (transfer full): the directory of the next function, which may be missing; NULL for @uuid: the one that it is in. */
char *pv_journal_place (const char *uuid);
/* (transfer full): the directory for what lives as long as a capture of this guest: sockets. Made if missing, 0700. */
char *pv_journal_run_directory (const char *uuid, GError **error);

G_END_DECLS
