/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as a kept stream head: refused, or the same when kept again, and good for writing a stream. */
#include "config.h"

#include "stream/stream-head.h"

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  g_autoptr(GError) error = NULL;
  g_autoptr(PvStreamHead) head = pv_stream_head_parse (data, size, &error);
  g_autoptr(GByteArray) stream = g_byte_array_new ();
  g_autoptr(GBytes) again = NULL;

  g_assert ((head == NULL) == (error != NULL));
  if (head == NULL)
    return 0;
  again = pv_stream_head_serialize (head);
  g_assert (g_bytes_get_size (again) == size);
  pv_stream_head_append_start (head, stream);
  pv_stream_head_append_ram_setup (head, stream);
  return 0;
}
