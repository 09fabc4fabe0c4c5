/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the tables of packs tell the index: listed for good when a pack becomes known, or read ahead where lookups hit
 * often (pv_index_set_pack_source), through the reader's open packs. */
#pragma once

#include "store/object-reader.h"

G_BEGIN_DECLS

/* Before other threads use @index, and to be undone before @reader goes. */
void pv_pack_source_attach (PvIndex *index, PvObjectReader *reader);
void pv_pack_source_detach (PvIndex *index);

/* Announces the pack @name of @size bytes, and all objects of its @table. */
gboolean pv_pack_source_list (PvIndexWriter *writer, const PvName *name, guint64 size, const PvPackTable *table,
                              GError **error);

G_END_DECLS
