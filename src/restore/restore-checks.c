/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/restore-job-private.h"
#include "util/error.h"
#include "virt/attachments.h"
#include "virt/host.h"

/* --- what is to be restored -------------------------------------------------------------------------------------- */

/* (nullable): attachment @name parsed; NULL without error when there is none. */
static PvDomainXml *
read_xml (PvSnapshot *snapshot, const char *name, GError **error)
{
  GBytes *bytes = pv_snapshot_attachment (snapshot, name);
  g_autofree char *text = NULL;
  PvDomainXml *xml;

  if (bytes == NULL)
    return NULL;
  text = g_strndup (g_bytes_get_data (bytes, NULL), g_bytes_get_size (bytes));
  xml = pv_domain_xml_parse (text, error);
  if (xml == NULL)
    g_prefix_error (error, "%s: ", name);
  return xml;
}

static gboolean
read_descriptions (PvRestore *self, GError **error)
{
  g_autoptr(GError) local = NULL;

  self->has_memory = pv_snapshot_volumes_size (self->snapshot, PV_VOLUME_RAM) > 0;
  self->live = read_xml (self->snapshot, PV_ATTACH_DOMAIN_XML, &local);
  if (local == NULL)
    self->inactive = read_xml (self->snapshot, PV_ATTACH_INACTIVE_XML, &local);
  if (local != NULL)
    {
      g_propagate_error (error, g_steal_pointer (&local));
      return FALSE;
    }
  if (self->live == NULL && self->inactive == NULL)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "the snapshot has no domain XML, so that there is no guest to make: use 'pagevault export'");
  if (self->live == NULL && self->has_memory)
    return pv_throw (error, PV_ERROR_UNSUPPORTED,
                     "the snapshot has memory, but no domain XML of its instant: use 'pagevault export'");
  if (self->live == NULL)
    self->live = pv_domain_xml_copy (self->inactive);
  if (!self->has_memory && self->inactive == NULL)
    self->inactive = pv_domain_xml_copy (self->live);
  return TRUE;
}

/* --- who is there already ---------------------------------------------------------------------------------------- */

static gboolean
throw_running (PvRestore *self, GError **error)
{
  return pv_throw (error, PV_ERROR_EXISTS,
                   "domain '%s' is running: shut it off first (virsh shutdown, or virsh destroy), replace it "
                   "(pagevault revert), or restore under another name with --name",
                   self->domain);
}

/* There is a domain of the name. It is left alone unless it is this very guest, shut off (or to be replaced) and
 * without a saved state of its own. */
static gboolean
check_same (PvRestore *self, PvGuest *guest, GError **error)
{
  gboolean saved = FALSE;

  if (self->options->name != NULL)
    return pv_throw (error, PV_ERROR_EXISTS, "there is a domain '%s' already: choose another name", self->domain);
  if (!pv_guest_state (guest, &self->old_state, NULL, error))
    return FALSE;
  if (self->old_state != PV_RUN_SHUTOFF && !self->options->replace)
    return throw_running (self, error);
  if (g_strcmp0 (pv_guest_uuid (guest), pv_domain_xml_uuid (self->live)) != 0)
    return pv_throw (error, PV_ERROR_EXISTS,
                     "domain '%s' is another guest (its UUID is %s): restore under another name with --name",
                     self->domain, pv_guest_uuid (guest));
  if (!pv_host_managed_save (guest, &saved, error))
    return FALSE;
  if (saved)
    return pv_throw (error, PV_ERROR_EXISTS,
                     "domain '%s' has a managed save image, which its next start would load: remove that first (virsh "
                     "managedsave-remove), or restore under another name with --name",
                     self->domain);
  self->old = pv_guest_ref (guest);
  return TRUE;
}

/* Errors but "not found" are errors. */
static gboolean
absent (GError *local, GError **error)
{
  if (g_error_matches (local, PV_ERROR, PV_ERROR_NOT_FOUND))
    {
      g_error_free (local);
      return TRUE;
    }
  g_propagate_error (error, local);
  return FALSE;
}

static gboolean
check_domain (PvRestore *self, GError **error)
{
  GError *local = NULL;
  g_autoptr(PvGuest) named = pv_guest_lookup (self->connection, self->domain, &local);
  g_autoptr(PvGuest) twin = NULL;

  if (named != NULL)
    return check_same (self, named, error);
  if (!absent (local, error))
    return FALSE;
  if (pv_domain_xml_uuid (self->live) == NULL)
    return TRUE;
  local = NULL;
  twin = pv_guest_lookup_uuid (self->connection, pv_domain_xml_uuid (self->live), &local);
  if (twin != NULL)
    return pv_throw (error, PV_ERROR_EXISTS,
                     "the guest is there under the name '%s': undefine that one, or restore with --name and get a new "
                     "UUID",
                     pv_guest_name (twin));
  return absent (local, error);
}

/* Another name is another guest: it gets a UUID of its own. */
static void
name_domain (PvRestore *self)
{
  gboolean same;
  g_autofree char *uuid = NULL;

  self->domain = self->options->name != NULL ? self->options->name : pv_snapshot_domain (self->snapshot);
  same = g_strcmp0 (self->domain, pv_domain_xml_name (self->live)) == 0;
  if (same && pv_domain_xml_uuid (self->live) != NULL)
    return;
  uuid = g_uuid_string_random ();
  for (guint i = 0; i < 2; i++)
    {
      PvDomainXml *xml = i == 0 ? self->live : self->inactive;

      if (xml == NULL)
        continue;
      pv_domain_xml_set_name (xml, self->domain);
      pv_domain_xml_set_uuid (xml, uuid);
    }
}

/* A guest that runs again in the memory of its original keeps the MAC addresses that this memory knows; one that boots
 * gets new ones. */
static void
isolate (PvRestore *self, PvDomainXml *xml, const char *generation)
{
  pv_domain_xml_set_generation (xml, generation);
  if (!self->has_memory)
    pv_domain_xml_renew_macs (xml);
  if (self->options->isolate)
    pv_domain_xml_set_links (xml, FALSE);
}

static void
make_other (PvRestore *self)
{
  g_autofree char *generation = g_uuid_string_random ();

  if (self->options->name == NULL)
    return;
  isolate (self, self->live, generation);
  if (self->inactive != NULL)
    isolate (self, self->inactive, generation);
}

/* A persistent domain keeps a definition, whatever the snapshot knows of one: the old one names the old disks. */
static gboolean
complete_definition (PvRestore *self, GError **error)
{
  if (self->old != NULL && !pv_host_persistent (self->old, &self->old_persistent, error))
    return FALSE;
  if (self->old_persistent && self->inactive == NULL)
    self->inactive = pv_domain_xml_copy (self->live);
  pv_domain_xml_strip_runtime (self->live);
  if (self->inactive != NULL)
    pv_domain_xml_strip_runtime (self->inactive);
  make_other (self);
  return TRUE;
}

gboolean
pv_restore_check (PvRestore *self, GError **error)
{
  if (!read_descriptions (self, error))
    return FALSE;
  name_domain (self);
  return check_domain (self, error) && complete_definition (self, error);
}
