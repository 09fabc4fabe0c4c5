/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/guest-policy.h"

#include "virt/host.h"

void
pv_guest_policy_free (PvGuestPolicy *self)
{
  if (self == NULL)
    return;
  g_free (self->domain);
  g_free (self->uuid);
  pv_policy_free (self->policy);
  g_free (self->text);
  g_clear_error (&self->bad);
  g_free (self);
}

PvGuestPolicy *
pv_guest_policy_read (PvGuest *guest, GError **error)
{
  g_autoptr(PvGuestPolicy) self = g_new0 (PvGuestPolicy, 1);
  PvRunState state = PV_RUN_OTHER;

  self->domain = g_strdup (pv_guest_name (guest));
  self->uuid = g_strdup (pv_guest_uuid (guest));
  if (!pv_guest_metadata (guest, PV_POLICY_URI, &self->text, &self->differs, error)
      || !pv_guest_state (guest, &state, NULL, error))
    return NULL;
  self->running = state == PV_RUN_RUNNING || state == PV_RUN_PAUSED;
  if (self->text != NULL)
    self->policy = pv_policy_parse (self->text, &self->bad);
  return g_steal_pointer (&self);
}

GPtrArray *
pv_guest_policies (PvConnection *connection, char **names, GError **error)
{
  g_autoptr(GPtrArray) all = *names == NULL ? pv_host_domains (connection, FALSE, error) : NULL;
  g_autoptr(GPtrArray) found = g_ptr_array_new_with_free_func ((GDestroyNotify) pv_guest_policy_free);
  guint n = all != NULL ? all->len : g_strv_length (names);

  if (*names == NULL && all == NULL)
    return NULL;
  for (guint i = 0; i < n; i++)
    {
      g_autoptr(GError) local = NULL;
      g_autoptr(PvGuest) guest = pv_guest_lookup (connection, all != NULL ? all->pdata[i] : names[i], &local);
      PvGuestPolicy *policy = guest != NULL ? pv_guest_policy_read (guest, &local) : NULL;

      if (policy != NULL)
        g_ptr_array_add (found, policy);
      else if (all == NULL || !g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
        {
          g_propagate_error (error, g_steal_pointer (&local));
          return NULL;
        }
    }
  return g_steal_pointer (&found);
}
