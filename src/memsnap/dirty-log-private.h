/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What sources of PvDirtyLog share. */
#pragma once

#include "memsnap/dirty-log.h"

G_BEGIN_DECLS

enum
{
  PV_DIRTY_PAGE = 4096, /* bytes */
};

typedef struct
{
  /* Leaves the pages written since the last switch in the active bitmap, makes the other one active and watches on.
   * The other one has been cleared. */
  gboolean (*swap) (PvDirtyLog *self, GError **error);
  /* (nullable): notes in the active bitmap what waits to be noted. Any thread, also beside swap(). */
  gboolean (*collect) (PvDirtyLog *self, GError **error);
  void (*free) (PvDirtyLog *self);
} PvDirtyLogOps;

struct _PvDirtyLog
{
  const PvDirtyLogOps *ops;
  gsize n_pages;
  guint64 *bitmaps[2]; /* private memory */
  guint active;        /* the one that is noted in */
  gpointer source;     /* of the source; (owned) */
};

/* The bitmaps, and nothing that watches. */
PvDirtyLog *pv_dirty_log_new (const PvDirtyLogOps *ops, gpointer source, gsize length, GError **error);

/* Whole pages, at least one; else PV_ERROR_INVALID. */
gboolean pv_dirty_log_check_range (guint64 address, gsize length, GError **error);

static inline void
pv_dirty_log_set (guint64 *bitmap, gsize page)
{
  bitmap[page / 64] |= G_GUINT64_CONSTANT (1) << (page % 64);
}

G_END_DECLS
