/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPager: fills a guest that runs already with its memory, from a snapshot, over one channel to its QEMU.
 *
 *   new -> begin (a new guest) or recover (its channel broke) or neither (another pager was killed) -> run -> free
 *
 * What the guest asks for goes first; all else in the background, at most at the rate that is set. Everything that
 * must outlive the process is in PvPagerShared. One thread, but for the reading ahead inside.
 */
#pragma once

#include "restore/pager-ahead.h"
#include "restore/pager-channel.h"

G_BEGIN_DECLS

typedef struct _PvPager PvPager;

typedef struct
{
  /* (nullable): about five times a second. */
  void (*tick) (PvPager *pager, gpointer data);
  /* (nullable): a page cannot be read: why, once for each time that it gets worse. The page is tried again every few
   * seconds; the guest waits for it if it wants it. PV_ERROR_UNREACHABLE: it lies in a remote that gives no answer now;
   * what nobody asks for is not read until it does. */
  void (*damaged) (PvPager *pager, const GError *why, gpointer data);
  /* (nullable): .watched has something to read, or was closed. */
  void (*noticed) (PvPager *pager, gpointer data);
  int watched; /* -1: nothing */
  gpointer data;
} PvPagerHooks;

typedef enum
{
  PV_PAGER_COMPLETE, /* QEMU has all, and says so */
  PV_PAGER_LOST,     /* the channel broke */
} PvPagerEnd;

/* @fd: the channel, not taken over. @source and @shared must outlive it. @hooks: (nullable): copied. */
PvPager *pv_pager_new (PvPagerSource *source, PvPagerShared *shared, int fd, const PvPagerHooks *hooks);
void pv_pager_free (PvPager *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPager, pv_pager_free)

/* Bytes a second of what nobody asked for; 0: no limit. */
void pv_pager_set_rate (PvPager *self, guint64 rate);
void pv_pager_set_watched (PvPager *self, int fd);
/* Pages that cannot be read now. */
guint pv_pager_n_damaged (const PvPager *self);
/* Pages of zeros that this pager has come by: nobody needs to send them. */
guint64 pv_pager_n_zero (const PvPager *self);

/* Sends the start of the stream, the pages @ahead, and the devices; serves requests until all devices are loaded. The
 * guest may run then. What lies around the pages @ahead goes in the background first. */
gboolean pv_pager_begin (PvPager *self, PvPagerAhead *ahead, GError **error);
/* The handshake with a QEMU whose channel broke. */
gboolean pv_pager_recover (PvPager *self, GError **error);
/* Serves the guest until the end. */
gboolean pv_pager_run (PvPager *self, PvPagerEnd *end, GError **error);

G_END_DECLS
