/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What /proc/PID/maps says about a range of addresses. */
#pragma once

#include <glib.h>
#include <sys/types.h>

G_BEGIN_DECLS

typedef struct
{
  guint64 start, end; /* addresses; cut to the range that was asked for */
  gsize page_size;    /* bytes: 4096, or that of hugetlb pages */
  int protection;     /* PROT_ bits */
  gboolean shared;    /* MAP_SHARED */
  gboolean file;      /* of a file that is neither a memfd nor on a tmpfs nor of huge pages */
  gboolean anonymous; /* of no file at all: pages that are not there are zero */
  gboolean stack;     /* the stack of the first thread */
} PvMemoryArea;

/* (transfer full): PvMemoryArea of [@start, @end), sorted; holes are not in it. */
GArray *pv_memory_map_read (pid_t pid, guint64 start, guint64 end, GError **error);

/* TRUE when @areas cover [@start, @end) without a hole, all readable and of one page size (in @page_size), of which
 * both addresses are multiples. Else PV_ERROR_INVALID. */
gboolean pv_memory_map_check (GArray *areas, guint64 start, guint64 end, gsize *page_size, GError **error);

G_END_DECLS
