/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "daemon/rpc-message.h"

#include "util/error.h"

/* A revert as virsh 9.0 sends it, by hand: snapshot "s1", domain "web1", id -1, flags 2. */
static const guint8 revert[] = {
  0, 0, 0, 68, 0x20, 0, 0x80, 0x86, 0, 0, 0, 1, 0, 0, 0, 192, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 0,
  0, 0, 0, 2, 's', '1', 0, 0, 0, 0, 0, 4, 'w', 'e', 'b', '1',
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 2,
};

static GByteArray *
sample (void)
{
  GByteArray *out = g_byte_array_new ();

  return g_byte_array_append (out, revert, sizeof revert);
}

static void
parse (void)
{
  g_autoptr(GByteArray) message = sample ();
  g_autoptr(GByteArray) again = NULL;
  g_autoptr(GError) error = NULL;
  g_autoptr(PvRpcCall) call = pv_rpc_call_parse (message->data, message->len, &error);

  g_assert_no_error (error);
  g_assert_cmpstr (call->snapshot, ==, "s1");
  g_assert_cmpstr (call->domain.name, ==, "web1");
  g_assert_cmpint (call->domain.uuid[15], ==, 16);
  g_assert_cmpint (call->domain.id, ==, -1);
  g_assert_null (call->xml);
  g_assert_cmpuint (call->flags, ==, 2);
  g_assert_cmpuint (call->head.serial, ==, 9);
  again = pv_rpc_call_compose (call, "s1");
  g_assert_cmpmem (again->data, again->len, message->data, message->len);
}

/* Cut anywhere, or with one byte changed, it is refused or understood, never more. */
static void
garbled (void)
{
  g_autoptr(GByteArray) message = sample ();

  for (gsize size = 0; size < message->len; size++)
    {
      g_autofree guint8 *cut = g_memdup2 (message->data, size);
      g_autoptr(GError) error = NULL;

      g_assert_null (pv_rpc_call_parse (cut, size, &error));
      g_assert_nonnull (error);
    }
  for (gsize at = 0; at < message->len; at++)
    {
      g_autoptr(GByteArray) other = sample ();
      g_autoptr(PvRpcCall) call = NULL;

      other->data[at] ^= 0x80;
      call = pv_rpc_call_parse (other->data, other->len, NULL);
      if (at < 20)
        g_assert_null (call); /* length, program, version, procedure, type */
    }
}

static void
replies (void)
{
  g_autoptr(GByteArray) message = sample ();
  g_autoptr(PvRpcCall) call = pv_rpc_call_parse (message->data, message->len, NULL);
  g_autoptr(GByteArray) nothing = pv_rpc_reply_void (call);
  g_autoptr(GByteArray) snapshot = pv_rpc_reply_snapshot (call, "new");
  g_autoptr(GByteArray) failed = pv_rpc_reply_error (&call->head, 40, 55, "it does not work");
  PvRpcHead head;
  gint32 code;

  g_assert_true (pv_rpc_reply_parse (nothing->data, nothing->len, &code));
  g_assert_true (pv_rpc_reply_parse (snapshot->data, snapshot->len, &code));
  g_assert_false (pv_rpc_reply_parse (failed->data, failed->len, &code));
  g_assert_cmpint (code, ==, 55);
  g_assert_false (pv_rpc_reply_parse (failed->data, 27, &code));
  g_assert_cmpint (code, ==, 0);
  pv_rpc_head_read (snapshot->data, &head);
  g_assert_cmpuint (head.serial, ==, 9);
  g_assert_cmpuint (head.procedure, ==, 192);
  g_assert_cmpuint (head.length, ==, snapshot->len);
  /* name, domain's name, uuid, id */
  g_assert_cmpuint (snapshot->len, ==, PV_RPC_HEAD + 8 + 8 + 16 + 4);
  g_assert_cmpmem (snapshot->data + PV_RPC_HEAD + 4, 3, "new", 3);
}

int
main (int argc, char **argv)
{
  g_test_init (&argc, &argv, NULL);
  g_test_add_func ("/rpc-message/parse", parse);
  g_test_add_func ("/rpc-message/garbled", garbled);
  g_test_add_func ("/rpc-message/replies", replies);
  return g_test_run ();
}
