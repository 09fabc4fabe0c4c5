/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Capturing the disks of a domain that is off. Nothing of it is touched: its images are read where they are. Should
 * somebody start it meanwhile, he may: then the snapshot is given up.
 */
#include "config.h"

#include <sys/stat.h>

#include "capture/capture-job-private.h"
#include "util/error.h"

static gboolean
check (PvCaptureJob *self, GError **error)
{
  PvGuest *guest = self->capture.guest;
  const char *name = pv_guest_name (guest);
  g_autofree char *xml = NULL;

  if (self->options.no_disks)
    return pv_throw (error, PV_ERROR_INVALID, "guest %s is off: it has no memory to take, leave --no-disks out", name);
  if (self->options.keep_overlay || self->options.quiesce)
    return pv_throw (error, PV_ERROR_INVALID, "guest %s is off: --keep-overlay and --quiesce are for one that runs",
                     name);
  xml = pv_guest_xml (guest, VIR_DOMAIN_XML_INACTIVE, error);
  self->domain = xml != NULL ? pv_domain_xml_parse (xml, error) : NULL;
  self->plan = self->domain != NULL ? pv_disk_plan_new (self->domain, &self->options, "", FALSE, error) : NULL;
  if (self->plan == NULL)
    return FALSE;
  return pv_disk_plan_n_taken (self->plan) > 0
         || pv_throw (error, PV_ERROR_INVALID, "guest %s has no disk that could be taken", name);
}

gboolean
pv_capture_job_take_off (PvCaptureJob *self, GError **error)
{
  PvCapture *capture = &self->capture;

  if (!check (self, error))
    return FALSE;
  pv_capture_job_set_state (self, PV_CAPTURE_PREPARING);
  capture->events = pv_guest_events_new (capture->guest, error);
  if (capture->events == NULL || !pv_capture_job_still_off (self, error) || !pv_capture_job_begin_txn (self, error)
      || !pv_disk_plan_measure (self->plan, &self->disk_total, error)
      || !pv_documents_take_off (&self->documents, capture->guest, pv_domain_xml_nvram (self->domain), error))
    return FALSE;
  self->instant_us = g_get_real_time ();
  self->guest_state = PV_GUEST_SHUTOFF;
  pv_capture_job_set_state (self, PV_CAPTURE_DRAINING);
  return pv_capture_job_take_disks (self, error);
}

/* An image that was written to since the start, by whomever. */
static const PvDiskPlanEntry *
changed_image (PvCaptureJob *self)
{
  for (guint i = 0; i < self->plan->entries->len; i++)
    {
      const PvDiskPlanEntry *entry = self->plan->entries->pdata[i];
      struct stat st;

      if (!entry->taken || self->instant_us == 0 || stat (entry->path, &st) < 0 || S_ISBLK (st.st_mode))
        continue;
      if ((gint64) st.st_mtim.tv_sec * G_USEC_PER_SEC + st.st_mtim.tv_nsec / 1000 >= self->instant_us)
        return entry;
    }
  return NULL;
}

/* Any event of a QEMU shows that there was one; so does what it has written. */
gboolean
pv_capture_job_still_off (PvCaptureJob *self, GError **error)
{
  const char *name = pv_guest_name (self->capture.guest);
  const PvDiskPlanEntry *changed = changed_image (self);
  PvRunState state;

  if (!pv_guest_state (self->capture.guest, &state, NULL, error))
    return FALSE;
  if (state != PV_RUN_SHUTOFF || pv_guest_events_count (self->capture.events, "RESUME") > 0
      || pv_guest_events_count (self->capture.events, "STOP") > 0)
    return pv_throw (error, PV_ERROR_BUSY, "guest %s was started while its disks were read: take the snapshot again",
                     name);
  if (changed != NULL)
    return pv_throw (error, PV_ERROR_BUSY,
                     "guest %s: disk %s was written to while it was read: take the snapshot again", name,
                     changed->target);
  return TRUE;
}
