/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/index-private.h"

gboolean
pv_index_optimize (PvIndex *self, GError **error)
{
  return TRUE;
}
