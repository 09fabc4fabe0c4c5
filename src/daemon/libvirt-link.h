/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvLibvirtLink: a connection to libvirtd that is there when it is needed: making one may take seconds, in which a
 * small guest is saved. A thread of its own makes it, and makes it anew when libvirtd was restarted.
 */
#pragma once

#include "virt/connection.h"

G_BEGIN_DECLS

typedef struct _PvLibvirtLink PvLibvirtLink;

/* Called by the link's thread for each new connection; libvirt may be spoken to. */
typedef void (*PvLibvirtLinkFunc) (PvConnection *connection, gpointer data);

PvLibvirtLink *pv_libvirt_link_new (PvLibvirtLinkFunc connected, gpointer data);
/* Once. */
void pv_libvirt_link_start (PvLibvirtLink *self);
/* Returns when the first try is over, or has taken ten seconds: libvirtd may start later, or never. */
void pv_libvirt_link_wait (PvLibvirtLink *self);
/* Waits for a connection that is being made. */
void pv_libvirt_link_free (PvLibvirtLink *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvLibvirtLink, pv_libvirt_link_free)

/* (transfer full) (nullable): NULL when there is none just now. Any thread; never blocks. */
PvConnection *pv_libvirt_link_get (PvLibvirtLink *self);

G_END_DECLS
