/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A message of libvirt's, as a call and as a reply; a call that is understood is the same when it is written again. */
#include "config.h"

#include "daemon/rpc-message.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr(GError) error = NULL, again_error = NULL;
  g_autoptr(PvRpcCall) call = pv_rpc_call_parse (data, size, &error);
  g_autoptr(PvRpcCall) again = NULL;
  g_autoptr(GByteArray) message = NULL;
  gint32 code;

  g_assert_true ((call == NULL) == (error != NULL));
  if (pv_rpc_reply_parse (data, size, &code))
    g_assert_cmpint (code, ==, 0);
  if (call == NULL)
    return 0;
  message = pv_rpc_call_compose (call, call->xml != NULL ? call->xml : call->snapshot);
  g_assert_cmpuint (message->len, ==, size); /* padding apart, byte for byte */
  again = pv_rpc_call_parse (message->data, message->len, &again_error);
  g_assert_no_error (again_error);
  g_assert_cmpstr (again->domain.name, ==, call->domain.name);
  g_assert_cmpstr (again->snapshot, ==, call->snapshot);
  g_assert_cmpstr (again->xml, ==, call->xml);
  g_assert_cmpuint (again->flags, ==, call->flags);
  return 0;
}
