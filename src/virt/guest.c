/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/guest.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "virt/guest-private.h"

struct _PvGuest
{
  gatomicrefcount ref_count;
  PvConnection *connection; /* (owned) */
  virDomainPtr domain;      /* (owned) */
  char *name;               /* (owned) */
  char uuid[VIR_UUID_STRING_BUFLEN];
};

static PvGuest *
guest_new (PvConnection *connection, virDomainPtr domain)
{
  PvGuest *self = g_new0 (PvGuest, 1);

  g_atomic_ref_count_init (&self->ref_count);
  self->connection = pv_connection_ref (connection);
  self->domain = domain;
  self->name = g_strdup (virDomainGetName (domain));
  virDomainGetUUIDString (domain, self->uuid);
  return self;
}

PvGuest *
pv_guest_lookup (PvConnection *connection, const char *name, GError **error)
{
  virDomainPtr domain = virDomainLookupByName (pv_connection_get (connection), name);

  if (domain == NULL)
    {
      pv_throw_libvirt (error, "cannot find domain '%s'", name);
      return NULL;
    }
  return guest_new (connection, domain);
}

PvGuest *
pv_guest_lookup_uuid (PvConnection *connection, const char *uuid, GError **error)
{
  virDomainPtr domain = virDomainLookupByUUIDString (pv_connection_get (connection), uuid);

  if (domain == NULL)
    {
      pv_throw_libvirt (error, "cannot find the domain with UUID %s", uuid);
      return NULL;
    }
  return guest_new (connection, domain);
}

PvGuest *
pv_guest_reopen (PvGuest *self, guint timeout_ms, GError **error)
{
  g_autoptr(PvConnection) connection = pv_connection_reopen (self->connection, timeout_ms, error);

  if (connection == NULL)
    return NULL;
  return pv_guest_lookup_uuid (connection, self->uuid, error);
}

PvGuest *
pv_guest_ref (PvGuest *self)
{
  g_atomic_ref_count_inc (&self->ref_count);
  return self;
}

void
pv_guest_unref (PvGuest *self)
{
  if (self == NULL || !g_atomic_ref_count_dec (&self->ref_count))
    return;
  virDomainFree (self->domain);
  pv_connection_unref (self->connection);
  g_free (self->name);
  g_free (self);
}

virDomainPtr
pv_guest_get (PvGuest *self)
{
  return self->domain;
}

PvConnection *
pv_guest_connection (PvGuest *self)
{
  return self->connection;
}

const char *
pv_guest_name (PvGuest *self)
{
  return self->name;
}

const char *
pv_guest_uuid (PvGuest *self)
{
  return self->uuid;
}

/* (transfer full): what to do about a file that QEMU was not allowed to open, by the host's security driver. */
static char *
access_cure (PvGuest *self)
{
  virSecurityLabel label = { .label = "" };

  if (virDomainGetSecurityLabel (self->domain, &label) < 0)
    label.label[0] = '\0';
  return pv_connection_access_cure (self->connection, label.label[0] != '\0' ? label.label : NULL);
}

gboolean
pv_guest_throw (PvGuest *self, GError **error, const char *format, ...)
{
  virErrorPtr saved = virSaveLastError ();
  g_autofree char *subject = NULL;
  g_autoptr(GError) local = NULL;
  va_list arguments;

  va_start (arguments, format);
  subject = g_strdup_vprintf (format, arguments);
  va_end (arguments);
  pv_throw_libvirt (&local, "guest %s: %s", self->name, subject);
  if (saved != NULL && !pv_connection_alive (self->connection))
    g_prefix_error (&local, "the connection to libvirtd is lost: ");
  else if (saved != NULL && g_error_matches (local, PV_ERROR, PV_ERROR_DENIED) && saved->domain != VIR_FROM_ACCESS
           && saved->code != VIR_ERR_OPERATION_DENIED && saved->code != VIR_ERR_ACCESS_DENIED)
    {
      g_autofree char *cure = access_cure (self);
      g_autofree char *message = g_strdup_printf ("%s (%s)", local->message, cure);

      g_free (local->message);
      local->message = g_steal_pointer (&message);
    }
  virFreeError (saved);
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

static PvRunState
run_state (int state)
{
  switch (state)
    {
    case VIR_DOMAIN_NOSTATE:
    case VIR_DOMAIN_RUNNING:
    case VIR_DOMAIN_BLOCKED:
      return PV_RUN_RUNNING;
    case VIR_DOMAIN_PAUSED:
      return PV_RUN_PAUSED;
    case VIR_DOMAIN_SHUTOFF:
      return PV_RUN_SHUTOFF;
    default:
      return PV_RUN_OTHER;
    }
}

gboolean
pv_guest_state (PvGuest *self, PvRunState *state, int *reason, GError **error)
{
  int libvirt_state, libvirt_reason;

  if (virDomainGetState (self->domain, &libvirt_state, &libvirt_reason, 0) < 0)
    return pv_guest_throw (self, error, "cannot tell whether it runs");
  *state = run_state (libvirt_state);
  if (reason != NULL)
    *reason = libvirt_reason;
  return TRUE;
}

gboolean
pv_guest_has_job (PvGuest *self, gboolean *has, GError **error)
{
  virDomainJobInfo info;

  if (virDomainGetJobInfo (self->domain, &info) < 0)
    return pv_guest_throw (self, error, "cannot tell what libvirt does with it");
  *has = info.type == VIR_DOMAIN_JOB_BOUNDED || info.type == VIR_DOMAIN_JOB_UNBOUNDED;
  return TRUE;
}

gboolean
pv_guest_suspend (PvGuest *self, GError **error)
{
  if (virDomainSuspend (self->domain) < 0)
    return pv_guest_throw (self, error, "cannot pause it");
  return TRUE;
}

gboolean
pv_guest_resume (PvGuest *self, GError **error)
{
  if (virDomainResume (self->domain) < 0)
    return pv_guest_throw (self, error, "cannot resume it");
  return TRUE;
}

gboolean
pv_guest_is_persistent (PvGuest *self)
{
  return virDomainIsPersistent (self->domain) == 1;
}

char *
pv_guest_xml (PvGuest *self, guint flags, GError **error)
{
  char *xml = virDomainGetXMLDesc (self->domain, flags | VIR_DOMAIN_XML_SECURE);
  char *copy;

  if (xml == NULL)
    {
      pv_guest_throw (self, error, "cannot read its description");
      return NULL;
    }
  copy = g_strdup (xml);
  free (xml);
  return copy;
}

/* The agent's refusals, most of which mean that there is no agent. */
static gboolean
throw_agent (PvGuest *self, const char *what, GError **error)
{
  virErrorPtr last = virGetLastError ();
  int code = last != NULL ? last->code : VIR_ERR_OK;
  g_autoptr(GError) local = NULL;

  pv_guest_throw (self, &local, "cannot %s its file systems", what);
  if (code == VIR_ERR_AGENT_UNRESPONSIVE || code == VIR_ERR_AGENT_UNSYNCED || code == VIR_ERR_ARGUMENT_UNSUPPORTED)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "%s: install and start qemu-guest-agent in the guest, give it a channel org.qemu.guest_agent.0, "
                     "or leave "
                     "--quiesce out",
                     local->message);
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

gboolean
pv_guest_fsfreeze (PvGuest *self, GError **error)
{
  if (virDomainFSFreeze (self->domain, NULL, 0, 0) < 0)
    return throw_agent (self, "freeze", error);
  return TRUE;
}

gboolean
pv_guest_fsthaw (PvGuest *self, GError **error)
{
  if (virDomainFSThaw (self->domain, NULL, 0, 0) < 0)
    return throw_agent (self, "thaw", error);
  return TRUE;
}
