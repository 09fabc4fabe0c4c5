/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvLibvirtClient: one client of pagevaultd's libvirt socket, and its own connection to libvirtd.
 *
 *   new -> run (until one of the two goes away) -> unref
 *
 * What comes from one side goes to the other byte for byte, message by message, descriptors with the message that
 * they came with. A thread for each direction reads no faster than the other side takes it, and keeps 64 KiB at most.
 * What is no message is passed on as bytes: libvirtd judges it. A call that a handler takes is kept back; the handler
 * answers it in its own time, while everything else goes on, and may ask libvirtd in the client's name.
 *
 * Any thread.
 */
#pragma once

#include "daemon/rpc-message.h"

G_BEGIN_DECLS

typedef struct _PvLibvirtClient PvLibvirtClient;

/* TRUE: the call, a whole message, is taken; it will be answered by reply() or handed on by pass(). Must not block. */
typedef gboolean (*PvLibvirtCallFunc) (PvLibvirtClient *client, const guint8 *data, gsize size, gpointer data_of_func);

/* Takes both descriptors over. @func: (nullable): is asked about the calls that pv_rpc_call_parse() knows. */
PvLibvirtClient *pv_libvirt_client_new (int client, int libvirtd, PvLibvirtCallFunc func, gpointer data);
PvLibvirtClient *pv_libvirt_client_ref (PvLibvirtClient *self);
void pv_libvirt_client_unref (PvLibvirtClient *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvLibvirtClient, pv_libvirt_client_unref)

/* Once. Returns when the connection is over. */
void pv_libvirt_client_run (PvLibvirtClient *self);
/* Ends it. */
void pv_libvirt_client_end (PvLibvirtClient *self);

/* A whole message, to the client; to libvirtd. Nothing happens when the connection is over. */
void pv_libvirt_client_reply (PvLibvirtClient *self, const GByteArray *message);
void pv_libvirt_client_pass (PvLibvirtClient *self, const GByteArray *message);
/* (transfer full) (nullable): libvirtd's reply to @call (whose serial is replaced, in the reply too), which the client
 * does not get to see. NULL when the connection is over. */
GByteArray *pv_libvirt_client_ask (PvLibvirtClient *self, GByteArray *call);
/* TRUE when the client may have answered itself what ask() asked: it uses serials of ours. */
gboolean pv_libvirt_client_is_strange (PvLibvirtClient *self);

G_END_DECLS
