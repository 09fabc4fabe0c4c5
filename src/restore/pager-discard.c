/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "config.h"

#include "restore/pager-discard.h"

#include "stream/stream-encoder.h"

/* The first page from @page on, below @end, of which it is told that it was sent (or was not). */
static guint64
find_page (const PvPagerShared *shared, guint64 page, guint64 end, gboolean sent)
{
  while (page < end && pv_pager_shared_is_sent (shared, page) != sent)
    page++;
  return page;
}

static void
append_block (const PvPagerSource *source, const PvPagerShared *shared, guint block, GByteArray *out)
{
  const PvStreamHead *head = pv_pager_source_head (source);
  const guint64 first = pv_pager_source_first_page (source, block);
  const guint64 end = pv_pager_source_first_page (source, block + 1);
  guint64 ranges[2 * PV_POSTCOPY_RANGES];
  guint n = 0;

  for (guint64 page = first; page < end;)
    {
      guint64 from = find_page (shared, page, end, FALSE);
      guint64 to = find_page (shared, from, end, TRUE);

      if (from < to)
        {
          ranges[2 * n] = (from - first) * PV_POSTCOPY_PAGE;
          ranges[2 * n + 1] = (to - from) * PV_POSTCOPY_PAGE;
          n++;
        }
      page = to;
      if (n == PV_POSTCOPY_RANGES || (page == end && n > 0))
        {
          pv_postcopy_append_discard (head, block, ranges, n, out);
          n = 0;
        }
    }
}

void
pv_pager_append_discards (const PvPagerSource *source, const PvPagerShared *shared, GByteArray *out)
{
  for (guint i = 0; i < pv_pager_source_n_blocks (source); i++)
    append_block (source, shared, i, out);
}
