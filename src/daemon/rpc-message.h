/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* libvirt's RPC messages, as far as pagevaultd looks into them: what frames them, and the few calls that it answers
 * itself (docs/libvirt-socket.md). All words are big-endian, strings are XDR: a length, the bytes, zeros up to a
 * multiple of four.
 *
 * The numbers are those of libvirt's public descriptions, src/rpc/virnetprotocol.x and src/remote/remote_protocol.x:
 * libvirt never changes one that was released.
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

enum
{
  PV_RPC_WORD = 4,
  PV_RPC_HEAD = 28,        /* bytes: the length word and six more */
  PV_RPC_FDS_MAX = 32,     /* descriptors with one message */
  PV_RPC_CALL_MAX = 1 << 20, /* bytes: a longer call is not looked into */
};

#define PV_RPC_REMOTE_PROGRAM 0x20008086u
#define PV_RPC_REMOTE_VERSION 1u

typedef enum
{
  PV_RPC_CALL = 0,
  PV_RPC_REPLY = 1,
  PV_RPC_EVENT = 2,
  PV_RPC_STREAM = 3,
  PV_RPC_CALL_WITH_FDS = 4,
  PV_RPC_REPLY_WITH_FDS = 5,
} PvRpcType;

enum
{
  PV_RPC_OK = 0,
  PV_RPC_ERROR = 1,
};

enum /* procedures of the remote program */
{
  PV_RPC_SNAPSHOT_CREATE_XML = 185,
  PV_RPC_SNAPSHOT_REVERT = 192,
  PV_RPC_SNAPSHOT_DELETE = 193,
};

typedef struct
{
  guint32 length; /* bytes of the message, this word with it */
  guint32 program;
  guint32 version;
  guint32 procedure;
  guint32 type;   /* PvRpcType, or what is not known yet */
  guint32 serial;
  guint32 status;
} PvRpcHead;

/* The first PV_RPC_HEAD bytes at @data, whatever they say. */
void pv_rpc_head_read (const guint8 *data, PvRpcHead *head);
/* TRUE when the message says that descriptors come behind it. Their number is the first word after the head. */
gboolean pv_rpc_head_has_fds (const PvRpcHead *head);
/* Puts @serial in the place of the one that @message has. */
void pv_rpc_set_serial (GByteArray *message, guint32 serial);

typedef struct
{
  char *name;       /* (owned) */
  guint8 uuid[16];
  gint32 id;        /* -1: not known, or off */
} PvRpcDomain;

/* One of the three calls above. */
typedef struct
{
  PvRpcHead head;
  PvRpcDomain domain;
  char *snapshot;   /* (owned) (nullable): its name; not of a creation */
  char *xml;        /* (owned) (nullable): of a creation */
  guint32 flags;
} PvRpcCall;
void pv_rpc_call_free (PvRpcCall *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRpcCall, pv_rpc_call_free)

/* A whole message. NULL with PV_ERROR_CORRUPT: garbled; PV_ERROR_UNSUPPORTED: another call. */
PvRpcCall *pv_rpc_call_parse (const guint8 *data, gsize size, GError **error);

/* (transfer full): the call as a message, its xml (creation) or its snapshot's name replaced by @text. */
GByteArray *pv_rpc_call_compose (const PvRpcCall *self, const char *text);

/* (transfer full): the answer to @call: nothing; the snapshot @name. */
GByteArray *pv_rpc_reply_void (const PvRpcCall *call);
GByteArray *pv_rpc_reply_snapshot (const PvRpcCall *call, const char *name);
/* (transfer full): the answer to any call: an error. @domain: a virErrorDomain; @code: a virErrorNumber; @message: for
 * people. */
GByteArray *pv_rpc_reply_error (const PvRpcHead *call, int domain, int code, const char *message);

/* TRUE when the message is a reply that all went well; else @code (out) is its virErrorNumber, 0 when it is garbled. */
gboolean pv_rpc_reply_parse (const guint8 *data, gsize size, gint32 *code);

G_END_DECLS
