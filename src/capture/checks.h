/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What speaks against capturing a guest, in sentences. All with the guest running; nothing is changed. */
#pragma once

#include "virt/guest.h"
#include "xml/domain-xml.h"

G_BEGIN_DECLS

/* libvirt saves, migrates, dumps or backs it up: BUSY. */
gboolean pv_check_idle (PvGuest *guest, GError **error);
/* Devices that write to memory unseen or keep state elsewhere, what QEMU itself refuses to migrate:
 * PV_ERROR_UNSUPPORTED. A migration under way: BUSY. */
gboolean pv_check_memory (PvGuest *guest, PvDomainXml *domain, GError **error);
/* A block job under way, for the disks could not be frozen or put back: BUSY. */
gboolean pv_check_disks (PvGuest *guest, GError **error);

G_END_DECLS
