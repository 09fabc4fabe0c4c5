/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Merging an overlay back: active block commit, then pivot.
 *
 *   (no job) --start--> COPYING --caught up--> READY --pivot--> (no job, base is the active layer)
 *
 * Each turn of the loop looks at what is there and does the next step, so it goes on from wherever an earlier try, of this or of a
 * killed process, stopped. In the end the live and the persistent definition name @base: libvirt sees to both, except where the
 * two were out of step before; mend_inactive() sees to that.
 */
#include "config.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "virt/guest-private.h"
#include "xml/domain-xml.h"

typedef struct
{
  PvGuest *guest;
  const char *target;
  const char *base;
  char *top;             /* (owned) (nullable): the overlay that was active when we came */
  PvGuestEvents *events; /* (owned) (nullable): for QEMU's reason when a job fails */
} Commit;

static void
commit_clear (Commit *self)
{
  g_clear_pointer (&self->top, g_free);
  g_clear_pointer (&self->events, pv_guest_events_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Commit, commit_clear)

enum
{
  POLL_FIRST_US = 1000,
  POLL_MAX_US = 50 * 1000,
  PIVOT_TRIES = 100, /* a job may say "not ready" for a moment after it was: about 5 s */
};

typedef enum
{
  JOB_NONE,
  JOB_COPYING,
  JOB_READY,
  JOB_FOREIGN, /* somebody else's: copy, pull, or a commit below the active layer */
  JOB_ERROR,
} JobState;

static JobState
job_state (Commit *self, GError **error)
{
  virDomainBlockJobInfo info = { 0 };
  int found = virDomainGetBlockJobInfo (pv_guest_get (self->guest), self->target, &info, 0);

  if (found < 0)
    {
      pv_guest_throw (self->guest, error, "disk %s: cannot ask for its block job", self->target);
      return JOB_ERROR;
    }
  if (found == 0)
    return JOB_NONE;
  if (info.type != VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT)
    return JOB_FOREIGN;
  /* libvirt lets both be equal only when the job is ready */
  return info.cur == info.end && info.end > 0 ? JOB_READY : JOB_COPYING;
}

static gboolean
start_job (Commit *self, GError **error)
{
  if (virDomainBlockCommit (pv_guest_get (self->guest), self->target, self->base, NULL, 0, VIR_DOMAIN_BLOCK_COMMIT_ACTIVE) < 0)
    return pv_guest_throw (self->guest, error, "disk %s: cannot merge its overlay into '%s'", self->target, self->base);
  return TRUE;
}

/* @again: (out): the job was not ready after all. */
static gboolean
pivot (Commit *self, gboolean *again, GError **error)
{
  *again = FALSE;
  if (virDomainBlockJobAbort (pv_guest_get (self->guest), self->target, VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT) == 0)
    return TRUE;
  *again = virGetLastErrorCode () == VIR_ERR_BLOCK_COPY_ACTIVE;
  return *again || pv_guest_throw (self->guest, error, "disk %s: cannot go back to '%s'", self->target, self->base);
}

/* The job ended and the overlay is still active: QEMU told why in its event, libvirt keeps it to itself. */
static gboolean
throw_job_failed (Commit *self, GError **error)
{
  g_autofree char *data = self->events != NULL ? pv_guest_events_data (self->events, "BLOCK_JOB_COMPLETED") : NULL;
  g_autoptr(JsonNode) node = data != NULL ? json_from_string (data, NULL) : NULL;
  JsonObject *object = node != NULL && JSON_NODE_HOLDS_OBJECT (node) ? json_node_get_object (node) : NULL;
  const char *reason = object != NULL ? json_object_get_string_member_with_default (object, "error", NULL) : NULL;
  PvError code = PV_ERROR_FAILED;

  if (reason != NULL && strstr (reason, "No space left") != NULL)
    code = PV_ERROR_NO_SPACE;
  return pv_throw (error, code, "guest %s: disk %s: merging its overlay into '%s' failed: %s", pv_guest_name (self->guest),
                   self->target, self->base, reason != NULL ? reason : "see the guest's log for the reason");
}

static gboolean
cancel (Commit *self, GError **error)
{
  /* without the pivot the overlay stays what it was; an error here leaves a job that the next try takes up */
  virDomainBlockJobAbort (pv_guest_get (self->guest), self->target, 0);
  return pv_throw (error, PV_ERROR_CANCELLED, "guest %s: disk %s: merging its overlay was cancelled", pv_guest_name (self->guest),
                   self->target);
}

/* From any state to "the job is over": @pivoted tells whether by our pivot. */
static gboolean
run_job (Commit *self, gboolean *pivoted, GCancellable *cancellable, GError **error)
{
  gulong delay = POLL_FIRST_US;
  guint tries = 0;

  *pivoted = FALSE;
  for (;;)
    {
      JobState state = job_state (self, error);
      gboolean again;

      if (state == JOB_ERROR)
        return FALSE;
      if (state == JOB_NONE)
        return TRUE;
      if (state == JOB_FOREIGN)
        return pv_throw (error, PV_ERROR_BUSY,
                         "guest %s: disk %s has another block job running: wait for it, or end it with virsh blockjob %s %s --abort",
                         pv_guest_name (self->guest), self->target, pv_guest_name (self->guest), self->target);
      if (state == JOB_READY)
        {
          if (!pivot (self, &again, error))
            return FALSE;
          if (!again)
            {
              *pivoted = TRUE;
              return TRUE;
            }
          if (++tries > PIVOT_TRIES)
            return pv_throw (error, PV_ERROR_BUSY, "guest %s: disk %s: its block job never became ready to pivot",
                             pv_guest_name (self->guest), self->target);
        }
      if (g_cancellable_is_cancelled (cancellable))
        return cancel (self, error);
      g_usleep (delay);
      delay = MIN (delay * 2, POLL_MAX_US);
    }
}

static PvDomainXml *
description (PvGuest *guest, guint flags, GError **error)
{
  g_autofree char *text = pv_guest_xml (guest, flags, error);

  return text != NULL ? pv_domain_xml_parse (text, error) : NULL;
}

/* The persistent definition must not name an overlay that is about to be deleted. Touched only when it names @top. */
static gboolean
mend_inactive (Commit *self, GError **error)
{
  virDomainPtr domain = pv_guest_get (self->guest);
  g_autoptr(PvDomainXml) live = NULL;
  g_autoptr(PvDomainXml) inactive = NULL;
  g_autofree char *text = NULL;
  virDomainPtr defined;
  PvDomainDisk *disk;

  if (self->top == NULL || virDomainIsPersistent (domain) != 1)
    return TRUE;
  inactive = description (self->guest, VIR_DOMAIN_XML_INACTIVE, error);
  if (inactive == NULL)
    return FALSE;
  disk = pv_domain_xml_find_disk (inactive, self->target);
  if (disk == NULL || !pv_same_file (disk->path, self->top))
    return TRUE;
  live = description (self->guest, 0, error);
  if (live == NULL || !pv_domain_xml_copy_disk_source (inactive, self->target, live, error))
    return FALSE;
  text = pv_domain_xml_to_string (inactive);
  defined = virDomainDefineXML (pv_connection_get (pv_guest_connection (self->guest)), text);
  if (defined == NULL)
    return pv_guest_throw (self->guest, error, "disk %s: cannot write its path back into the definition", self->target);
  virDomainFree (defined);
  return TRUE;
}

gboolean
pv_guest_commit_overlay (PvGuest *self, const char *target, const char *base, GCancellable *cancellable, GError **error)
{
  g_auto(Commit) commit = { .guest = self, .target = target, .base = base };
  gboolean pivoted;
  JobState state;
  g_autofree char *now = NULL;

  commit.top = pv_guest_active_layer (self, target, error);
  if (commit.top == NULL)
    return FALSE;
  if (pv_same_file (commit.top, base))
    {
      g_clear_pointer (&commit.top, g_free);
      return TRUE;
    }
  commit.events = pv_guest_events_new (self, NULL);
  state = job_state (&commit, error);
  if (state == JOB_ERROR || (state == JOB_NONE && !start_job (&commit, error)))
    return FALSE;
  if (!run_job (&commit, &pivoted, cancellable, error))
    return FALSE;
  now = pv_guest_active_layer (self, target, error);
  if (now == NULL)
    return FALSE;
  if (!pv_same_file (now, base))
    return throw_job_failed (&commit, error);
  return mend_inactive (&commit, error);
}
