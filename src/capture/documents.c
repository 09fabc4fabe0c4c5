/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "capture/documents.h"

#include <string.h>

#include "util/error.h"
#include "util/fault.h"
#include "util/file.h"
#include "virt/attachments.h"

#define NVRAM_MAX (256u << 20) /* bytes */

void
pv_documents_clear (PvDocuments *self)
{
  g_clear_pointer (&self->domain, g_free);
  g_clear_pointer (&self->inactive, g_free);
  g_clear_pointer (&self->cookie, g_free);
  g_clear_pointer (&self->nvram, g_bytes_unref);
}

gboolean
pv_documents_take_early (PvDocuments *self, PvGuest *guest, PvDomainXml *live, GError **error)
{
  if (live != NULL)
    self->cookie = pv_domain_xml_save_cookie (live);
  if (!pv_guest_is_persistent (guest))
    return TRUE;
  self->inactive = pv_guest_xml (guest, VIR_DOMAIN_XML_INACTIVE, error);
  return self->inactive != NULL;
}

/* The guest's pflash writes went to the file before QEMU stopped: it is as the guest knows it. */
static gboolean
take_nvram (PvDocuments *self, const char *path, GError **error)
{
  if (path == NULL)
    return TRUE;
  self->nvram = pv_fault ("capture.nvram", error) ? pv_read_file (path, NVRAM_MAX, error) : NULL;
  if (self->nvram == NULL)
    g_prefix_error (error, "UEFI variables: ");
  return self->nvram != NULL;
}

gboolean
pv_documents_take (PvDocuments *self, PvGuest *guest, const char *nvram, GError **error)
{
  self->domain = pv_fault ("capture.xml", error) ? pv_guest_xml (guest, VIR_DOMAIN_XML_MIGRATABLE, error) : NULL;
  return self->domain != NULL && take_nvram (self, nvram, error);
}

gboolean
pv_documents_take_off (PvDocuments *self, PvGuest *guest, const char *nvram, GError **error)
{
  self->domain = pv_guest_xml (guest, VIR_DOMAIN_XML_INACTIVE, error);
  self->inactive = g_strdup (self->domain);
  /* a domain that was never started has none yet */
  if (self->domain == NULL || nvram == NULL || !g_file_test (nvram, G_FILE_TEST_EXISTS))
    return self->domain != NULL;
  return take_nvram (self, nvram, error);
}

static gboolean
attach_text (PvTxn *txn, const char *name, const char *text, GError **error)
{
  g_autoptr(GBytes) bytes = text != NULL ? g_bytes_new (text, strlen (text)) : NULL;

  return bytes == NULL || pv_txn_attach (txn, name, bytes, error);
}

gboolean
pv_documents_attach (const PvDocuments *self, PvTxn *txn, GError **error)
{
  /* a guest that was restored lazily still says so */
  g_autofree char *domain = self->domain != NULL ? pv_domain_xml_text_without_incoming (self->domain) : NULL;

  return attach_text (txn, PV_ATTACH_DOMAIN_XML, domain, error)
         && attach_text (txn, PV_ATTACH_INACTIVE_XML, self->inactive, error)
         && attach_text (txn, PV_ATTACH_COOKIE, self->cookie, error)
         && (self->nvram == NULL || pv_txn_add_blob (txn, PV_BLOB_NVRAM, self->nvram, error));
}
