/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvPagerProcess: a pager with all that it needs around it: store, guest, keeper, status.
 *
 *   new -> start | again | recover -> serve -> free
 */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

typedef struct _PvPagerProcess PvPagerProcess;

/* Reads what is written down of the restore, opens the store. @lock: (transfer full): of the state's directory. */
PvPagerProcess *pv_pager_process_new (const char *store, const char *uuid, int lock, GError **error);
void pv_pager_process_free (PvPagerProcess *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvPagerProcess, pv_pager_process_free)

/* Opens what takes time, the guest not being there yet. */
gboolean pv_pager_process_prepare (PvPagerProcess *self, GError **error);
/* The guest waits with "-incoming defer": brings it so far that it may run. After an error it is ended and nothing is
 * written down of it any more. */
gboolean pv_pager_process_start (PvPagerProcess *self, GError **error);
/* The guest has never run and will not: nothing is written down of it any more. @destroy: it may be there, waiting, and
 * whoever started it was killed. */
void pv_pager_process_give_up (PvPagerProcess *self, gboolean destroy);
/* Another pager was killed: goes on with its channel and memory. @keeper: (transfer full): the socket to the keeper. */
gboolean pv_pager_process_again (PvPagerProcess *self, int channel, int shared, int keeper, GError **error);
/* The guest's channel broke. */
gboolean pv_pager_process_recover (PvPagerProcess *self, GError **error);
/* Until all memory is there, or the guest is gone. */
gboolean pv_pager_process_serve (PvPagerProcess *self, GError **error);
guint64 pv_pager_process_pages_on_demand (const PvPagerProcess *self);

G_END_DECLS
