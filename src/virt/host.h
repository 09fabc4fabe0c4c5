/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the host behind a connection is and has: emulator, security drivers, domains; and bringing domains into being.
 *
 * Every call blocks until libvirtd answers. Any thread. Errors as pv_throw_libvirt() sets them.
 */
#pragma once

#include "virt/guest.h"

G_BEGIN_DECLS

/* (transfer full): path of the emulator that libvirt takes for new guests of this host. */
char *pv_host_emulator (PvConnection *connection, GError **error);
/* (transfer full): "apparmor", "selinux"; "none" when guests are not confined. */
char *pv_host_security_model (PvConnection *connection, GError **error);
/* (element-type utf8) (transfer full): names of all domains, or of those that run. */
GPtrArray *pv_host_domains (PvConnection *connection, gboolean running_only, GError **error);

/* Starts the domain in the libvirt save image @path, which libvirtd opens itself. What the host's security driver
 * refused is told with the cure. */
gboolean pv_host_restore (PvConnection *connection, const char *path, gboolean paused, GError **error);
/* Starts a guest of @xml, paused, which may never have run; the definition that there may be of it stays as it is. */
PvGuest *pv_host_start_waiting (PvConnection *connection, const char *xml, GError **error);
/* Defines @xml persistently; a definition of that name and UUID is replaced. */
PvGuest *pv_host_define (PvConnection *connection, const char *xml, GError **error);
/* Takes the definition away again; UEFI variables, save images and snapshot metadata of it stay. */
gboolean pv_host_undefine (PvGuest *guest, GError **error);
/* Boots a defined domain; @paused: its CPUs stand still. */
gboolean pv_host_start (PvGuest *guest, gboolean paused, GError **error);
/* Boots a domain that has no definition. */
gboolean pv_host_start_transient (PvConnection *connection, const char *xml, gboolean paused, GError **error);
/* Ends the running guest at once. */
gboolean pv_host_destroy (PvGuest *guest, GError **error);
/* TRUE when @guest has a persistent definition. */
gboolean pv_host_persistent (PvGuest *guest, gboolean *persistent, GError **error);
/* TRUE when libvirt keeps a managed save image of @guest, which its next start would load. */
gboolean pv_host_managed_save (PvGuest *guest, gboolean *present, GError **error);

G_END_DECLS
