/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvRecent: entries that are likely to be asked for next, in memory of fixed size.
 *
 * A guest's pages come in nearly the order in which they came before, and so did the chunks of a pack. When a pack
 * has been hit often (PV_RECENT_TRIGGER lookups that went to SQLite), the index asks for the whole table of that
 * pack and puts it here: the thousands of lookups that follow cost a memory access each. Small sets of four, each
 * behind a lock that few share; what is put in pushes something older out. A location found here may be out of
 * date: the caller checks that its pack is there and live.
 *
 * All functions from any thread.
 */
#pragma once

#include "index/index.h"

G_BEGIN_DECLS

#define PV_RECENT_ENTRIES (1u << 20) /* 40 MiB, touched as it fills: 60 packs or so */
#define PV_RECENT_TRIGGER 256u       /* lookups in SQLite take as long as reading a pack's table */

typedef struct _PvRecent PvRecent;

PvRecent *pv_recent_new (void);
void pv_recent_free (PvRecent *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvRecent, pv_recent_free)

void pv_recent_put (PvRecent *self, const PvIndexEntry *entry);
gboolean pv_recent_get (PvRecent *self, const PvName *name, PvLocation *location);

/* Counts a lookup that SQLite answered with @pack; TRUE when it is the one that makes the pack worth reading. */
gboolean pv_recent_count (PvRecent *self, guint32 pack);

G_END_DECLS
