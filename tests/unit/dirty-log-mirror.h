/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A copy of memory that only follows a dirty log, for the tests of logs. */
#pragma once

#include <string.h>

#include "memsnap/dirty-log.h"

#define PAGE ((gsize) 4096)

static inline gboolean
has_bit (const guint64 *bitmap, gsize page)
{
  return (bitmap[page / 64] >> (page % 64) & 1) != 0;
}

/* Switches @log and copies what was written; how many pages that were. */
static inline gsize
follow (PvDirtyLog *log, const guint8 *memory, guint8 *mirror)
{
  g_autoptr(GError) error = NULL;
  gsize n;
  const guint64 *dirty = pv_dirty_log_switch (log, &n, &error);

  g_assert_no_error (error);
  for (gsize page = 0; page < pv_dirty_log_get_n_pages (log); page++)
    {
      if (has_bit (dirty, page))
        memcpy (mirror + page * PAGE, memory + page * PAGE, PAGE);
    }
  return n;
}
