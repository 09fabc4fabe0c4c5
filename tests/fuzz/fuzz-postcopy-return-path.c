/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Any bytes as QEMU's side of a post-copy migration: messages one after the other until the first that is refused. */
#include "config.h"

#include "restore/postcopy-return-path.h"

#include <string.h>

int LLVMFuzzerTestOneInput (const guint8 *data, size_t size);

int
LLVMFuzzerTestOneInput (const guint8 *data, size_t size)
{
  PvReturnMessage message;
  gsize used = 0;

  pv_return_bitmap_parse (data, size, size * 8 > 128 ? size * 8 - 128 : 0, NULL);
  for (gsize at = 0; at < size; at += used)
    {
      g_autoptr(GError) error = NULL;
      gboolean done = pv_return_message_parse (data + at, size - at, &message, &used, &error);

      g_assert (done == (error == NULL));
      if (!done || used == 0)
        break;
      g_assert (used <= size - at && used <= PV_RETURN_MESSAGE_MAX);
      g_assert (message.name[sizeof message.name - 1] == '\0');
      g_assert (message.type != PV_RETURN_PAGES || message.size > 0);
      g_assert (message.name[0] == '\0' || pv_ram_block_name_ok (message.name, strlen (message.name)));
    }
  return 0;
}
