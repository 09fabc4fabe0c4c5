/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/checks.h"

static gboolean
check_devices (PvDomainXml *domain, GError **error)
{
  g_autoptr(GPtrArray) reasons = pv_domain_xml_untrackable (domain);
  g_autofree char *text = NULL;

  if (reasons->len == 0)
    return TRUE;
  g_ptr_array_add (reasons, NULL);
  text = g_strjoinv ("; ", (char **) reasons->pdata);
  return pv_throw (error, PV_ERROR_UNSUPPORTED,
                   "guest %s: its memory cannot be captured: %s; or take its disks alone with --disk-only",
                   pv_domain_xml_name (domain), text);
}

static gboolean
check_migration (PvGuest *guest, GError **error)
{
  static const char *const resting[] = { "none", "completed", "failed", "cancelled", NULL };
  g_auto(PvMigrationInfo) info = { 0 };

  if (!pv_guest_query_migrate (guest, &info, error))
    return FALSE;
  if (!g_strv_contains (resting, info.status))
    return pv_throw (error, PV_ERROR_BUSY, "guest %s is being migrated or saved (%s): wait for that to end",
                     pv_guest_name (guest), info.status);
  if (info.blocked != NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "guest %s: QEMU cannot give its memory away: %s; or take its disks alone with --disk-only",
                     pv_guest_name (guest), info.blocked);
  return TRUE;
}

gboolean
pv_check_memory (PvGuest *guest, PvDomainXml *domain, GError **error)
{
  return check_devices (domain, error) && check_migration (guest, error);
}

gboolean
pv_check_idle (PvGuest *guest, GError **error)
{
  gboolean busy;

  if (!pv_guest_has_job (guest, &busy, error))
    return FALSE;
  return !busy
         || pv_throw (error, PV_ERROR_BUSY,
                      "guest %s: libvirt is at work on it (see virsh domjobinfo): wait for that to end",
                      pv_guest_name (guest));
}

gboolean
pv_check_disks (PvGuest *guest, GError **error)
{
  g_autoptr(JsonNode) reply = pv_guest_qmp (guest, "query-block-jobs", NULL, error);
  JsonArray *jobs = reply != NULL && JSON_NODE_HOLDS_ARRAY (reply) ? json_node_get_array (reply) : NULL;

  if (reply == NULL)
    return FALSE;
  if (jobs == NULL || json_array_get_length (jobs) == 0)
    return TRUE;
  return pv_throw (error, PV_ERROR_BUSY,
                   "guest %s: a block job runs on one of its disks: wait for it, or see virsh blockjob",
                   pv_guest_name (guest));
}
