/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A stored node; when it is a DELTA, on a base of the kind that it asks for. */
#include "config.h"

#include "chunk/node.h"

#include "util/error.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

static void
check_full (const guint8 *data, size_t size, const PvNode *node)
{
  g_autoptr(GByteArray) again = g_byte_array_new ();

  pv_node_encode_full (node, again);
  g_assert_cmpmem (data, size, again->data, again->len);
}

static void
check_delta (const PvNode *node, const PvNode *base, const PvName *base_name)
{
  g_autoptr(GByteArray) bytes = g_byte_array_new ();
  g_autofree PvNode *again = g_new0 (PvNode, 1);

  if (!pv_node_encode_delta (node, base, base_name, 0, bytes))
    return;
  g_assert_true (pv_node_decode (bytes->data, bytes->len, base, again, NULL));
  g_assert_true (pv_node_equal (node, again));
}

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autofree PvNode *node = g_new0 (PvNode, 1), *base = g_new0 (PvNode, 1);
  g_autoptr(GError) error = NULL, alone_error = NULL;
  PvNodeHead head;
  gboolean peeked = pv_node_peek (data, size, &head, &error);

  g_assert_true (peeked == (error == NULL));
  if (!peeked)
    {
      g_assert_false (pv_node_decode (data, size, base, node, NULL));
      return 0;
    }
  if (pv_node_decode (data, size, NULL, node, &alone_error))
    {
      g_assert_false (head.delta);
      check_full (data, size, node);
      return 0;
    }
  base->level = head.level;
  base->n_entries = head.n_entries;
  for (guint i = 0; i < base->n_entries; i++)
    base->entries[i].bytes[i % PV_NAME_SIZE] = 1;
  if (pv_node_decode (data, size, base, node, NULL))
    check_delta (node, base, &head.base);
  return 0;
}
