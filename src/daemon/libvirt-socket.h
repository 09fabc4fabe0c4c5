/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvLibvirtSocket: a socket that stock libvirt clients take for libvirtd's:
 *
 *   virsh -c 'qemu+unix:///system?socket=/run/pagevault/libvirt-sock'
 *
 * Each client gets a connection of its own to libvirtd's socket, made with the client's user and groups
 * (peer-connect.h), and everything passes through (libvirt-client.h; docs/libvirt-socket.md).
 */
#pragma once

#include "daemon/libvirt-client.h"

G_BEGIN_DECLS

#define PV_LIBVIRT_SOCKET "/run/pagevault/libvirt-sock"

typedef struct _PvLibvirtSocket PvLibvirtSocket;

/* @path: made anew, mode 0660 of group libvirt, 0600 where there is no such group. @func, @data: for each client. */
PvLibvirtSocket *pv_libvirt_socket_new (const char *path, PvLibvirtCallFunc func, gpointer data, GError **error);
/* Takes the socket away and ends all connections. */
void pv_libvirt_socket_free (PvLibvirtSocket *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvLibvirtSocket, pv_libvirt_socket_free)

/* (transfer full): where libvirtd listens: the socket that @uri (nullable) names, else libvirt's usual place. */
char *pv_libvirt_socket_upstream (const char *uri);

G_END_DECLS
