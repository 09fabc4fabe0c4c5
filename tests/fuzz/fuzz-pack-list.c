/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A pack list that parses is written again with the same bytes. The digest at its end is put right first, or nothing
 * would ever get past it. */
#include "config.h"

#include "store/pack-list.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  static const PvName zero;
  g_autoptr(GByteArray) forged = g_byte_array_new ();
  g_autoptr(GBytes) bytes = NULL, again = NULL;
  g_autoptr(PvPackList) list = NULL;
  PvName digest;

  g_byte_array_append (forged, data, (guint) size);
  pv_digest (data, size, &digest);
  g_byte_array_append (forged, digest.bytes, PV_NAME_SIZE);
  bytes = g_bytes_new (forged->data, forged->len);
  list = pv_pack_list_parse (bytes, PV_PACK_LIST_CONDEMNED, &zero, NULL);
  if (list == NULL)
    return 0;
  again = pv_pack_list_serialize (list);
  g_assert_true (g_bytes_equal (bytes, again));
  return 0;
}
