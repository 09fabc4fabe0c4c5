/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Lets the index read the tables of packs that lookups hit often (pv_index_set_pack_source), through the reader's open
 * packs. */
#pragma once

#include "store/object-reader.h"

G_BEGIN_DECLS

/* Before other threads use @index, and to be undone before @reader goes. */
void pv_pack_source_attach (PvIndex *index, PvObjectReader *reader);
void pv_pack_source_detach (PvIndex *index);

G_END_DECLS
