/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "virt/host.h"

#include <stdlib.h>
#include <string.h>

char *
pv_host_emulator (PvConnection *connection, GError **error)
{
  char *xml = virConnectGetDomainCapabilities (pv_connection_get (connection), NULL, NULL, NULL, NULL, 0);
  const char *start = xml != NULL ? strstr (xml, "<path>") : NULL;
  const char *end = start != NULL ? strstr (start, "</path>") : NULL;
  char *path = end != NULL ? g_strndup (start + strlen ("<path>"), (gsize) (end - start) - strlen ("<path>")) : NULL;

  if (xml == NULL)
    pv_throw_libvirt (error, "cannot ask for the emulator");
  else if (path == NULL)
    pv_throw (error, PV_ERROR_FAILED, "libvirt names no emulator");
  free (xml);
  return path;
}

char *
pv_host_security_model (PvConnection *connection, GError **error)
{
  virSecurityModel model = { .model = "" };

  if (virNodeGetSecurityModel (pv_connection_get (connection), &model) < 0)
    {
      pv_throw_libvirt (error, "cannot ask for the security driver");
      return NULL;
    }
  return g_strdup (model.model[0] != '\0' ? model.model : "none");
}

GPtrArray *
pv_host_domains (PvConnection *connection, gboolean running_only, GError **error)
{
  g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func (g_free);
  virDomainPtr *domains = NULL;
  int n = virConnectListAllDomains (pv_connection_get (connection), &domains,
                                    running_only ? VIR_CONNECT_LIST_DOMAINS_ACTIVE : 0);

  if (n < 0)
    {
      pv_throw_libvirt (error, "cannot list domains");
      return NULL;
    }
  for (int i = 0; i < n; i++)
    {
      g_ptr_array_add (names, g_strdup (virDomainGetName (domains[i])));
      virDomainFree (domains[i]);
    }
  free (domains);
  return g_steal_pointer (&names);
}

/* A file that QEMU was not allowed to open is the commonest reason why a guest does not start. */
static gboolean
throw_start (PvConnection *connection, GError **error, const char *what)
{
  g_autoptr(GError) local = NULL;

  pv_throw_libvirt (&local, "%s", what);
  if (g_error_matches (local, PV_ERROR, PV_ERROR_DENIED))
    {
      g_autofree char *cure = pv_connection_access_cure (connection, NULL);

      return pv_throw (error, PV_ERROR_DENIED, "%s (%s)", local->message, cure);
    }
  g_propagate_error (error, g_steal_pointer (&local));
  return FALSE;
}

gboolean
pv_host_restore (PvConnection *connection, const char *path, gboolean paused, GError **error)
{
  guint flags = paused ? VIR_DOMAIN_SAVE_PAUSED : VIR_DOMAIN_SAVE_RUNNING;

  if (virDomainRestoreFlags (pv_connection_get (connection), path, NULL, flags) < 0)
    return throw_start (connection, error, "libvirt cannot restore the memory image");
  return TRUE;
}

/* (transfer full): the guest that @domain (transfer full) is. */
static PvGuest *
take_domain (PvConnection *connection, virDomainPtr domain, GError **error)
{
  char uuid[VIR_UUID_STRING_BUFLEN] = "";

  virDomainGetUUIDString (domain, uuid);
  virDomainFree (domain);
  return pv_guest_lookup_uuid (connection, uuid, error);
}

PvGuest *
pv_host_start_waiting (PvConnection *connection, const char *xml, GError **error)
{
  virDomainPtr domain = virDomainCreateXML (pv_connection_get (connection), xml, VIR_DOMAIN_START_PAUSED);

  if (domain != NULL)
    return take_domain (connection, domain, error);
  pv_throw_libvirt (error, "libvirt cannot start the guest");
  return NULL;
}

PvGuest *
pv_host_define (PvConnection *connection, const char *xml, GError **error)
{
  virDomainPtr domain = virDomainDefineXMLFlags (pv_connection_get (connection), xml, 0);

  if (domain != NULL)
    return take_domain (connection, domain, error);
  pv_throw_libvirt (error, "libvirt does not take the definition");
  return NULL;
}

gboolean
pv_host_undefine (PvGuest *guest, GError **error)
{
  guint flags = VIR_DOMAIN_UNDEFINE_KEEP_NVRAM;

  if (virDomainUndefineFlags (pv_guest_get (guest), flags) < 0)
    return pv_throw_libvirt (error, "cannot undefine domain '%s'", pv_guest_name (guest));
  return TRUE;
}

gboolean
pv_host_start (PvGuest *guest, gboolean paused, GError **error)
{
  if (virDomainCreateWithFlags (pv_guest_get (guest), paused ? VIR_DOMAIN_START_PAUSED : 0) < 0)
    return throw_start (pv_guest_connection (guest), error, "libvirt cannot start the domain");
  return TRUE;
}

gboolean
pv_host_start_transient (PvConnection *connection, const char *xml, gboolean paused, GError **error)
{
  virDomainPtr domain
    = virDomainCreateXML (pv_connection_get (connection), xml, paused ? VIR_DOMAIN_START_PAUSED : 0);

  if (domain == NULL)
    return throw_start (connection, error, "libvirt cannot start the domain");
  virDomainFree (domain);
  return TRUE;
}

gboolean
pv_host_destroy (PvGuest *guest, GError **error)
{
  if (virDomainDestroyFlags (pv_guest_get (guest), 0) < 0)
    return pv_throw_libvirt (error, "cannot destroy domain '%s'", pv_guest_name (guest));
  return TRUE;
}

/* A libvirt answer that is 1, 0 or -1. */
static gboolean
take_answer (PvGuest *guest, int answer, const char *what, gboolean *yes, GError **error)
{
  if (answer < 0)
    return pv_throw_libvirt (error, "cannot ask domain '%s' whether it %s", pv_guest_name (guest), what);
  *yes = answer == 1;
  return TRUE;
}

gboolean
pv_host_persistent (PvGuest *guest, gboolean *persistent, GError **error)
{
  return take_answer (guest, virDomainIsPersistent (pv_guest_get (guest)), "is persistent", persistent, error);
}

gboolean
pv_host_managed_save (PvGuest *guest, gboolean *present, GError **error)
{
  return take_answer (guest, virDomainHasManagedSaveImage (pv_guest_get (guest), 0), "has a managed save image",
                      present, error);
}
