/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvDocuments: what a snapshot of a guest carries beside memory and disks: its descriptions, CPU cookie and UEFI
 * variables. How it was taken is told by capture-record.h.
 */
#pragma once

#include "store/txn.h"
#include "virt/guest.h"
#include "xml/domain-xml.h"

G_BEGIN_DECLS

typedef struct
{
  char *domain;   /* (owned) (nullable): XML, migratable, with security information */
  char *inactive; /* (owned) (nullable): XML of the persistent definition */
  char *cookie;   /* (owned) (nullable) */
  GBytes *nvram;  /* (owned) (nullable) */
} PvDocuments;

void pv_documents_clear (PvDocuments *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC (PvDocuments, pv_documents_clear)

/* What does not change while a guest runs: before the pause. @live: (nullable): its description with flags 0; NULL
 * for a domain that is off. */
gboolean pv_documents_take_early (PvDocuments *self, PvGuest *guest, PvDomainXml *live, GError **error);
/* What belongs to the instant: in the pause, before the disks are frozen. @nvram: (nullable): path. */
gboolean pv_documents_take (PvDocuments *self, PvGuest *guest, const char *nvram, GError **error);
/* The same for a domain that is off: its definition and UEFI variables. */
gboolean pv_documents_take_off (PvDocuments *self, PvGuest *guest, const char *nvram, GError **error);

gboolean pv_documents_attach (const PvDocuments *self, PvTxn *txn, GError **error);

G_END_DECLS
