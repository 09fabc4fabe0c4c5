/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Connecting to a socket as the process at the other end of another one: with its user, group and groups.
 *
 * The kernel checks the mode of the socket's file against these, and whoever listens there sees them as the peer's
 * (SO_PEERCRED). So a proxy that has all rights passes on no more than its client has. Only the process id is the
 * proxy's own.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* @client: a connected unix socket. Without root's rights only clients of the own user are served. PV_ERROR_DENIED; a
 * descriptor, or -1. Changes the credentials of the calling thread, for a moment. */
int pv_peer_connect (int client, const char *path, GError **error) G_GNUC_WARN_UNUSED_RESULT;

G_END_DECLS
