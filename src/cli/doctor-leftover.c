/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What was killed and waits to be mended: captures, restores, the pagers of guests whose memory is still coming. */
#include "config.h"

#include <sys/stat.h>

#include "capture/leftover.h"
#include "cli/doctor.h"
#include "restore/lazy-state.h"
#include "restore/restore-journal.h"

static void
look_at_capture (PvDoctor *self, const PvLeftover *leftover)
{
  const char *domain = leftover->domain != NULL ? leftover->domain : leftover->uuid;
  g_autofree char *check = g_strconcat ("capture of ", domain, NULL);
  g_autofree char *shell = g_shell_quote (domain);
  g_autofree char *cure = NULL;

  if (leftover->at_work)
    {
      pv_doctor_add (self, check, PV_FINDING_OK, NULL, "is at work, or is being undone");
      return;
    }
  if (leftover->error != NULL)
    {
      cure = g_strdup_printf ("see to the guest yourself (virsh domstate, virsh domblklist), then remove '%s'",
                              leftover->path);
      pv_doctor_add (self, check, PV_FINDING_BAD, cure, "what a killed one has left cannot be told: %s",
                     leftover->error->message);
      return;
    }
  cure = g_strdup_printf ("pagevault create %s mends that first, and so does a restore over the guest", shell);
  if (leftover->reboot)
    pv_doctor_add (self, check, PV_FINDING_BAD, cure,
                   "the machine died in the middle of it: the guest may still be on its overlays (journal '%s')",
                   leftover->path);
  else
    pv_doctor_add (self, check, PV_FINDING_BAD, cure,
                   "it was killed together with its guardian: the guest may be paused, or on its overlays (journal "
                   "'%s')",
                   leftover->path);
}

static void
look_at_captures (PvDoctor *self, const char *store_directory)
{
  g_autoptr(GPtrArray) leftovers = pv_leftover_list (store_directory);

  for (guint i = 0; i < leftovers->len; i++)
    look_at_capture (self, leftovers->pdata[i]);
}

/* An empty journal is of a restore that has done nothing yet; one that is locked, of one that is at work. */
static void
look_at_restore (PvDoctor *self, const char *path)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRestoreJournal) journal = NULL;
  g_autoptr(GPtrArray) steps = NULL;
  g_autofree char *check = NULL;
  struct stat st;

  if (stat (path, &st) < 0 || st.st_size == 0)
    return;
  journal = pv_restore_journal_open (path, &error);
  steps = journal != NULL ? pv_restore_journal_steps (journal, &error) : NULL;
  if (error != NULL)
    pv_doctor_add (self, "restore", PV_FINDING_BAD, "see to the guest yourself, then remove the file",
                   "what a killed one has left cannot be told: %s", error->message);
  else if (steps != NULL && steps->len > 0)
    {
      const PvMade *first = steps->pdata[0];

      check = g_strconcat ("restore of ", first->kind == PV_MADE_GUEST ? first->arguments[1] : "a guest", NULL);
      pv_doctor_add (self, check, PV_FINDING_BAD,
                     "the next pagevault restore, revert or clone from this store undoes or finishes it first",
                     "it was killed: files or a guest may be there in part (journal '%s')", path);
    }
}

static void
look_at_restores (PvDoctor *self, const char *store_directory)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(GPtrArray) paths = pv_restore_journal_list (store_directory, &error);

  for (guint i = 0; paths != NULL && i < paths->len; i++)
    look_at_restore (self, paths->pdata[i]);
  if (paths == NULL)
    pv_doctor_add (self, "restores", PV_FINDING_NOTE, "run pagevault as the store's owner", "%s", error->message);
}

static void
look_at_memory (PvDoctor *self, const PvLazyState *state)
{
  g_autofree char *check = g_strconcat ("memory of ", state->domain, NULL);
  g_auto(PvLazyStatus) status = { 0 };

  if (!pv_lazy_state_read_status (state, &status, NULL))
    return; /* it is all there meanwhile */
  switch (status.phase)
    {
    case PV_LAZY_DEAD:
      pv_doctor_add (self, check, PV_FINDING_BAD, "pagevault restore --recover lets it go on",
                     "it comes from %s no more: whoever sent it was killed, and the guest stands still at the next "
                     "page",
                     state->snapshot);
      return;
    case PV_LAZY_WAITING:
    case PV_LAZY_DAMAGED:
      pv_doctor_add (self, check, PV_FINDING_BAD,
                     status.phase == PV_LAZY_WAITING ? "pagevault remote check"
                                                     : "pagevault verify --repair gets good copies from a remote",
                     "%s", status.message != NULL ? status.message : pv_lazy_phase_to_string (status.phase));
      return;
    case PV_LAZY_STARTING:
    case PV_LAZY_RUNNING:
    case PV_LAZY_RECOVERING:
    default:
      pv_doctor_add (self, check, PV_FINDING_OK, NULL, "comes from %s (%s)", state->snapshot,
                     pv_lazy_phase_to_string (status.phase));
      return;
    }
}

void
pv_doctor_look_at_leftovers (PvDoctor *self, PvCli *cli)
{
  g_autoptr(GPtrArray) states = pv_lazy_state_list (cli->store_directory);

  look_at_captures (self, cli->store_directory);
  look_at_restores (self, cli->store_directory);
  for (guint i = 0; i < states->len; i++)
    look_at_memory (self, states->pdata[i]);
}
