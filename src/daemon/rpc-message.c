/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/rpc-message.h"

#include <libvirt/virterror.h>
#include <string.h>

#include "util/cursor.h"
#include "util/error.h"

enum
{
  SERIAL_AT = 20, /* bytes into a message */
};

G_STATIC_ASSERT (SERIAL_AT + 2 * PV_RPC_WORD == PV_RPC_HEAD);

static void
read_head (PvCursor *cursor, PvRpcHead *head)
{
  head->length = pv_cursor_be32 (cursor);
  head->program = pv_cursor_be32 (cursor);
  head->version = pv_cursor_be32 (cursor);
  head->procedure = pv_cursor_be32 (cursor);
  head->type = pv_cursor_be32 (cursor);
  head->serial = pv_cursor_be32 (cursor);
  head->status = pv_cursor_be32 (cursor);
}

void
pv_rpc_head_read (const guint8 *data, PvRpcHead *head)
{
  PvCursor cursor = PV_CURSOR_INIT (data, PV_RPC_HEAD);

  read_head (&cursor, head);
}

gboolean
pv_rpc_head_has_fds (const PvRpcHead *head)
{
  return head->type == PV_RPC_CALL_WITH_FDS || head->type == PV_RPC_REPLY_WITH_FDS;
}

static void
put_word (GByteArray *message, gsize at, guint32 value)
{
  guint32 word = GUINT32_TO_BE (value);

  g_assert (at + sizeof word <= message->len);
  memcpy (message->data + at, &word, sizeof word);
}

void
pv_rpc_set_serial (GByteArray *message, guint32 serial)
{
  put_word (message, SERIAL_AT, serial);
}

/* --- XDR --------------------------------------------------------------------------------------------------------- */

/* (transfer full): NULL latches the cursor, or holds a zero byte, which no string of libvirt has. */
static char *
read_string (PvCursor *cursor)
{
  guint32 size = pv_cursor_be32 (cursor);
  const guint8 *bytes = pv_cursor_bytes (cursor, size);

  pv_cursor_bytes (cursor, (PV_RPC_WORD - size % PV_RPC_WORD) % PV_RPC_WORD);
  if (bytes == NULL || memchr (bytes, 0, size) != NULL)
    return NULL;
  return g_strndup ((const char *) bytes, size);
}

static void
append_string (GByteArray *out, const char *text)
{
  gsize size = strlen (text);

  pv_append_be32 (out, (guint32) size);
  g_byte_array_append (out, (const guint8 *) text, (guint) size);
  pv_append_zeros (out, (PV_RPC_WORD - size % PV_RPC_WORD) % PV_RPC_WORD);
}

static void
append_domain (GByteArray *out, const PvRpcDomain *domain)
{
  append_string (out, domain->name);
  g_byte_array_append (out, domain->uuid, sizeof domain->uuid);
  pv_append_be32 (out, (guint32) domain->id);
}

/* --- calls ------------------------------------------------------------------------------------------------------- */

void
pv_rpc_call_free (PvRpcCall *self)
{
  g_free (self->domain.name);
  g_free (self->snapshot);
  g_free (self->xml);
  g_free (self);
}

static gboolean
is_known (const PvRpcHead *head)
{
  return head->program == PV_RPC_REMOTE_PROGRAM && head->version == PV_RPC_REMOTE_VERSION && head->type == PV_RPC_CALL
         && (head->procedure == PV_RPC_SNAPSHOT_CREATE_XML || head->procedure == PV_RPC_SNAPSHOT_REVERT
             || head->procedure == PV_RPC_SNAPSHOT_DELETE);
}

/* Behind the head: domain, description, flags; or snapshot, domain, flags. */
PvRpcCall *
pv_rpc_call_parse (const guint8 *data, gsize size, GError **error)
{
  PvCursor cursor = PV_CURSOR_INIT (data, size);
  g_autoptr(PvRpcCall) self = g_new0 (PvRpcCall, 1);
  gboolean creation;

  read_head (&cursor, &self->head);
  if (size > PV_RPC_CALL_MAX || !is_known (&self->head))
    {
      pv_throw (error, PV_ERROR_UNSUPPORTED, "not a call that is answered here");
      return NULL;
    }
  creation = self->head.procedure == PV_RPC_SNAPSHOT_CREATE_XML;
  if (!creation)
    self->snapshot = read_string (&cursor);
  self->domain.name = read_string (&cursor);
  pv_cursor_copy (&cursor, self->domain.uuid, sizeof self->domain.uuid);
  self->domain.id = (gint32) pv_cursor_be32 (&cursor);
  if (creation)
    self->xml = read_string (&cursor);
  self->flags = pv_cursor_be32 (&cursor);
  if (!pv_cursor_end (&cursor, error))
    return NULL;
  if (self->domain.name == NULL || (creation ? self->xml : self->snapshot) == NULL || self->head.length != size
      || self->head.status != PV_RPC_OK)
    {
      pv_corrupt (error, "a call is garbled");
      return NULL;
    }
  return g_steal_pointer (&self);
}

/* With a length that finish() sets. */
static GByteArray *
begin (const PvRpcHead *head, PvRpcType type, guint32 status)
{
  GByteArray *out = g_byte_array_new ();

  pv_append_be32 (out, 0);
  pv_append_be32 (out, head->program);
  pv_append_be32 (out, head->version);
  pv_append_be32 (out, head->procedure);
  pv_append_be32 (out, type);
  pv_append_be32 (out, head->serial);
  pv_append_be32 (out, status);
  return out;
}

static GByteArray *
finish (GByteArray *message)
{
  put_word (message, 0, message->len);
  return message;
}

GByteArray *
pv_rpc_call_compose (const PvRpcCall *self, const char *text)
{
  GByteArray *out = begin (&self->head, PV_RPC_CALL, PV_RPC_OK);

  if (self->xml == NULL)
    append_string (out, text);
  append_domain (out, &self->domain);
  if (self->xml != NULL)
    append_string (out, text);
  pv_append_be32 (out, self->flags);
  return finish (out);
}

/* --- replies ----------------------------------------------------------------------------------------------------- */

GByteArray *
pv_rpc_reply_void (const PvRpcCall *call)
{
  return finish (begin (&call->head, PV_RPC_REPLY, PV_RPC_OK));
}

GByteArray *
pv_rpc_reply_snapshot (const PvRpcCall *call, const char *name)
{
  GByteArray *out = begin (&call->head, PV_RPC_REPLY, PV_RPC_OK);

  append_string (out, name);
  append_domain (out, &call->domain);
  return finish (out);
}

/* An optional value is a word that says whether it is there, and the value. */
static void
append_optional_string (GByteArray *out, const char *text)
{
  pv_append_be32 (out, text != NULL);
  if (text != NULL)
    append_string (out, text);
}

GByteArray *
pv_rpc_reply_error (const PvRpcHead *call, int domain, int code, const char *message)
{
  GByteArray *out = begin (call, PV_RPC_REPLY, PV_RPC_ERROR);

  pv_append_be32 (out, (guint32) code);
  pv_append_be32 (out, (guint32) domain);
  append_optional_string (out, message);
  pv_append_be32 (out, VIR_ERR_ERROR);
  pv_append_be32 (out, 0); /* no domain */
  append_optional_string (out, "%s");
  append_optional_string (out, message);
  append_optional_string (out, NULL);
  pv_append_be32 (out, (guint32) -1);
  pv_append_be32 (out, (guint32) -1);
  pv_append_be32 (out, 0); /* no network */
  return finish (out);
}

gboolean
pv_rpc_reply_parse (const guint8 *data, gsize size, gint32 *code)
{
  PvCursor cursor = PV_CURSOR_INIT (data, size);
  PvRpcHead head;

  *code = 0;
  read_head (&cursor, &head);
  if (cursor.overrun || head.length != size || head.type != PV_RPC_REPLY)
    return FALSE;
  if (head.status == PV_RPC_OK)
    return TRUE;
  if (head.status == PV_RPC_ERROR)
    *code = (gint32) pv_cursor_be32 (&cursor);
  return FALSE;
}
