/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* How memory comes back: lazily where that can be, else eagerly (docs/restore.md). */
#include "config.h"

#include "restore/lazy-restore.h"
#include "restore/restore-job-private.h"
#include "util/error.h"
#include "virt/attachments.h"
#include "virt/host.h"

/* A description without one gets a UUID: the pager finds the guest by it. */
static const char *
need_uuid (PvRestore *self)
{
  g_autofree char *uuid = g_uuid_string_random ();

  if (pv_domain_xml_uuid (self->live) == NULL)
    {
      pv_domain_xml_set_uuid (self->live, uuid);
      if (self->inactive != NULL)
        pv_domain_xml_set_uuid (self->inactive, uuid);
    }
  return pv_domain_xml_uuid (self->live);
}

static gboolean
prepare_lazy (PvRestore *self, GError **error)
{
  g_autoptr(PvLazyState) state = g_new0 (PvLazyState, 1);

  if (pv_domain_xml_hugepages (self->live))
    return pv_throw (error, PV_ERROR_UNSUPPORTED, "its memory is made of huge pages");
  state->uuid = g_strdup (need_uuid (self));
  state->domain = g_strdup (self->domain);
  state->snapshot = g_strdup (pv_snapshot_full_name (self->snapshot));
  state->uri = g_strdup (pv_connection_uri (self->connection));
  state->rate = self->options->prefetch_rate;
  self->lazy = pv_lazy_restore_new (self->store, self->snapshot, state, error);
  /* what replaces a guest is ready before that ends; else the pager gets ready while libvirt starts the guest */
  return self->lazy != NULL && (self->old == NULL || pv_lazy_restore_wait_prepared (self->lazy, error));
}

/* TRUE: it cannot be done lazily, and @why is kept for the user. */
static gboolean
fall_back (PvRestore *self, GError *why, GError **error)
{
  g_clear_pointer (&self->lazy, pv_lazy_restore_free);
  if (g_error_matches (why, PV_ERROR, PV_ERROR_UNSUPPORTED))
    {
      self->why_eager = g_strdup (why->message);
      g_error_free (why);
      return TRUE;
    }
  g_propagate_error (error, why);
  return FALSE;
}

gboolean
pv_restore_prepare_memory (PvRestore *self, GError **error)
{
  GError *local = NULL;

  if (!self->options->eager)
    {
      if (prepare_lazy (self, &local))
        return TRUE;
      if (!fall_back (self, local, error))
        return FALSE;
    }
  return pv_restore_prepare_eager (self, error);
}

/* (transfer full): the description of a guest that waits for its memory. */
static char *
waiting_xml (PvRestore *self, GError **error)
{
  g_autoptr(PvDomainXml) xml = pv_domain_xml_copy (self->live);
  GBytes *bytes = pv_snapshot_attachment (self->snapshot, PV_ATTACH_COOKIE);
  g_autofree char *cookie
    = bytes != NULL ? g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes)) : NULL;

  if (cookie != NULL && !pv_domain_xml_set_cpu_from_cookie (xml, cookie, error))
    return NULL;
  pv_domain_xml_add_incoming (xml);
  return pv_domain_xml_to_string (xml);
}

/* The guest is there, paused, when it succeeds, and is not when it fails. */
static gboolean
load_lazy (PvRestore *self, guint64 *pages_on_demand, GError **error)
{
  g_autofree char *xml = waiting_xml (self, error);
  g_autoptr(PvGuest) guest = xml != NULL ? pv_host_start_waiting (self->connection, xml, error) : NULL;

  if (guest == NULL)
    return FALSE;
  if (pv_lazy_restore_go (self->lazy, pages_on_demand, error))
    return TRUE;
  pv_host_destroy (guest, NULL); /* the pager may have done it */
  return FALSE;
}

gboolean
pv_restore_load_memory (PvRestore *self, PvRestoreResult *result, GError **error)
{
  GError *local = NULL;

  if (self->lazy == NULL)
    return pv_restore_load_eager (self, error);
  result->lazy = load_lazy (self, &result->pages_on_demand, &local);
  if (result->lazy)
    return TRUE;
  return fall_back (self, local, error) && pv_restore_prepare_eager (self, error)
         && pv_restore_load_eager (self, error);
}
