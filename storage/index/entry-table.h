/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* PvEntryTable: entries in memory, found by name: what a writer has added and not written to SQLite yet.
 *
 * A growing array and a hash table of positions in it. Not locked: the writer does that.
 */
#pragma once

#include "index/index.h"

G_BEGIN_DECLS

typedef struct _PvEntryTable PvEntryTable;

PvEntryTable *pv_entry_table_new (void);
void pv_entry_table_free (PvEntryTable *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC (PvEntryTable, pv_entry_table_free)

void pv_entry_table_add (PvEntryTable *self, const PvIndexEntry *entry);
guint pv_entry_table_size (const PvEntryTable *self);
/* The location of the first entry of that name; FALSE when there is none. */
gboolean pv_entry_table_find (const PvEntryTable *self, const PvName *name, PvLocation *location);
/* (transfer full): all entries, sorted by name and location, equal ones once. @n: (out). The table stays as it is. */
PvIndexEntry *pv_entry_table_sorted (const PvEntryTable *self, gsize *n);
void pv_entry_table_clear (PvEntryTable *self);

G_END_DECLS
