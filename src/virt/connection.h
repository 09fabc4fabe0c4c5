/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvConnection: a connection to libvirtd that says why when it fails, with libvirt's event loop running behind it.
 *
 * libvirt's errors become PvErrors here: the message is libvirt's own, led by what we wanted. Any thread. Reference
 * counted. The first connection makes the process ignore SIGPIPE, which would end it when libvirtd dies.
 */
#pragma once

#include <glib.h>
#include <libvirt/libvirt.h>

#include "util/error.h"

G_BEGIN_DECLS

typedef struct _PvConnection PvConnection;

/* @uri: (nullable): LIBVIRT_DEFAULT_URI, then qemu:///system. Only QEMU drivers are accepted. Starts the process's
 * event loop thread. */
PvConnection *pv_connection_open (const char *uri, GError **error);
/* (transfer full): a new connection to the same place, tried until it works or @timeout_ms are over: for the time after
 * a restart of libvirtd. One that hangs rather than refuses is waited for longer. @self stays as it is. */
PvConnection *pv_connection_reopen (PvConnection *self, guint timeout_ms, GError **error);
PvConnection *pv_connection_ref (PvConnection *self);
void pv_connection_unref (PvConnection *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvConnection, pv_connection_unref)

virConnectPtr pv_connection_get (PvConnection *self);
/* (transfer full): what to do about a file that a guest's QEMU was not allowed to open, words that name the
 * profile or label of the host's security driver. @label: (nullable): the guest's. */
char *pv_connection_access_cure (PvConnection *self, const char *label);
/* As libvirt itself writes it: what another process opens to reach the same place. */
const char *pv_connection_uri (PvConnection *self);
/* Versions as libvirt numbers them: major * 1000000 + minor * 1000 + release. */
gulong pv_connection_libvirt_version (PvConnection *self);
gulong pv_connection_qemu_version (PvConnection *self);
/* FALSE once libvirtd went away or did not answer for 15 s (whoever waits for it then gets an error). Costs no
 * message. */
gboolean pv_connection_alive (PvConnection *self);

/* Sets @error from libvirt's last error of this thread: PV_ERROR_NOT_FOUND (no domain), BUSY (job or timeout), DENIED
 * (auth, access, AppArmor), UNSUPPORTED, else FAILED. Always FALSE. */
gboolean pv_throw_libvirt (GError **error, const char *format, ...) G_GNUC_PRINTF (2, 3);

G_END_DECLS
