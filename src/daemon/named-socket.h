/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A listening socket under a name of the file system, one for each pagevaultd. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

#define PV_RUN_DIRECTORY "/run/pagevault"
#define PV_RUN_DIRECTORY_MODE 0711 /* sockets in it have modes of their own, directories are root's own */

/* Listens beside @path and takes the name: who comes in between finds the old socket or the new one. A directory that
 * is missing is made; PV_RUN_DIRECTORY gets its mode. @mode: of the socket. @group: that it belongs to, or (gid_t) -1.
 * PV_ERROR_EXISTS when another pagevaultd answers there. The descriptor, or -1. */
int pv_named_socket_listen (const char *path, mode_t mode, gid_t group, GError **error) G_GNUC_WARN_UNUSED_RESULT;

/* An address of @path for connect(2); PV_ERROR_INVALID when it is too long. */
struct sockaddr_un;
gboolean pv_named_socket_address (const char *path, struct sockaddr_un *address, GError **error);

G_END_DECLS
