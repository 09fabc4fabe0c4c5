/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Merging an overlay back: active block commit, then pivot; of a domain that is off, by qemu-img.
 *
 *   (no job) --start--> COPYING --caught up--> READY --pivot--> (no job, base is the active layer)
 *
 * Each turn looks at what is there and does the next step, so it goes on from wherever an earlier try, of this or of a
 * killed process, stopped. In the end the live and the persistent definition name @base: libvirt sees to both, except
 * where the two were out of step before; mend_inactive() sees to that.
 */
#include "config.h"

#include <libvirt/virterror.h>
#include <string.h>
#include <sys/stat.h>

#include "virt/guest-private.h"
#include "virt/overlay-chain.h"
#include "xml/domain-xml.h"

typedef struct
{
  PvGuest *guest;
  const char *target;
  const char *base;
  PvGuestEvents *events; /* (owned) (nullable): for QEMU's reason when a job fails */
} Commit;

static void
commit_clear (Commit *self)
{
  g_clear_pointer (&self->events, pv_guest_events_free);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (Commit, commit_clear)

enum
{
  POLL_FIRST_US = 1000,
  POLL_MAX_US = 50 * 1000,
  PIVOT_TRIES = 100,     /* a job may say "not ready" for a moment after it was: about 5 s */
  REASON_TIMEOUT = 1000, /* milliseconds: QEMU's event comes after libvirt's answer, if at all */
  TURNS = 5,             /* how often a domain may be started or ended meanwhile */
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
  virDomainPtr domain = pv_guest_get (self->guest);

  if (virDomainBlockCommit (domain, self->target, self->base, NULL, 0, VIR_DOMAIN_BLOCK_COMMIT_ACTIVE) < 0)
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

/* (transfer full) (nullable): why the job of this disk ended; libvirt keeps it to itself. */
static char *
failure_reason (Commit *self)
{
  g_autofree char *data = NULL;
  g_autofree char *mark = g_strdup_printf ("-%s-", self->target);
  g_autoptr(JsonNode) node = NULL;
  JsonObject *object;
  const char *device;

  if (self->events == NULL || !pv_guest_events_wait (self->events, "BLOCK_JOB_COMPLETED", 0, REASON_TIMEOUT, NULL))
    return NULL;
  data = pv_guest_events_data (self->events, "BLOCK_JOB_COMPLETED");
  node = data != NULL ? json_from_string (data, NULL) : NULL;
  if (node == NULL || !JSON_NODE_HOLDS_OBJECT (node))
    return NULL;
  object = json_node_get_object (node);
  device = json_object_get_string_member_with_default (object, "device", "");
  if (strstr (device, mark) == NULL)
    return NULL;
  return g_strdup (json_object_get_string_member_with_default (object, "error", NULL));
}

/* The job ended and the overlay is still active. */
static gboolean
throw_job_failed (Commit *self, GError **error)
{
  g_autofree char *reason = failure_reason (self);
  PvError code = reason != NULL && strstr (reason, "No space left") != NULL ? PV_ERROR_NO_SPACE : PV_ERROR_FAILED;

  return pv_throw (error, code, "guest %s: disk %s: merging its overlay into '%s' failed: %s",
                   pv_guest_name (self->guest), self->target, self->base,
                   reason != NULL ? reason : "see the guest's log for the reason");
}

static gboolean
cancel (Commit *self, GError **error)
{
  /* without the pivot the overlay stays what it was; an error here leaves a job that the next try takes up */
  virDomainBlockJobAbort (pv_guest_get (self->guest), self->target, 0);
  return pv_throw (error, PV_ERROR_CANCELLED, "guest %s: disk %s: merging its overlay was cancelled",
                   pv_guest_name (self->guest), self->target);
}

/* From any state to "the job is over". */
static gboolean
run_job (Commit *self, GCancellable *cancellable, GError **error)
{
  gulong delay = POLL_FIRST_US;
  guint tries = 0;

  for (;;)
    {
      JobState state = job_state (self, error);
      gboolean again = TRUE;

      if (state == JOB_ERROR)
        return FALSE;
      if (state == JOB_NONE)
        return TRUE;
      if (state == JOB_FOREIGN) /* somebody was quicker with a new job, after ours had ended */
        return pv_throw (error, PV_ERROR_BUSY, "guest %s: disk %s has got another block job meanwhile",
                         pv_guest_name (self->guest), self->target);
      if (state == JOB_READY && !pivot (self, &again, error))
        return FALSE;
      if (!again)
        return TRUE;
      if (state == JOB_READY && ++tries > PIVOT_TRIES)
        return pv_throw (error, PV_ERROR_BUSY, "guest %s: disk %s: its block job never became ready to pivot",
                         pv_guest_name (self->guest), self->target);
      if (g_cancellable_is_cancelled (cancellable))
        return cancel (self, error);
      g_usleep (delay);
      delay = MIN (delay * 2, POLL_MAX_US);
    }
}

/* --- the persistent definition --- */

static PvDomainXml *
description (PvGuest *guest, guint flags, GError **error)
{
  g_autofree char *text = pv_guest_xml (guest, flags, error);

  return text != NULL ? pv_domain_xml_parse (text, error) : NULL;
}

static gboolean
define (Commit *self, PvDomainXml *xml, GError **error)
{
  g_autofree char *text = pv_domain_xml_to_string (xml);
  virDomainPtr defined = virDomainDefineXML (pv_connection_get (pv_guest_connection (self->guest)), text);

  if (defined == NULL)
    return pv_guest_throw (self->guest, error, "disk %s: cannot write '%s' back into its definition", self->target,
                           self->base);
  virDomainFree (defined);
  return TRUE;
}

/* TRUE when @path is an overlay over our base, or was: its file is gone. What the user chose otherwise for the next
 * start stays. */
static gboolean
leads_to_base (Commit *self, const char *path)
{
  return !g_file_test (path, G_FILE_TEST_EXISTS) || pv_overlay_chain_find (path, self->base, NULL, NULL);
}

/* The running guest is on @base again: its persistent definition must not name an overlay that will be deleted. */
static gboolean
mend_inactive (Commit *self, GError **error)
{
  g_autoptr(PvDomainXml) live = NULL;
  g_autoptr(PvDomainXml) inactive = NULL;
  PvDomainDisk *disk;

  if (virDomainIsPersistent (pv_guest_get (self->guest)) != 1)
    return TRUE;
  inactive = description (self->guest, VIR_DOMAIN_XML_INACTIVE, error);
  if (inactive == NULL)
    return FALSE;
  disk = pv_domain_xml_find_disk (inactive, self->target);
  if (disk == NULL || disk->path == NULL || pv_same_image (disk->path, self->base) || !leads_to_base (self, disk->path))
    return TRUE;
  live = description (self->guest, 0, error);
  return live != NULL && pv_domain_xml_copy_disk_source (inactive, self->target, live, error)
         && define (self, inactive, error);
}

/* --- on and off --- */

/* Takes up the job that an earlier try left, or starts one. */
static gboolean
have_job (Commit *self, GError **error)
{
  JobState state = job_state (self, error);
  g_autoptr(PvDomainXml) live = NULL;
  PvDomainDisk *disk;

  if (state == JOB_ERROR)
    return FALSE;
  if (state == JOB_NONE)
    return start_job (self, error);
  live = description (self->guest, 0, error);
  if (live == NULL)
    return FALSE;
  disk = pv_domain_xml_find_disk (live, self->target);
  if (state == JOB_FOREIGN || (disk != NULL && disk->mirror != NULL && !pv_same_image (disk->mirror, self->base)))
    return pv_throw (error, PV_ERROR_BUSY,
                     "guest %s: disk %s has another block job running: wait for it, or end it "
                     "(virsh blockjob %s %s --abort)",
                     pv_guest_name (self->guest), self->target, pv_guest_name (self->guest), self->target);
  return TRUE;
}

static gboolean
commit_online (Commit *self, const char *top, GCancellable *cancellable, GError **error)
{
  g_autoptr(GError) local = NULL;
  g_autofree char *now = NULL;

  if (!pv_same_image (top, self->base))
    {
      self->events = pv_guest_events_new (self->guest, NULL);
      if (!have_job (self, &local))
        {
          /* the pivot of an earlier try may have taken effect since we looked */
          now = pv_guest_active_layer (self->guest, self->target, NULL);
          if (now != NULL && pv_same_image (now, self->base))
            return mend_inactive (self, error);
          g_propagate_error (error, g_steal_pointer (&local));
          return FALSE;
        }
      if (!run_job (self, cancellable, error))
        return FALSE;
      now = pv_guest_active_layer (self->guest, self->target, error);
      if (now == NULL)
        return FALSE;
      if (!pv_same_image (now, self->base))
        return throw_job_failed (self, error);
    }
  return mend_inactive (self, error);
}

/* qemu-img's locks keep a guest that is started meanwhile from using the files. */
static gboolean
commit_offline (Commit *self, const char *top, GError **error)
{
  g_autoptr(PvDomainXml) xml = NULL;
  g_autofree char *format = NULL;
  struct stat st;
  gboolean is_device = stat (self->base, &st) == 0 && S_ISBLK (st.st_mode);

  if (pv_same_image (top, self->base))
    return TRUE;
  if (!pv_overlay_chain_find (top, self->base, &format, error) || !pv_overlay_chain_commit (top, self->base, error))
    {
      g_prefix_error (error, "guest %s: disk %s: ", pv_guest_name (self->guest), self->target);
      return FALSE;
    }
  xml = description (self->guest, VIR_DOMAIN_XML_INACTIVE, error);
  if (xml == NULL)
    return FALSE;
  if (is_device ? !pv_domain_xml_set_block_disk (xml, self->target, self->base, format, error)
                : !pv_domain_xml_set_disk (xml, self->target, self->base, format, error))
    return FALSE;
  return define (self, xml, error);
}

gboolean
pv_guest_commit_overlay (PvGuest *self, const char *target, const char *base, GCancellable *cancellable, GError **error)
{
  for (guint turn = 0; turn < TURNS; turn++)
    {
      g_auto(Commit) commit = { .guest = self, .target = target, .base = base };
      g_autoptr(GError) local = NULL;
      g_autofree char *top = pv_guest_active_layer (self, target, error);
      int active = virDomainIsActive (pv_guest_get (self));
      gboolean done;
      int now;

      if (top == NULL)
        return FALSE;
      if (active < 0)
        return pv_guest_throw (self, error, "cannot tell whether it runs");
      done = active ? commit_online (&commit, top, cancellable, &local) : commit_offline (&commit, top, &local);
      now = virDomainIsActive (pv_guest_get (self));
      if (now == active || now < 0 || g_cancellable_is_cancelled (cancellable))
        {
          if (!done)
            g_propagate_error (error, g_steal_pointer (&local));
          return done;
        }
    }
  return pv_throw (error, PV_ERROR_BUSY,
                   "guest %s: disk %s: cannot merge its overlay while the guest is started and ended",
                   pv_guest_name (self), target);
}
