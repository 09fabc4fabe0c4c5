/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "index/index-private.h"
#include "index/merge.h"

#define OPTIMIZE_FAN_OUT 2u /* no two segments of a level are left */

gboolean
pv_index_optimize (PvIndex *self, GError **error)
{
  PvMergeOptions options = {
    .fan_out = OPTIMIZE_FAN_OUT, .budget = G_MAXUINT64, .drop_dead = TRUE, .yield = TRUE,
  };

  return pv_index_reap (self, error) && pv_index_merge (self, &options, error)
         && pv_index_mend_filter (self, TRUE, error);
}
