/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "stream/ram-block.h"

PvRamBlock *
pv_ram_block_new (const char *name, guint64 size, guint64 address)
{
  PvRamBlock *self;

  g_return_val_if_fail (name != NULL, NULL);

  self = g_new (PvRamBlock, 1);
  self->name = g_strdup (name);
  self->size = size;
  self->address = address;
  return self;
}

void
pv_ram_block_free (PvRamBlock *self)
{
  if (self == NULL)
    return;
  g_free (self->name);
  g_free (self);
}

gboolean
pv_ram_block_name_ok (const char *name, gsize len)
{
  if (len == 0 || len > PV_RAM_BLOCK_NAME_MAX)
    return FALSE;
  for (gsize i = 0; i < len; i++)
    if (!g_ascii_isprint (name[i]))
      return FALSE;
  return TRUE;
}
